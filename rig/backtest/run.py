"""One backtest from end to end."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import geofence_core as gc
from rig.backtest import index
from rig.backtest.chunks import CHUNK_FIXES, Chunker
from rig.backtest.columns import ColumnRules
from rig.backtest.engines import Engine, InProcess, Processes
from rig.backtest.fixes import Batch, DeviceNames, Source, Tally
from rig.backtest.judge import Rules
from rig.backtest.memory import MemoryWatch
from rig.backtest.outputs import Outputs
from rig.backtest.sequence import REORDER_FIXES, Sequencer
from rig.backtest.sources import need_distributed, need_pyarrow, open_sources
from rig.backtest.stitch import Stitcher, ZoneTotals

MAX_GAP_NS = 600 * 1_000_000_000
"""Default of the gap over which nothing is joined, nanoseconds. Tags at rest report every few minutes; in ten minutes a
person on foot goes 800 m, so a straight line over more says little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What to run. ``None`` for an output means that it is not wanted; for ``max_gap_ns`` that every gap is joined."""

    inputs: Sequence[Path]
    format_name: str | None = None
    columns: ColumnRules
    max_gap_ns: int | None = MAX_GAP_NS
    reorder_fixes: int = REORDER_FIXES
    chunk_fixes: int = CHUNK_FIXES
    jobs: int = 1
    dask_address: str | None = None
    crossings: Path | None = None
    dwell: Path | None = None
    totals: Path | None = None


@dataclass(slots=True)
class Progress:
    """How far a run is; looked at while it goes."""

    is_judging: bool = False
    """The index is made; before that, nothing is read."""
    bytes_done: int = 0
    bytes_total: int = 0
    fixes_done: int = 0
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run did."""

    tally: Tally
    fixes: int
    devices: int
    zones: int
    crossings: int
    periods: int
    totals: ZoneTotals
    peak_pss_bytes: int | None
    peak_rss_bytes: int | None
    cluster_peak_rss_bytes: int | None
    inputs: Sequence[tuple[str, int]]
    """Name of each input and the number of its first record."""


@dataclass(slots=True)
class _Reading:
    """The inputs one behind the other, as one row of records."""

    sources: Sequence[Source]
    tally: Tally
    first_number: list[int] = field(default_factory=list)
    done_bytes: int = 0

    def batches(self) -> Iterator[Batch]:
        number = 1
        for source in self.sources:
            self.first_number.append(number)
            for batch in source.batches(number):
                yield batch
                number += batch.n_records
            self.done_bytes += source.size_bytes

    @property
    def position_bytes(self) -> int:
        """How much of all inputs is read."""
        at = len(self.first_number)
        current = self.sources[at - 1].position_bytes if at and self.done_bytes < self.total_bytes else 0
        return min(self.done_bytes + current, self.total_bytes)

    @property
    def total_bytes(self) -> int:
        """Size of all inputs."""
        return sum(source.size_bytes for source in self.sources)

    def place(self, number: int) -> str:
        """Say where the record of a number stands."""
        at = max(i for i, first in enumerate(self.first_number) if first <= number)
        # batches number their records from the first of their source on, record_idx counts the same ones
        return self.sources[at].place(number - self.first_number[at])


def run_backtest(
    zones: gc.ZoneTable, settings: Settings, on_progress: Callable[[Progress], None] = lambda _: None
) -> Summary:
    """Run a history through the zones.

    Parameters
    ----------
    zones
        All devices are judged against all of them.
    settings
        Cuts, workers and cluster change nothing in the outputs, to the byte.
    on_progress
        Called now and then, from this thread.

    Raises
    ------
    HistoryError
        An input cannot be read, or an output cannot be written.
    MissingExtraError
        A package of an extra is missing.
    JudgeLostError
        Workers died, or the cluster cannot be reached or has lost all workers.
    """
    need_pyarrow()
    if settings.dask_address is not None:
        need_distributed()
        from rig.backtest.dask_engine import check_address

        check_address(settings.dask_address)
    devices, tally = DeviceNames(), Tally()
    sources = open_sources(settings.inputs, settings.format_name, settings.columns, devices, tally)
    reading = _Reading(sources, tally)
    timed = settings.columns.timed
    rules = Rules(max_gap_ns=settings.max_gap_ns if timed else None)
    sequencer = Sequencer(settings.reorder_fixes, tally, reading.place)
    chunker = Chunker(settings.chunk_fixes, tally, reading.place)
    stitcher = Stitcher(len(zones))
    progress = Progress(bytes_total=reading.total_bytes)
    with contextlib.ExitStack() as stack:
        outputs = stack.enter_context(
            Outputs(settings.crossings, settings.dwell, settings.totals, zones, devices, timed=timed)
        )
        helpers: list[int] = []
        watch = stack.enter_context(MemoryWatch(lambda: helpers))

        def tick(pids: Sequence[int]) -> None:
            helpers[:] = pids
            progress.bytes_done = reading.position_bytes
            progress.peak_bytes = watch.peak_pss_bytes
            on_progress(progress)

        folder = Path(tempfile.mkdtemp(prefix="tagrig-backtest-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        path = index.make(zones, folder, tick)
        engine = stack.enter_context(_engine(path, settings, rules))
        progress.is_judging = True
        cuts = chunker.run(sequencer.run(reading.batches()))
        for judged, complete_below in engine.judge(cuts, lambda: tick(engine.pids())):
            outputs.write(*stitcher.take(judged, complete_below))
            progress.fixes_done += judged.n_fixes
            tick(engine.pids())
        outputs.write(*stitcher.finish())
        totals = stitcher.totals()
        outputs.commit(totals)
    return Summary(
        tally=tally,
        fixes=chunker.n_fixes,
        devices=chunker.n_devices,
        zones=len(zones),
        crossings=stitcher.n_crossings,
        periods=stitcher.n_periods,
        totals=totals,
        peak_pss_bytes=watch.peak_pss_bytes,
        peak_rss_bytes=watch.peak_rss_bytes,
        cluster_peak_rss_bytes=engine.cluster_peak_rss_bytes,
        inputs=[(source.name, first) for source, first in zip(sources, reading.first_number, strict=True)],
    )


def _engine(path: Path, settings: Settings, rules: Rules) -> Engine:
    if settings.dask_address is not None:
        from rig.backtest.dask_engine import DaskCluster

        return DaskCluster(settings.dask_address, path, rules)
    if settings.jobs == 1:
        return InProcess(index.load(path), rules)
    return Processes(path, rules, settings.jobs)


def default_jobs() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))
