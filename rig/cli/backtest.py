"""``tagrig backtest``: a history of fixes through the zones; crossings and dwell as files."""

import json
import re
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

import geofence_core as gc
from devices.clock import SystemClock
from rig.backtest import run
from rig.backtest.chunks import CHUNK_FIXES
from rig.backtest.columns import UNIT_NS, ColumnRules, parse_column_map
from rig.backtest.errors import HistoryError, MissingExtraError
from rig.backtest.sequence import REORDER_FIXES
from rig.backtest.sources import FORMATS
from rig.cli.exit_codes import ExitCode
from rig.cli.stop_signals import STOP_SIGNALS
from rig.errors import BenchBrokenError

_PROGRESS_AFTER_NS = 2_000_000_000
"""A run shorter than this shows no progress; a longer one says how far it is this often."""

_MIB = 1 << 20
_UNITS_S = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0}
_INTERRUPTED = 130
"""Exit code of a program that was interrupted, by convention of shells."""


@click.command(name="backtest")
@click.argument("fixes", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--zones", "zones_path", required=True, type=click.Path(path_type=Path), help="GeoJSON file of zones.")
@click.option(
    "--mend", is_flag=True, help="Mend zones where there is one sensible reading; without it they are refused."
)
@click.option("--crossings", type=click.Path(path_type=Path), help="Write crossings to this .csv or .parquet.")
@click.option("--dwell", type=click.Path(path_type=Path), help="Write periods inside to this .csv or .parquet.")
@click.option("--totals", type=click.Path(path_type=Path), help="Write sums per zone to this .csv or .parquet.")
@click.option("--format", "format_name", type=click.Choice(FORMATS), help="What FIXES are; else their names say it.")
@click.option(
    "--columns", "column_map", metavar="MAP", help="Columns of a table: lat=latitude,lon=lng,time=ts,device=imei"
)
@click.option(
    "--time-unit",
    type=click.Choice(("iso", *UNIT_NS)),
    help="What the time column holds; else it is told from its numbers, if they leave no doubt.",
)
@click.option("--no-times", is_flag=True, help="Judge by the order of the fixes alone; the outputs tell no times.")
@click.option(
    "--max-gap",
    default="10min",
    show_default=True,
    metavar="TIME",
    help="Nothing is joined over a longer gap: 90, 90s, 10min, 2h, or none.",
)
@click.option(
    "--reorder-fixes",
    default=REORDER_FIXES,
    show_default=True,
    type=click.IntRange(min=1),
    help="A fix that stands up to so many records behind a newer one of its device is put in its place.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; default: the cores there are.")
@click.option("--dask", "dask_address", metavar="ADDRESS", help="Judge on this Dask cluster: tcp://host:port")
@click.option(
    "--chunk-fixes",
    default=CHUNK_FIXES,
    show_default=True,
    type=click.IntRange(min=1),
    help="Fixes judged at once by a worker; fewer take less memory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def command(
    fixes: tuple[Path, ...],
    zones_path: Path,
    mend: bool,
    crossings: Path | None,
    dwell: Path | None,
    totals: Path | None,
    format_name: str | None,
    column_map: str | None,
    time_unit: str | None,
    no_times: bool,
    max_gap: str,
    reorder_fixes: int,
    jobs: int | None,
    dask_address: str | None,
    chunk_fixes: int,
    as_json: bool,
) -> None:
    """Run a history of FIXES through zones: who was where, when, and which boundaries were crossed on the way.

    FIXES are CSV or Parquet tables, NMEA logs, GPX tracks or captures of ours, text also as gzip. A table without a
    device column, a log and a track are one device each, named after the file. The same inputs give the same outputs to
    the byte, whatever --jobs, --chunk-fixes and --dask say.

    Exit codes: 0 done (records that were refused are told), 2 the command line, the zones or an input is wrong,
    3 workers or the cluster were lost, 130 interrupted. Outputs appear only when they are whole.
    """
    clock = SystemClock()
    start_ns = clock.mono_ns()
    try:
        rules = ColumnRules(
            names=parse_column_map(column_map) if column_map else {}, time_unit=time_unit, timed=not no_times
        )
        settings = run.Settings(
            inputs=fixes,
            format_name=format_name,
            columns=rules,
            max_gap_ns=_max_gap_ns(max_gap),
            reorder_fixes=reorder_fixes,
            chunk_fixes=chunk_fixes,
            jobs=jobs or run.default_jobs(),
            dask_address=dask_address,
            crossings=crossings,
            dwell=dwell,
            totals=totals,
        )
        zones = gc.ZoneTable.from_geojson(zones_path, mend=mend)
        for mended in zones.mends:
            click.echo(f"tagrig backtest: {zones_path}: {mended}", err=True)
        with ExitStack() as stack:
            stack.enter_context(_Stoppable())
            line = stack.enter_context(_ProgressLine(clock))
            summary = run.run_backtest(zones, settings, line.show)
    except (gc.GeofenceError, HistoryError, MissingExtraError) as exc:
        _end(ExitCode.USAGE, str(exc))
    except BenchBrokenError as exc:
        _end(ExitCode.BENCH_BROKEN, str(exc))
    except KeyboardInterrupt:
        _end(_INTERRUPTED, "interrupted; no output was written")
    seconds = (clock.mono_ns() - start_ns) / 1e9
    _warn(summary)
    if as_json:
        click.echo(json.dumps(_as_object(summary, seconds)))
    else:
        Console().print(_as_table(summary, seconds))


def _end(code: int, message: str) -> NoReturn:
    click.echo(f"tagrig backtest: {message}", err=True)
    sys.exit(code)


def _max_gap_ns(text: str) -> int | None:
    if text == "none":
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h|)", text)
    if match is None:
        raise click.BadParameter(
            f"expected seconds, or a number with s, min or h, or none; got {text!r}", param_hint="'--max-gap'"
        )
    return round(float(match[1]) * _UNITS_S[match[2]] * 1e9)


