"""Run by a test in a mount namespace of its own: a wrapper on a disk that somebody fills, then clears."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.wrapped import PYTHON, Wrapped, until

from manman.wrapper import spool_reader

GAME = "print('up')\nwhile True:\n    word = input()\n    for n in range(500): print(word, n, 'x' * 100)"

place = Path(sys.argv[1]) / "disk"
place.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], check=True)

with Wrapped(place, [*PYTHON, GAME], cwd="/") as it, it.client() as client:
    it.line("up")
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"0" * 4096)
        except OSError:
            pass
    client.ask("input", line="lost")
    until(lambda: client.ask("status")["status"]["lines"] == 501)
    lost = client.ask("status")["status"]["dropped"]
    assert lost > 400, lost
    ballast.unlink()
    client.ask("input", line="kept")
    until(lambda: client.ask("status")["status"]["lines"] == 1001)
    client.ask("kill")
    assert it.verdict() == ("stopped", "killed", 137, 9)
    missing = sum(last - first + 1 for first, last in spool_reader.gaps(it.records(), 0))
    assert missing == lost, (missing, lost)
    kept = [line for line in it.lines() if line.startswith("kept")]
    assert len(kept) == 500, len(kept)

subprocess.run(["umount", str(place)], check=True)
print("recovered")
