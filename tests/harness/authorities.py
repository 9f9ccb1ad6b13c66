"""A private certificate authority, and what it vouches for."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """An authority of its own in a folder: `certificate` is its file."""

    def __init__(self, folder: Path, name: str = "our authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._name, self._key = folder, _name(name), ec.generate_private_key(ec.SECP256R1())
        self.certificate = folder / "authority.pem"
        self._made = self._sign(self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=0))
        self.certificate.write_bytes(self._made.public_bytes(PEM))

    @property
    def der(self) -> bytes:
        return self._made.public_bytes(serialization.Encoding.DER)

    def vouches_for(self, address: str, *, with_root: bool = True) -> dict[str, str]:
        """The settings of an API under that address; its chain ends with the authority itself, or below it."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._sign(_name(address), key.public_key(), x509.BasicConstraints(ca=False, path_length=None), address)
        chain, private = self.folder / "chain.pem", self.folder / "key.pem"
        chain.write_bytes(made.public_bytes(PEM) + (self.certificate.read_bytes() if with_root else b""))
        form = serialization.PrivateFormat.PKCS8
        private.write_bytes(key.private_bytes(PEM, form, serialization.NoEncryption()))
        return {"tls_cert_file": str(chain), "tls_key_file": str(private)}

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, limits: x509.BasicConstraints, address: str | None = None
    ) -> x509.Certificate:
        day = timedelta(days=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - day)
            .not_valid_after(datetime.now(UTC) + day)
            .add_extension(limits, critical=True)
        )
        if address is not None:
            named = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(named, critical=False)
        return builder.sign(self._key, hashes.SHA256())
