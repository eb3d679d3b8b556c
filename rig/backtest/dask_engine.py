"""Judging on a Dask cluster that somebody else runs. One of the two modules that import distributed."""

import contextlib
import queue
import re
import secrets
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import distributed

from geofence_core import GeofenceError
from rig.backtest import dask_worker, frames, index
from rig.backtest.chunks import Cut
from rig.backtest.errors import HistoryError, JudgeLostError
from rig.backtest.judge import Judged, Rules

_ADDRESS: Final = re.compile(r"(tcp|tls|ws|wss|ucx)://.+:[0-9]+")

CONNECT_S: Final = 5.0
"""How long a scheduler may take to answer at first, second."""

ANSWER_S: Final = 20.0
"""How long a scheduler that was there may take to answer, second."""

FETCH_S: Final = 3.0
"""How long what was judged may be on its way, second: some 100 kB. Behind that the cluster is asked how it is."""

PATIENCE_S: Final = 60.0
"""How long a run waits without any worker, or without a word from the scheduler, second. A cluster manager replaces
workers in less; longer would look like a hang."""

_CLOSE_S: Final = 2.0
"""How long to take leave may take, second."""

_AHEAD: Final = 2
"""Chunks per thread of the cluster that are on their way: one is judged while the next is sent."""

_AHEAD_MOST: Final = 64
"""Chunks on their way at most: the scheduler and this process hold each, some 5 MB."""


def check_address(address: str) -> None:
    """Raise where an address is none.

    Raises
    ------
    HistoryError
        With what is expected.
    """
    if not _ADDRESS.fullmatch(address):
        raise HistoryError(f"--dask: expected an address as tcp://host:8786, got {address!r}")


