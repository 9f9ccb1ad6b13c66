"""Every method of the API has a command, or a stated reason for none."""

import re

from house.tree import SOURCE

from manman.v1.calls import Calls

# A method that no command calls, and why.
WITHOUT_COMMAND = {
    "register_host": "`manman host join` calls it, through the agent's own room",
    "login": "a browser follows the link; a command has a key",
    "logout": "a command's key is replaced with each start of `manman up`, and stays until then",
}


def called() -> set[str]:
    """The client's methods that commands name."""
    texts = [path.read_text(encoding="utf-8") for path in (SOURCE / "cli").glob("*.py")]
    return {name for text in texts for name in re.findall(r"client\.([a-z_]+)", text)}


def methods() -> set[str]:
    """The methods of the definition, in snake case."""
    return {name for name in vars(Calls) if not name.startswith("_")}


def test_every_method_has_a_command_or_a_reason() -> None:
    assert len(methods()) > 40
    assert methods() - called() - WITHOUT_COMMAND.keys() == set()


def test_no_reason_is_left_over() -> None:
    assert WITHOUT_COMMAND.keys() & called() == set()
    assert WITHOUT_COMMAND.keys() - methods() == set()
