"""What may stand in the repository, and what may not."""

import re
import tomllib
from pathlib import PurePosixPath

from house.tree import ROOT, files, text

# Written in halves, so that this file does not find itself.
INSTALL = re.compile(r"(pip|pipx|uv tool|uv pip) install\s+(-\S+\s+)*[\"']?man" + r"man(?![\w/.-])")
HOSTS = re.compile(
    "|".join(
        [
            "pypi" + r"\.org",
            "pythonhos" + r"ted\.org",
            "registry" + r"\.npmjs",
            "registry" + r"\.yarnpkg",
            "deb" + r"\.debian\.org",
            "proxy" + r"\.golang",
            "static" + r"\.crates",
        ]
    )
)
PLACES = re.compile(
    "|".join(
        [r"(?<![\w.])/wo" + r"rk/(main|shared|\.)", "shared/" + "design", r"(?<![\w.])/tmp/" + r"w/", "/opt/" + "pypi"]
    )
)
LOCKS = ("requirements.lock", "requirements-dev.lock", "tools/requirements-uv.txt")
SKIPS = re.compile(r"pytest\.(skip|importorskip|xfail)|mark\.(skip|skipif|xfail)\b|unittest\.skip")


def mentions(rule: re.Pattern[str], names: list[str]) -> dict[str, str]:
    """Each file that a rule matches, with the first match."""
    found = ((name, rule.search(text(name))) for name in names)
    return {name: match.group() for name, match in found if match}


def names_of(requirements: list[str]) -> set[str]:
    """The distributions that requirement lines name."""
    found = (re.match(r"[A-Za-z0-9_.-]+", line) for line in requirements)
    return {match.group().lower().replace("_", "-") for match in found if match and not match.group().startswith("-")}


def test_no_document_installs_somebody_else_s_package() -> None:
    assert mentions(INSTALL, list(files())) == {}


def test_no_file_names_a_package_registry() -> None:
    assert mentions(HOSTS, list(files())) == {}


def test_no_file_names_a_place_on_a_developer_s_machine() -> None:
    assert mentions(PLACES, list(files())) == {}


def test_locks_hold_no_address_and_a_hash_for_everything() -> None:
    for name in LOCKS:
        assert "://" not in text(name)
        pins = re.findall(r"^[A-Za-z0-9].*?(?:\\\n.*?)*$", text(name), re.MULTILINE)
        assert pins and [pin for pin in pins if "--hash=sha256:" not in pin] == []


def test_requirements_and_metadata_name_the_same_packages() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    declared = names_of(project["dependencies"])
    required = names_of(text("requirements.in").splitlines())
    assert declared == required - {"uv-build"}
    assert required <= names_of(text("requirements.lock").splitlines())
    assert required | names_of(text("requirements-dev.in").splitlines()[1:]) <= names_of(
        text("requirements-dev.lock").splitlines()
    )


def test_the_licence_is_there() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert project["name"] == "man" + "manv2" and project["license"] == "Apache-2.0"
    assert "Apache License" in text("LICENSE") and "END OF TERMS AND CONDITIONS" in text("LICENSE")
    assert text("NOTICE").strip()


def test_no_lock_of_another_tool_is_kept() -> None:
    unwanted = {"uv.lock", "package-lock.json", "yarn.lock", "poetry.lock"}
    assert [name for name in files() if PurePosixPath(name).name in unwanted] == []


def test_no_test_is_skipped_and_warnings_are_errors() -> None:
    options = tomllib.loads(text("pyproject.toml"))["tool"]["pytest"]["ini_options"]
    assert options["filterwarnings"][0] == "error"
    tests = [
        name
        for name in files()
        if name.startswith("tests/") and name.endswith(".py") and not name.startswith("tests/house/")
    ]
    assert mentions(SKIPS, tests) == {}


def test_ci_runs_the_tests_and_nothing_else() -> None:
    lines = text(".ci/run").splitlines()
    assert lines == ["#!/bin/sh", "set -eu", 'cd "$(dirname "$0")/.."', "exec make test"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_the_rules_see_what_they_forbid() -> None:
    for command in ("pip install man" + "man", "pipx install 'man" + "man'", "pip install -U man" + "man\n"):
        assert INSTALL.search(command)
    assert not INSTALL.search("pip install man" + "manv2") and not INSTALL.search("uv pip install -e .")
    assert (
        HOSTS.search("see pypi" + ".org")
        and PLACES.search("in /wo" + "rk/main/x")
        and not PLACES.search("a/wo" + "rk/main")
    )
    assert SKIPS.search("@pytest.mark.skip(reason='x')")
