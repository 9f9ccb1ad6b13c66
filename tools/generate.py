"""Writes what is generated: `src/manman/v1` (messages, services, types, descriptor set with comments) from `proto/`.

`python tools/generate.py` writes; `python tools/generate.py --check` says what differs and exits 1.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import generate_client

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
PACKAGE = ROOT / "src" / "manman" / "v1"
DESCRIPTORS = "descriptors.binpb"
PAGE = '"""Generated from `proto/manman/v1` by `tools/generate.py`; never edited by hand."""\n'


def generate(target: Path) -> None:
    """Writes the package `manman.v1` into `target`, which is emptied first. Raises `SystemExit` when protoc refuses."""
    from grpc_tools import protoc  # type: ignore[import-untyped]

    sources = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "manman" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        plugins = Path(sys.executable).parent
        arguments = [
            "protoc",
            f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
            f"--proto_path={PROTO}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={folder}",
            f"--grpc_python_out={folder}",
            f"--mypy_out=quiet:{folder}",
            f"--mypy_grpc_out=quiet:{folder}",
            f"--descriptor_set_out={folder}/{DESCRIPTORS}",
            "--include_imports",
            "--include_source_info",
            *sources,
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc refused; see its words above")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(Path(folder) / "manman" / "v1", target)
        shutil.copy(Path(folder) / DESCRIPTORS, target / DESCRIPTORS)
    (target / "__init__.py").write_text(PAGE, encoding="utf-8")
    source = generate_client.read(target / DESCRIPTORS)
    (target / "types.py").write_text(generate_client.write_types(source), encoding="utf-8")
    (target / "calls.py").write_text(generate_client.write_calls(source), encoding="utf-8")
    for path in target.glob("*"):
        if path.suffix in (".py", ".pyi"):
            text = re.sub(r"[ \t]+$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            path.write_text(text, encoding="utf-8")


def differences(made: Path, committed: Path) -> list[str]:
    """Names of files that differ between two folders, or are in one only."""
    names = {p.name for folder in (made, committed) for p in folder.glob("*") if p.is_file()}
    different = []
    for name in sorted(names):
        left, right = made / name, committed / name
        if not left.exists() or not right.exists() or left.read_bytes() != right.read_bytes():
            different.append(name)
    return different


def check() -> list[str]:
    """What `generate` would change in the package as it is."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "v1"
        generate(made)
        return differences(made, PACKAGE)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when something differs")
    if not parser.parse_args().check:
        generate(PACKAGE)
        return
    different = check()
    if different:
        raise SystemExit("out of date (run tools/generate.py): " + ", ".join(different))


if __name__ == "__main__":
    main()
