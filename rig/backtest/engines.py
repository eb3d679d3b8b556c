"""Where chunks are judged: in this process, or in worker processes on this machine.

An engine takes chunks in order and gives in order what they say. It holds a bounded number at a time, so a fast reader
cannot run ahead of slow judges, nor fast judges ahead of a slow one.
"""

import contextlib
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, Self

from geofence_core import ZoneTable
from rig.backtest import frames, index
from rig.backtest.chunks import Cut
from rig.backtest.errors import JudgeLostError
from rig.backtest.judge import Judged, Rules, judge_chunk

ATTEMPTS = 3
"""How often a chunk is given to a worker before the run ends: one that kills its workers (it takes too much memory)
must not be tried for ever, one that was killed by chance should not end a run of hours."""

_END_S = 2.0
"""How long a worker may take to end by itself once its pipes are closed, second."""

_LOG_TAIL_BYTES = 2_000


class Engine(Protocol):
    """Judges chunks; leaving its context ends all that it started.

    ``cluster_peak_rss_bytes``: sum of the highest resident memory of its workers elsewhere; None where it has none.
    """

    @property
    def cluster_peak_rss_bytes(self) -> int | None:
        """See above."""
        ...

    def judge(self, cuts: Iterator[Cut], on_tick: Callable[[], None]) -> Iterator[tuple[Judged, int]]:
        """Yield, in order, what each chunk says, and its cut's ``complete_below``.

        ``on_tick`` is called now and then while it waits.

        Raises
        ------
        JudgeLostError
            A chunk could not be judged.
        """
        ...

    def pids(self) -> list[int]:
        """Return the processes on this machine that belong to it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class InProcess:
    """Judges in this process."""

    cluster_peak_rss_bytes: int | None = None

    def __init__(self, zones: ZoneTable, rules: Rules) -> None:
        self._zones = zones
        self._rules = rules

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was started."""

    def judge(self, cuts: Iterator[Cut], on_tick: Callable[[], None]) -> Iterator[tuple[Judged, int]]:
        """Judge one chunk after the other."""
        for cut in cuts:
            yield judge_chunk(self._zones, self._rules, cut.chunk), cut.complete_below
            on_tick()

    def pids(self) -> list[int]:
        """Return none."""
        return []


@dataclass(slots=True)
class _Task:
    number: int
    data: bytes
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class _Lost:
    number: int
    why: str


class Processes:
    """Worker processes that share one saved index.

    One thread per worker hands over a chunk and waits for what it says; where the pipe ends instead, the worker was
    killed: the chunk goes to a new one.

    Parameters
    ----------
    index_path : Path
        The saved index.
    rules : Rules
    jobs : int
        Workers.
    """

    cluster_peak_rss_bytes: int | None = None

    def __init__(self, index_path: Path, rules: Rules, jobs: int) -> None:
        self._index_path = index_path
        self._rules = rules
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Judged | _Lost] = queue.SimpleQueue()
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._serve, args=(slot,), name=f"backtest-worker-{slot}") for slot in range(jobs)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stopping = True
            for worker in self._workers.values():
                worker.kill()
        for _thread in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def pids(self) -> list[int]:
        """Return the workers."""
        with self._lock:
            return [worker.pid for worker in self._workers.values()]

    def judge(self, cuts: Iterator[Cut], on_tick: Callable[[], None]) -> Iterator[tuple[Judged, int]]:
        """Judge on all workers."""
        limit = 2 * len(self._threads) + 1
        below: dict[int, int] = {}
        done: dict[int, Judged] = {}
        due = 0
        more = True
        while more or due in below:
            while more and len(below) < limit:
                cut = next(cuts, None)
                if cut is None:
                    more = False
                    break
                below[cut.chunk.number] = cut.complete_below
                self._tasks.put(_Task(cut.chunk.number, frames.pack(cut.chunk)))
                on_tick()
            if due not in done and due in below:
                with contextlib.suppress(queue.Empty):
                    answer = self._answers.get(timeout=index.TICK_S)
                    if isinstance(answer, _Lost):
                        raise JudgeLostError(answer.why)
                    done[answer.number] = answer
                on_tick()
            while due in done:
                yield done.pop(due), below.pop(due)
                due += 1

    def _serve(self, slot: int) -> None:
        """Serve one worker after the other; runs in a thread."""
        with tempfile.TemporaryFile() as log:
            worker: subprocess.Popen[bytes] | None = None
            while (task := self._tasks.get()) is not None and not self._stopping:
                answer: Judged | _Lost | None = None
                while answer is None and not self._stopping:
                    task.attempts += 1
                    worker = worker or self._start(slot, log)
                    answer = None if worker is None else _ask(worker, task.data)
                    if answer is None:
                        why = self._bury(slot, worker, log)
                        worker = None
                        if task.attempts >= ATTEMPTS:
                            answer = _Lost(task.number, f"chunk {task.number} was given to {ATTEMPTS} workers; {why}")
                if answer is not None:
                    self._answers.put(answer)
            self._bury(slot, worker, log)

    def _start(self, slot: int, log: IO[bytes]) -> subprocess.Popen[bytes] | None:
        log.seek(0)
        log.truncate()
        with self._lock:
            if self._stopping:
                return None
            worker = index.start_python(
                ["-m", "rig.backtest.worker", str(self._index_path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log.fileno(),
            )
            self._workers[slot] = worker
        assert worker.stdin is not None
        with contextlib.suppress(OSError):
            frames.send(worker.stdin, frames.pack(self._rules))
        return worker

    def _bury(self, slot: int, worker: subprocess.Popen[bytes] | None, log: IO[bytes]) -> str:
        """End a worker that is dead or not needed, and say how it died."""
        if worker is None:
            return "no worker could be started"
        with contextlib.suppress(OSError):
            assert worker.stdin is not None
            worker.stdin.close()
        # its pipe ends before it does; what it died of is only known behind that
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(_END_S)
        worker.kill()
        code = worker.wait()
        assert worker.stdout is not None
        worker.stdout.close()
        with self._lock:
            self._workers.pop(slot, None)
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - _LOG_TAIL_BYTES))
        tail = log.read().decode(errors="replace").strip()
        hint = ". Next: fewer --jobs or smaller --chunk-fixes" if code < 0 else ""
        return f"the last one: {index.how_it_ended(code)}{hint}{index.indented(tail)}"


def _ask(worker: subprocess.Popen[bytes], data: bytes) -> Judged | None:
    """Have a chunk judged; None where the worker is gone."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        frames.send(worker.stdin, data)
        answer = frames.receive(worker.stdout)
    except OSError:
        return None
    if answer is None:
        return None
    judged = frames.unpack(answer)
    assert isinstance(judged, Judged)
    return judged
