"""Where this machine's state lives, and how other commands find a running `manman up`: `local.json` in it."""

import os
from pathlib import Path
from typing import Annotated

import msgspec

from manman.client import LocalFile
from manman.config import load
from manman.errors import BadSetting, OutOfReach


class PlaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where state is kept and which panel commands speak to."""

    state_dir: Annotated[str | None, msgspec.Meta(description="Folder of this machine's state")] = None
    xdg_state_home: Annotated[str | None, msgspec.Meta(description="Base of per-user state folders")] = None
    manman_url: Annotated[str | None, msgspec.Meta(description="URL of the panel that commands speak to")] = None
    manman_token: Annotated[str | None, msgspec.Meta(description="Token that commands present")] = None


def state_dir(settings: PlaceSettings | None = None) -> Path:
    """`STATE_DIR`; else `/var/lib/manman` as root; else `$XDG_STATE_HOME/manman` (`~/.local/state/manman`). Not created."""
    place = settings or load(PlaceSettings)
    if place.state_dir:
        return Path(place.state_dir).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/manman")
    if place.xdg_state_home:
        return Path(place.xdg_state_home) / "manman"
    return Path.home() / ".local" / "state" / "manman"


def panel() -> tuple[str, str]:
    """(url, token) of the panel to speak to: MANMAN_URL and MANMAN_TOKEN, else a running `manman up` of this user.

    Raises `OutOfReach` when there is none, and `BadSetting` when only one of the two variables is set.
    """
    place = load(PlaceSettings)
    if place.manman_url or place.manman_token:
        if not (place.manman_url and place.manman_token):
            missing = "MANMAN_TOKEN" if place.manman_url else "MANMAN_URL"
            raise BadSetting(
                f"{missing} is not set; set both MANMAN_URL and MANMAN_TOKEN, or neither to find a running `manman up`"
            )
        return place.manman_url, place.manman_token
    state = state_dir(place)
    local = LocalFile.read(state)
    if local is None or not is_alive(local.pid):
        raise OutOfReach(
            f"no `manman up` runs with its state in {state}; start one with `manman up`, or set MANMAN_URL and MANMAN_TOKEN"
        )
    return local.url, local.token


def is_alive(pid: int) -> bool:
    """Whether a process with that number runs (also another user's); one that ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return Path("/proc").exists() is False
    return state != "Z"
