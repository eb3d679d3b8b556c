"""Memory of this process and its workers, from the kernel."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

_SAMPLE_S = 0.2
"""Time between two looks, second: a look costs about a millisecond per process."""


class MemoryWatch:
    """Highest memory of a group of processes while the context is open.

    Attributes
    ----------
    peak_pss_bytes : int or None
        Sum of proportional set sizes: a page that n processes share counts 1/n in each. None where the kernel does not
        tell it.
    peak_rss_bytes : int or None
        Sum of resident set sizes: shared pages count once per process.
    """

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self._pids = pids
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="backtest-memory")
        self.peak_pss_bytes: int | None = None
        self.peak_rss_bytes: int | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._end.wait(_SAMPLE_S):
            self._look()

    def _look(self) -> None:
        told = [sizes for pid in [os.getpid(), *self._pids()] if (sizes := _sizes(pid)) is not None]
        if told:
            self.peak_pss_bytes = max(self.peak_pss_bytes or 0, sum(pss for pss, _ in told))
            self.peak_rss_bytes = max(self.peak_rss_bytes or 0, sum(rss for _, rss in told))


def _sizes(pid: int) -> tuple[int, int] | None:
    """Proportional and resident size in bytes, None where the process is gone or the kernel has no such file."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("Pss:", "Rss:"))}
    if {"Pss", "Rss"} - set(kib):
        return None
    return kib["Pss"] * 1024, kib["Rss"] * 1024


def peak_rss_bytes() -> int | None:
    """Return the highest resident memory of this process since it began, None where the kernel does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
