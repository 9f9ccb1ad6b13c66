"""Writes the references in docs/reference that are generated from the code; a house test holds them equal."""

from pathlib import Path

from manman import config
from manman.cli import serve

HERE = Path(__file__).resolve().parents[1]
SETTINGS = HERE / "docs" / "reference" / "settings.md"


def settings() -> str:
    """The page of all settings."""
    head = (
        "# Settings\n\nGenerated from the settings classes by `make reference`. Each variable may be given as a file instead, "
        "`NAME_FILE=/path`; both set is refused.\n\n"
    )
    return head + config.settings_reference(serve.all_settings())


if __name__ == "__main__":
    SETTINGS.parent.mkdir(parents=True, exist_ok=True)
    SETTINGS.write_text(settings(), encoding="utf-8")
