"""``tagrig replay``: a run again to the byte, or recordings in the place of devices."""

import json
import sys
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from bridge.errors import BridgeError
from bridge.publisher import Lane, Message
from devices.clock import SystemClock
from rig.cli.exit_codes import ExitCode
from rig.errors import BenchBrokenError, RigError
from rig.replay.run_again import REPLAY_FILE, ReplayedRun, replay_run
from rig.truth.verdict import Verdict

_PROGRESS_NS = 2_000_000_000
"""A replay shorter than this shows no progress; a longer one says how far it is this often."""

_MOST_LINES = 8
"""Differences that are printed: the first one says most, the others follow from it."""

_CODES = {
    Verdict.PASS: ExitCode.OK,
    Verdict.SKIPPED: ExitCode.OK,
    Verdict.FAIL: ExitCode.VERDICT_FAIL,
    Verdict.ERROR: ExitCode.BENCH_BROKEN,
    Verdict.UNSET: ExitCode.BENCH_BROKEN,
}


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--pace", default="max", show_default=True, metavar="max|recorded|xN", help="How fast turns follow.")
@click.option("--out", type=click.Path(path_type=Path), help="Parent of the replay's folder. [beside RUN]")
@click.option("--no-report", is_flag=True, help="Compare and judge, and write no page.")
@click.option("--json", "as_json", is_flag=True, help="Print only a JSON summary.")
def command(run: Path, pace: str, out: Path | None, no_report: bool, as_json: bool) -> None:
    """Do a run again from its folder RUN: each message to the byte, the bytes of the captures, the verdict, a report.

    Exit codes: the run's own, 0 for PASS and 1 for FAIL; 2 the folder cannot be replayed; 3 something is not as it was,
    or the run could not be judged.
    """
    try:
        replayed = replay_run(run, out=out, pace=pace, clock=SystemClock(), tell=_Progress(pace, quiet=as_json))
        page = None if no_report else _write_report(replayed)
    except BenchBrokenError as exc:
        _end(exc, ExitCode.BENCH_BROKEN)
    except (RigError, BridgeError) as exc:
        _end(exc, ExitCode.USAGE)
    if as_json:
        click.echo(json.dumps(json.loads((replayed.folder / REPLAY_FILE).read_bytes())))
    else:
        _print(replayed, page)
    sys.exit(ExitCode.BENCH_BROKEN if replayed.problems else _CODES[replayed.verdict.verdict])


def _end(exc: Exception, code: ExitCode) -> NoReturn:
    click.echo(f"tagrig replay: {exc}", err=True)
    sys.exit(code)


def _write_report(replayed: ReplayedRun) -> Path:
    # the plotting library takes a second to load: only where a page is wanted
    from rig.report.write import write_report

    return write_report(replayed.folder, replayed.verdict)


def _print(replayed: ReplayedRun, page: Path | None) -> None:
    judged, wire = replayed.judged, replayed.wire
    known = len(judged.messages)
    _row("judged again", f"{judged.turns} turns: {judged.proven} of {known} messages are the same to the byte")
    repeated = f", {wire.repeated} of them sent more than once" if wire.repeated else ""
    _row("arrived", f"{wire.identical} of {wire.received} messages are the same to the byte{repeated}")
    missing = ", ".join(f"{count} of {lane}s" for lane, count in sorted(wire.not_received.items()))
    if missing:
        _row("", f"made and not arrived: {missing} (overtaken, over a limit, or not needed)")
    for line in replayed.lines:
        _row("bytes", f"{line.device}: {line.n_bytes} bytes say {line.identical} of {line.reports} reports")
    then = replayed.verdict_then
    was = (
        "it was not judged then" if then is None else "as then" if then == replayed.verdict else f"then {then.verdict}"
    )
    _row("verdict", f"{replayed.verdict.verdict.value} ({was})")
    for caution in judged.cautions:
        _row("note", caution)
    for problem in replayed.problems[:_MOST_LINES]:
        _row("NOT THE SAME", problem)
    if len(replayed.problems) > _MOST_LINES:
        _row("", f"... and {len(replayed.problems) - _MOST_LINES} more in {REPLAY_FILE}")
    for problem in replayed.verdict.problems:
        _row("", problem)
    _row("report" if page is not None else "folder", str(page or replayed.folder))


def _row(name: str, text: str) -> None:
    click.echo(f"{name:<14}{text}")


class _Progress:
    """Says how far a long replay is; at a pace of people it tells the alerts as they come."""

    def __init__(self, pace: str, *, quiet: bool) -> None:
        self._quiet = quiet
        self._tells = pace != "max" and not quiet
        self._clock = SystemClock()
        self._due_ns = self._clock.mono_ns() + _PROGRESS_NS

    def __call__(self, done: int, of: int, made: list[Message]) -> None:
        if self._tells:
            for message in made:
                if message.lane is Lane.ALERT:
                    click.echo(_alert_line(message))
        elif not self._quiet and self._clock.mono_ns() >= self._due_ns:
            self._due_ns = self._clock.mono_ns() + _PROGRESS_NS
            click.echo(f"tagrig replay: {100 * done // of} % of {of} turns", err=True)


class _Data(msgspec.Struct, frozen=True):
    msg_type: str = ""
    kind: str = ""
    step: str = ""
    reason: str = ""


class _Event(msgspec.Struct, frozen=True):
    time: str
    data: _Data


def _alert_line(message: Message) -> str:
    event = msgspec.json.decode(message.body, type=_Event)
    data = event.data
    words = " ".join(word for word in (data.msg_type, data.kind, data.step) if word)
    return f"{event.time}  {message.topic}  {words}  {data.reason}".rstrip()
