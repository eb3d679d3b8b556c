"""The saved index: one file of zones that any number of processes map into their memory."""

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import geofence_core as gc
from rig.backtest.errors import JudgeLostError

PARTS: Final = ("sheets", "inside_sheets", "sweep")
"""Indexes that `ZoneTable.near` and `ZoneTable.crossed` ask. One that is missing is made anew by every worker."""

TICK_S: Final = 0.25
"""How often a waiting run looks up, second: to show progress, and for a signal."""

_HERE_ZONES: Final = 50
"""Zones up to which the index is made in this process. To make it takes some 0.6 MB a zone for a while, of which a
process that lives on does not give all back; one that was started for it does, but takes half a second to start."""

_READ_BYTES: Final = 1 << 20


def make(zones: gc.ZoneTable, folder: Path, on_tick: Callable[[list[int]], None]) -> Path:
    """Make the index and save it.

    Parameters
    ----------
    zones
        The table.
    folder
        Where to put the file.
    on_tick
        Called now and then with the processes that work on it.

    Raises
    ------
    JudgeLostError
        The process that made it died.
    """
    path = folder / "zones.index"
    if len(zones) <= _HERE_ZONES:
        zones.save(path, parts=PARTS)
        return path
    bare = folder / "zones.bare"
    zones.save(bare, parts=())
    with tempfile.TemporaryFile() as log:
        maker = start_python(["-m", "rig.backtest.index", str(bare), str(path)], stderr=log.fileno())
        try:
            while maker.poll() is None:
                on_tick([maker.pid])
                with contextlib.suppress(subprocess.TimeoutExpired):
                    maker.wait(TICK_S)
        finally:
            maker.kill()
            maker.wait()
        if maker.returncode:
            log.seek(0)
            raise JudgeLostError(
                f"the index of {len(zones)} zones could not be made: {how_it_ended(maker.returncode)}"
                f"{indented(log.read().decode(errors='replace'))}"
            )
    bare.unlink()
    return path


def load(path: Path) -> gc.ZoneTable:
    """Map an index into memory: its pages are shared with every other process that does."""
    return gc.ZoneTable.open(path)


def start_python(
    arguments: list[str], *, stderr: int, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a process of ours: its modules from the same places as ours, and none from the folder we happen to run in.

    It has a session of its own: Ctrl-C is for the run, which ends it.
    """
    return subprocess.Popen(
        [sys.executable, "-P", *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def how_it_ended(code: int) -> str:
    """Say what an exit code of a process means."""
    if code >= 0:
        return f"it ended with exit code {code}"
    hint = " (the kernel does so when memory runs out)" if code == -9 else ""
    return f"it was killed by signal {-code}{hint}"


def indented(text: str) -> str:
    """Put text under a message."""
    return "".join(f"\n    {line}" for line in text.strip().splitlines())


def digest(path: Path) -> str:
    """Return a name for the content: the first 32 digits of its SHA-256."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            sha.update(piece)
    return sha.hexdigest()[:32]


if __name__ == "__main__":
    load(Path(sys.argv[1])).save(sys.argv[2], parts=PARTS)
