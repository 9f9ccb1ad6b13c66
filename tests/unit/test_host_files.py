"""Files beneath a folder that a game owns: no path and no link leads out of it."""

import os
from pathlib import Path

import pytest

from manman.host import files


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "", ".", "a\0b"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(files.Escapes):
        files.write(tmp_path, path, b"x")


def test_a_folder_that_is_a_link_is_not_entered(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    data.mkdir()
    outside.mkdir()
    (data / "conf").symlink_to(outside)
    with pytest.raises(files.Escapes):
        files.write(data, "conf/game.cfg", b"x")
    assert list(outside.iterdir()) == []


def test_a_file_that_is_a_link_is_replaced_and_its_target_left(tmp_path: Path) -> None:
    data, secret = tmp_path / "data", tmp_path / "secret"
    data.mkdir()
    secret.write_text("theirs")
    (data / "game.cfg").symlink_to(secret)
    files.write(data, "game.cfg", b"ours", mode=0o640)
    assert secret.read_text() == "theirs"
    assert (data / "game.cfg").read_bytes() == b"ours" and not (data / "game.cfg").is_symlink()
    assert (data / "game.cfg").stat().st_mode & 0o777 == 0o640


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    files.write(tmp_path, "a/b/c.cfg", b"x")
    assert (tmp_path / "a" / "b" / "c.cfg").read_bytes() == b"x"
    assert [one.name for one in (tmp_path / "a" / "b").iterdir()] == ["c.cfg"]


def test_a_link_replaces_a_link_and_nothing_else(tmp_path: Path) -> None:
    files.link(tmp_path, "data", tmp_path / "one")
    files.link(tmp_path, "data", tmp_path / "two")
    assert os.readlink(tmp_path / "data") == str(tmp_path / "two")
    (tmp_path / "save").write_text("a world")
    with pytest.raises(files.Escapes, match="no link"):
        files.link(tmp_path, "save", tmp_path / "two")
    assert (tmp_path / "save").read_text() == "a world"


def test_what_may_be_bound_lies_below_a_root_links_resolved(tmp_path: Path) -> None:
    root = tmp_path / "maps"
    root.mkdir()
    (root / "out").symlink_to("/etc")
    assert files.may_bind(root / "one", [root]) and files.may_bind(root, [root])
    assert not files.may_bind(root / "out", [root])
    assert not files.may_bind(tmp_path / "maps2", [root]) and not files.may_bind(root, [])


def test_a_private_file_is_its_owners_alone(tmp_path: Path) -> None:
    files.private(tmp_path / "deep" / "identity.json", b"{}")
    assert (tmp_path / "deep" / "identity.json").stat().st_mode & 0o777 == 0o600


def test_the_first_closed_folder_on_the_way_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    (closed / "inner").chmod(0o711)
    assert files.closed_to_others(closed / "inner") == closed
