"""Processes that play runs beside each other, and end with whoever started them."""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final, TypeVar

from rig.brokers.child import PR_SET_PDEATHSIG

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

_QUIET: Final = signal.SIGINT
"""Ctrl-C goes to all processes of a terminal; the first one stops the others in order."""


def each_done(work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], jobs: int) -> Iterator[ResultT]:
    """Do all tasks, so many at once, and give results as they come.

    Where the caller stops listening, or fails, what has not begun is left undone.
    """
    if jobs <= 1:
        yield from map(work, tasks)
        return
    # spawned: a fork would take the threads of whoever called along, as locks that nobody opens
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with, initargs=(os.getpid(),))
    try:
        for done in as_completed([pool.submit(work, task) for task in tasks]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with(parent_pid: int) -> None:
    signal.signal(_QUIET, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:
        # it died before the call above
        os.kill(os.getpid(), signal.SIGTERM)
