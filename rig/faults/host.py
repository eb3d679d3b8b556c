"""Faults of the machine that the bridge runs on: a small disk that can be full, a clock that can be wrong, a pause."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rig.brokers.child import is_stopped
from rig.errors import BenchBrokenError

DISK_MIB: Final = 8
"""Size of the small file system: an outbox of a bench run fits many times, and it is full in a moment."""

SKEW_STEP_S: Final = 0.1
"""How often the offset of a clock that runs fast is brought up to date, seconds: 50 us apart at 500 ppm."""

_STOP_S: Final = 10.0
"""Until a process is stopped, seconds; it bounds a hang."""

_LOOK_S: Final = 0.005
_BLOCK: Final = 4096


class SmallDisk:
    """A file system of its own in memory. Entered, ``folder`` lies on it; needs root.

    Raises
    ------
    BenchBrokenError
        On entering: it cannot be mounted.
    """

    def __init__(self, folder: Path, *, size_mib: int = DISK_MIB) -> None:
        self.folder = folder
        self._size_mib = size_mib
        self._filler = folder / "filler"

    def __enter__(self) -> Self:
        """Mount it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self._size_mib}m", "tmpfs", str(self.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchBrokenError(
                f"{self.folder}: no small file system could be mounted: {done.stderr.strip()}. Next: run as root, or "
                "leave host.disk_full out"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unmount it; who still has a file open keeps it until then."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True)

    async def fill(self) -> None:
        """Take all room that is left."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while file.write(b"\0" * _BLOCK):
                    pass
            except OSError:
                return

    async def free(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)


def find_faketime() -> Path | None:
    """Where the library lies that can show a process another UTC."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


class FakedClock:
    """The UTC clock of one process: started with ``environment``, it shows what is set here. Durations stay right.

    Parameters
    ----------
    file : Path
        Where the process reads its offset.

    Raises
    ------
    BenchBrokenError
        libfaketime is not installed.
    """

    def __init__(self, file: Path) -> None:
        library = find_faketime()
        if library is None:
            raise BenchBrokenError("libfaketime is not installed. Next: apt install faketime")
        self._file = file
        self._offset_s = 0.0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self._write(0.0)

    def set_offset(self, offset_s: float) -> None:
        """Show so many seconds more than it is."""
        self._offset_s = offset_s
        self._write(offset_s)

    def set_skew(self, ppm: float) -> None:
        """Run fast by so much from now on; 0 ends it."""
        self.close()
        self._write(self._offset_s)
        if ppm:
            self._ending.clear()
            self._thread = threading.Thread(target=self._skew, args=(ppm,), name="skewed clock", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the skew where it is."""
        self._ending.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _skew(self, ppm: float) -> None:
        since_s = time.monotonic()
        while not self._ending.wait(SKEW_STEP_S):
            self._write(self._offset_s + ppm * 1e-6 * (time.monotonic() - since_s))

    def _write(self, offset_s: float) -> None:
        # whole or not at all: the process reads it at each look at its clock
        part = self._file.with_name(self._file.name + ".partial")
        part.write_text(f"{offset_s:+.6f}\n")
        part.replace(self._file)


def pause_process(pid: int) -> None:
    """Take a process's processor time (SIGSTOP); it is so on return.

    Raises
    ------
    BenchBrokenError
        It did not stop in time.
    """
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + _STOP_S
    while not is_stopped(pid):
        if time.monotonic() > deadline:
            raise BenchBrokenError(f"process {pid} did not stop within {_STOP_S:g} s")
        time.sleep(_LOOK_S)


def resume_process(pid: int) -> None:
    """Let it go on."""
    os.kill(pid, signal.SIGCONT)