class DaskCluster:
    """Judges on the workers of a scheduler.

    A worker that is lost takes nothing with it: its chunks go to others (the cluster's ``allowed-failures`` bounds how
    often), and each answer counts once, by the number of its chunk.

    Parameters
    ----------
    address : str
        Of the scheduler, as ``tcp://host:8786``.
    index_path : Path
        The saved index.
    rules : Rules
    patience_s : float
        How long to wait without any worker.
    """

    def __init__(self, address: str, index_path: Path, rules: Rules, *, patience_s: float = PATIENCE_S) -> None:
        self._address = address
        self._plugin = dask_worker.IndexPlugin(index.digest(index_path), index_path.read_bytes(), rules)
        self._patience_s = patience_s
        self._run_id = secrets.token_hex(8)
        # distributed types its calls in part only
        self._futures: dict[int, Any] = {}
        self._peaks: dict[str, int] = {}
        self._client: Any

    @property
    def cluster_peak_rss_bytes(self) -> int | None:
        """Sum over all workers that judged."""
        return sum(self._peaks.values()) or None

    def pids(self) -> list[int]:
        """Return none: the workers are not ours."""
        return []

    def __enter__(self) -> Self:
        try:
            connect: Any = distributed.Client
            self._client = connect(self._address, timeout=CONNECT_S, set_as_default=False, name="tagrig-backtest")
        except (OSError, ValueError) as exc:
            raise JudgeLostError(
                f"no Dask scheduler answers at {self._address}: {exc}. Next: check the address (tcp://host:8786) and "
                "that the cluster runs"
            ) from exc
        try:
            self._wait_for_workers()
            self._send_index()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._client.status == "running":
            with contextlib.suppress(OSError, ValueError, TimeoutError, JudgeLostError):
                self._client.cancel(list(self._futures.values()))
                self._ask(self._client.unregister_worker_plugin, self._plugin.name)
        self._client.close(timeout=_CLOSE_S)

    def judge(self, cuts: Iterator[Cut], on_tick: Callable[[], None]) -> Iterator[tuple[Judged, int]]:
        """Judge on all workers."""
        arrived: queue.SimpleQueue[int] = queue.SimpleQueue()
        below: dict[int, int] = {}
        done: dict[int, Judged] = {}
        due, limit, heard_s = 0, self._limit(), time.monotonic()
        more = True
        while more or due in below:
            while more and len(below) < limit:
                cut = next(cuts, None)
                if cut is None:
                    more = False
                    break
                number = cut.chunk.number
                below[number] = cut.complete_below
                self._futures[number] = self._submit(cut)
                self._watch(number, arrived)
                on_tick()
            if due not in done and due in below:
                try:
                    number = arrived.get(timeout=index.TICK_S)
                except queue.Empty:
                    if time.monotonic() - heard_s > self._patience_s / 2:
                        limit = self._limit()
                        heard_s = time.monotonic()
                else:
                    heard_s = time.monotonic()
                    judged = self._find_answer(number)
                    if judged is None:
                        # the worker was lost after it had judged: the scheduler has it judged again
                        limit = self._limit()
                        self._watch(number, arrived)
                    else:
                        done[number] = judged
                on_tick()
            while due in done:
                yield done.pop(due), below.pop(due)
                due += 1

    def _submit(self, cut: Cut) -> Any:
        with warnings.catch_warnings():
            # a chunk must lie with the scheduler: what is scattered to a worker is lost with it
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            return self._client.submit(
                dask_worker.judge,
                self._plugin.name,
                frames.pack(cut.chunk),
                key=f"tagrig-backtest-{self._run_id}-{cut.chunk.number}",
                pure=False,
            )

    def _watch(self, number: int, arrived: "queue.SimpleQueue[int]") -> None:
        self._futures[number].add_done_callback(lambda _: arrived.put(number))

    def _find_answer(self, number: int) -> Judged | None:
        """Fetch what a chunk says; None where it is not there after all."""
        future = self._futures[number]
        if future.status in {"lost", "pending"}:
            return None
        if future.status != "finished":
            why = future.exception() if future.status == "error" else f"its task is {future.status}"
            raise JudgeLostError(
                f"chunk {number} could not be judged at {self._address}: {why}. Next: see the logs of the cluster"
            )
        try:
            data, worker, peak = future.result(timeout=FETCH_S)
        except TimeoutError:
            return None
        except (OSError, CancelledError) as exc:
            # a client that notices its lost connection while it fetches cancels what it holds
            raise JudgeLostError(f"the Dask scheduler at {self._address} does not answer: {exc}") from exc
        del self._futures[number]
        self._peaks[worker] = max(peak, self._peaks.get(worker, 0))
        judged = frames.unpack(data)
        assert isinstance(judged, Judged)
        return judged

    def _limit(self) -> int:
        """Return how many chunks may be on their way; raises where no worker is left."""
        return min(_AHEAD * self._wait_for_workers() + 1, _AHEAD_MOST)

    def _wait_for_workers(self) -> int:
        """Return the number of threads of the cluster, as soon as there is one."""
        end_s = time.monotonic() + self._patience_s
        while time.monotonic() < end_s:
            threads = self._ask(partial(self._client.nthreads, callback_timeout=ANSWER_S))
            if threads:
                return sum(threads.values())
            with contextlib.suppress(TimeoutError):
                self._client.wait_for_workers(1, timeout=max(end_s - time.monotonic(), index.TICK_S))
        raise JudgeLostError(
            f"the cluster at {self._address} had no worker for {self._patience_s:.0f} s. Next: start workers, run again"
        )

    def _send_index(self) -> None:
        try:
            self._client.register_plugin(self._plugin)
            self._plugin.forget()
        except (ImportError, AttributeError, RuntimeError, GeofenceError, OSError) as exc:
            raise JudgeLostError(
                f"the cluster at {self._address} cannot keep the index: {exc}. Next: install tagrig[dask] "
                f"{dask_worker.version()} on the scheduler and on all workers"
            ) from exc

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except (OSError, TimeoutError, CancelledError) as exc:
            raise JudgeLostError(f"the Dask scheduler at {self._address} does not answer: {exc}") from exc
