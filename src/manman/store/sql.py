"""SQL lies beside its module: `-- name: lock_many` begins a statement, the next name or the end of the file ends it."""

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)


@cache
def load(module: str) -> dict[str, str]:
    """The statements of `<module>.sql` by name (`load(__name__)`).

    Raises `FileNotFoundError` when there is no such file and `ValueError` for a name that is there twice, both bugs of ours.
    """
    package, _, name = module.rpartition(".")
    return parse(files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, str]:
    """The named statements of a text; what stands before the first name belongs to nobody."""
    parts = _NAME.split(text)
    names = parts[1::2]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"named twice: {', '.join(sorted(twice))}")
    return {name: body.strip() for name, body in zip(names, parts[2::2], strict=True)}
