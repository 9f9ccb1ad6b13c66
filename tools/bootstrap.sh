#!/bin/sh
# Puts uv into .tools/uv, with whatever Python and pip this machine has or apt can bring. `make` calls it.
# Needs no network when nothing is missing; asks for no password; touches nothing outside of the checkout unless root.
set -eu
# PIP_USER and PIP_REQUIRE_VIRTUALENV break --target; the user's other pip settings (mirrors, certificates) stay.
export LC_ALL=C PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_DISABLE_PIP_VERSION_CHECK=1
cd "$(dirname "$0")/.."
mkdir -p .tools
log=.tools/apt.log
python=
old=

has() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        has "$candidate" || continue
        if new_enough "$candidate"; then
            python=$candidate
            return 0
        fi
        [ -n "$old" ] || old="$candidate is $("$candidate" -V 2>&1)"
    done
    return 0
}

# Try, renew the lists, try again: old lists name files that are gone.
apt_install() {
    echo "bootstrap: apt-get install $*" >&2
    for attempt in 1 2; do
        if DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" \
            </dev/null >"$log" 2>&1; then
            return 0
        fi
        [ "$attempt" = 2 ] || apt-get -o DPkg::Lock::Timeout=300 update -qq </dev/null >>"$log" 2>&1 || :
    done
    tail -n 3 "$log" >&2
    return 1
}

give_up() {
    echo "bootstrap: $1" >&2
    if has apt-get; then echo "  sudo apt-get install python3-venv" >&2
    elif has dnf; then echo "  sudo dnf install python3 python3-pip" >&2
    elif has pacman; then echo "  sudo pacman -S python python-pip" >&2
    elif has apk; then echo "  sudo apk add python3 py3-pip" >&2
    elif has zypper; then echo "  sudo zypper install python311 python311-pip" >&2
    elif has brew; then echo "  brew install python@3.13" >&2
    fi
    echo "  or set PYTHON=/path/to/python3, or put uv on PATH" >&2
    exit 1
}

# pip's own wheel from Debian, without root: downloaded and unpacked, never installed.
# apt options do not bear spaces and a relative folder needs its ./, so it is done from inside.
fetch_pip_wheel() {
    rm -rf .tools/apt
    mkdir -p .tools/apt/cache/archives/partial .tools/apt/lists/partial
    if (
        cd .tools/apt
        apt-get -o Debug::NoLocking=1 -o Dir::Cache=./cache download -qq python3-pip-whl </dev/null ||
            { apt-get -o Debug::NoLocking=1 -o Dir::Cache=./cache -o Dir::State::lists=./lists update -qq </dev/null &&
                apt-get -o Debug::NoLocking=1 -o Dir::Cache=./cache -o Dir::State::lists=./lists \
                    download -qq python3-pip-whl </dev/null; }
        dpkg-deb -x ./*.deb unpacked
        rm -rf lists cache
    ) >"$log" 2>&1; then
        return 0
    fi
    tail -n 3 "$log" >&2
    return 1
}

install_uv() {
    rm -rf .tools/uv.new
    "$@" install -q --target .tools/uv.new --require-hashes --only-binary :all: --no-deps -r tools/requirements-uv.txt </dev/null
    rm -rf .tools/uv
    mv .tools/uv.new .tools/uv
}

find_python
if [ -z "$python" ] && is_root && has apt-get; then
    apt_install python3-venv ca-certificates || :
    find_python
fi
[ -n "$python" ] || give_up "no Python 3.11 or newer was found${old:+ ($old)}."

if "$python" -m pip --version >/dev/null 2>&1; then
    install_uv "$python" -m pip
    exit 0
fi
rm -rf .tools/venv
if ! "$python" -c 'import ensurepip' >/dev/null 2>&1 && is_root && has apt-get; then
    apt_install python3-venv || :
fi
if "$python" -c 'import ensurepip' >/dev/null 2>&1 && "$python" -m venv .tools/venv >/dev/null 2>&1; then
    install_uv .tools/venv/bin/python -m pip
    rm -rf .tools/venv
    exit 0
fi
rm -rf .tools/venv
if has apt-get && ! is_root && fetch_pip_wheel; then
    wheel=$(find "$PWD/.tools/apt/unpacked" -name 'pip-*.whl' | head -n 1)
    if [ -n "$wheel" ]; then
        install_uv env PYTHONPATH="$wheel" "$python" -m pip
        rm -rf .tools/apt
        exit 0
    fi
fi
give_up "pip is missing from $python."