class _Stoppable:
    """An orderly kill and a closed terminal end a run as Ctrl-C does: with its workers and unfinished files."""

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, _interrupt) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _ProgressLine:
    """Says how far a long run is: a bar where stderr is a terminal, else a line now and then."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._start_ns = clock.mono_ns()
        self._due_ns = self._start_ns + _PROGRESS_AFTER_NS
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: run.Progress) -> None:
        """Take note of how far the run is."""
        now_ns = self._clock.mono_ns()
        words = self._words(progress, now_ns) if progress.is_judging else "making the index of the zones"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=progress.bytes_done, description=words)
        elif now_ns >= self._due_ns:
            self._due_ns = now_ns + _PROGRESS_AFTER_NS
            if sys.stderr.isatty():
                self._bar = Progress(
                    BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}"),
                    console=Console(stderr=True), transient=True,
                )  # fmt: skip
                self._bar.add_task(words, total=progress.bytes_total, completed=progress.bytes_done)
                self._bar.start()
            else:
                share = 100 * progress.bytes_done // max(progress.bytes_total, 1)
                click.echo(f"tagrig backtest: {share} %, {words}", err=True)

    def _words(self, progress: run.Progress, now_ns: int) -> str:
        rate = progress.fixes_done * 1e9 / max(now_ns - self._start_ns, 1)
        peak = "" if progress.peak_bytes is None else f", {progress.peak_bytes // _MIB} MB at most"
        return f"{progress.fixes_done:,} fixes, {rate:,.0f}/s{peak}"


def _warn(summary: run.Summary) -> None:
    for note in summary.tally.notes:
        click.echo(f"tagrig backtest: {note}", err=True)
    if summary.tally.times_without_zone:
        click.echo(
            f"tagrig backtest: {summary.tally.times_without_zone} times say no zone; they were read as UTC", err=True
        )
    for reason, refused in sorted(summary.tally.rejected.items()):
        click.echo(f"tagrig backtest: refused {refused.count}: {reason} (first: {refused.first_place})", err=True)


def _as_object(summary: run.Summary, seconds: float) -> dict[str, object]:
    tally = summary.tally
    return {
        "fixes": summary.fixes,
        "records": tally.records,
        "without_position": tally.without_position,
        "times_without_zone": tally.times_without_zone,
        "rejected": {
            reason: {"count": refused.count, "first": refused.first_place}
            for reason, refused in sorted(tally.rejected.items())
        },
        "inputs": [{"file": name, "first_fix_number": first} for name, first in summary.inputs],
        "devices": summary.devices,
        "zones": summary.zones,
        "crossings": summary.crossings,
        "dwell_rows": summary.periods,
        "seconds": round(seconds, 3),
        "fixes_per_s": round(summary.fixes / seconds),
        "peak_pss_bytes": summary.peak_pss_bytes,
        "peak_rss_bytes": summary.peak_rss_bytes,
        "cluster_peak_rss_bytes": summary.cluster_peak_rss_bytes,
    }


def _as_table(summary: run.Summary, seconds: float) -> Table:
    tally = summary.tally
    table = Table(show_header=False, box=None)
    refused = ", ".join(f"{reason} {what.count:,}" for reason, what in sorted(tally.rejected.items()))
    rows = [
        ("fixes judged", f"{summary.fixes:,} of {tally.records:,} records"),
        ("without position", f"{tally.without_position:,}"),
        ("refused", refused or "none"),
        ("devices", f"{summary.devices:,}"),
        ("zones", f"{summary.zones:,}"),
        ("crossings", f"{summary.crossings:,}"),
        ("periods of dwell", f"{summary.periods:,}"),
        ("time", f"{seconds:.1f} s, {summary.fixes / seconds:,.0f} fixes/s"),
    ]
    if summary.peak_pss_bytes is not None and summary.peak_rss_bytes is not None:
        rows.append(
            ("peak memory", f"{summary.peak_pss_bytes // _MIB} MiB (resident {summary.peak_rss_bytes // _MIB} MiB)")
        )
    if summary.cluster_peak_rss_bytes is not None:
        rows.append(("of the cluster", f"{summary.cluster_peak_rss_bytes // _MIB} MiB resident in all its workers"))
    for name, value in rows:
        table.add_row(name, value)
    return table
