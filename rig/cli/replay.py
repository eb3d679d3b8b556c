"""``tagrig replay``: a run again to the byte, or recordings in the place of devices."""

import json
import math
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
from rig.replay.cast import Asked
from rig.replay.from_captures import UNJUDGED, replay_captures
from rig.replay.recordings import play_recordings
from rig.replay.run_again import REPLAY_FILE, ReplayedRun, replay_run
from rig.runs.folder import JOURNAL_FILE, RUN_FILE, VERDICT_FILE
from rig.truth.findings import RunVerdict
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


_RECORDING = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@click.option(
    "--pace", default="max", show_default=True, metavar="max|recorded|xN", help="How fast turns of RUN follow."
)
@click.option("--wearer", "wearers", type=_RECORDING, multiple=True, help="A recording in the place of a wearer's tag.")
@click.option("--protected", type=_RECORDING, multiple=True, help="One in the place of a protected person's device.")
@click.option("--protected-at", metavar="LAT,LON", help="A protected person who stays there.")
@click.option(
    "--each-with-each", type=_RECORDING, multiple=True, help="Recordings that are both, each held against each other."
)
@click.option("--truth", type=_RECORDING, help="Where all of them truly were. [each is its own truth]")
@click.option(
    "--rings", default="50,500,1000", show_default=True, metavar="CONTACT,ALARM,PRE", help="Proximity rings, metres."
)
@click.option("--from-s", type=click.FloatRange(0), default=0.0, help="Begin so late in the time that they share.")
@click.option("--until-s", type=click.FloatRange(0), help="End so late in it.")
@click.option(
    "--delay-s", type=click.FloatRange(0), default=0.0, help="The protected are so far behind: same places, later."
)
@click.option("--out", type=click.Path(path_type=Path), help="Parent of the new folder. [beside RUN; runs]")
@click.option("--no-report", is_flag=True, help="Compare and judge, and write no page.")
@click.option("--json", "as_json", is_flag=True, help="Print only a JSON summary.")
def command(
    run: Path | None,
    pace: str,
    wearers: tuple[Path, ...],
    protected: tuple[Path, ...],
    protected_at: str | None,
    each_with_each: tuple[Path, ...],
    truth: Path | None,
    rings: str,
    from_s: float,
    until_s: float | None,
    delay_s: float,
    out: Path | None,
    no_report: bool,
    as_json: bool,
) -> None:
    """Do a run again from its folder RUN: each message to the byte, the bytes of the captures, the verdict, a report.

    A run without a journal is played again from its captures, and its alerts are compared.

    Or play recordings through a bridge and judge what it tells of who is near whom:

    \b
    tagrig replay --wearer his.nmea.gz --protected her.gpx --rings 50,500,1000
    tagrig replay --wearer drive.nmea --protected-at 51.0,-6.5 --truth reference.nmea
    tagrig replay --each-with-each a.gpx --each-with-each b.gpx --each-with-each c.gpx

    Recordings are NMEA logs, GPX, CSV and captures (.tagcap), also gzip. The judge knows at each moment how wrong each
    receiver was, by the truth, and holds the bridge to what follows from it.

    Exit codes: the run's own, 0 for PASS and 1 for FAIL; 2 it cannot be replayed; 3 something is not as it was, or the
    run could not be judged.
    """  # noqa: D301 - click takes the backspace for "do not wrap"
    is_recorded = bool(wearers or protected or protected_at or each_with_each)
    if is_recorded == (run is not None):
        raise click.UsageError("expected either the folder of a run, or recordings (--wearer and --protected)")
    try:
        if run is not None:
            code = _replay_run(run, pace, out, no_report=no_report, as_json=as_json)
        else:
            contact_m, alarm_m, pre_alert_m = _numbers(rings, 3, "--rings")
            asked = Asked(
                wearers=wearers,
                protected=protected,
                protected_at=None if protected_at is None else _place(protected_at),
                each_with_each=each_with_each,
                truth=truth,
                rings_m=(contact_m, alarm_m, pre_alert_m),
                from_s=from_s,
                until_s=until_s,
                delay_s=delay_s,
            )
            code = _play_recordings(asked, out or Path("runs"), no_report=no_report, as_json=as_json)
    except BenchBrokenError as exc:
        _end(exc, ExitCode.BENCH_BROKEN)
    except (RigError, BridgeError) as exc:
        _end(exc, ExitCode.USAGE)
    sys.exit(code)


def _replay_run(run: Path, pace: str, out: Path | None, *, no_report: bool, as_json: bool) -> ExitCode:
    if (run / RUN_FILE).exists() and not (run / JOURNAL_FILE).exists():
        return _replay_captures(run, out, no_report=no_report, as_json=as_json)
    replayed = replay_run(run, out=out, pace=pace, clock=SystemClock(), tell=_Progress(pace, quiet=as_json))
    page = None if no_report else _write_report(replayed.folder, replayed.verdict)
    if as_json:
        click.echo(json.dumps(json.loads((replayed.folder / REPLAY_FILE).read_bytes())))
    else:
        _print(replayed, page)
    return ExitCode.BENCH_BROKEN if replayed.problems else _CODES[replayed.verdict.verdict]


def _replay_captures(run: Path, out: Path | None, *, no_report: bool, as_json: bool) -> ExitCode:
    again = replay_captures(run, out=out)
    page = None if no_report else _write_report(again.folder, UNJUDGED)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "run": str(run),
                    "folder": str(again.folder),
                    "same": not again.problems,
                    "journal": False,
                    "alerts": again.alerts,
                    "alerts_same": again.same,
                    "problems": again.problems,
                    "cautions": again.cautions,
                }
            )
        )
    else:
        _row("no journal", f"played again from the bytes of {', '.join(again.devices)}; clocks and network are new")
        if again.emulated_anew:
            _row("", f"emulated anew, for want of bytes: {', '.join(again.emulated_anew)}")
        _row("alerts", f"{again.same} of {again.alerts} came again")
        for caution in again.cautions:
            _row("note", caution)
        for problem in again.problems[:_MOST_LINES]:
            _row("NOT THE SAME", problem)
        _row("report" if page is not None else "folder", str(page or again.folder))
    return ExitCode.BENCH_BROKEN if again.problems else ExitCode.OK


def _play_recordings(asked: Asked, out: Path, *, no_report: bool, as_json: bool) -> ExitCode:
    folder, verdict, judged = play_recordings(asked, out)
    page = None if no_report else _write_report(folder, verdict)
    if as_json:
        pairs = [
            {
                "wearer": each.wearer,
                "protected": each.person,
                "verdict": each.verdict.value,
                "judged_s": each.judged_s,
                "decided_s": each.decided_s,
                "contradicted_s": each.contradicted_s,
                "as_true_s": each.as_true_s,
                "nearest_m": round(each.nearest_m, 1),
                "worst_error_m": round(each.worst_error_m, 1),
            }
            for each in judged
        ]
        click.echo(json.dumps({"verdict": verdict.verdict.value, "folder": str(folder), "pairs": pairs}))
        return _CODES[verdict.verdict]
    for each in judged:
        told = f"told as it truly was {each.as_true_share:.1%} of {each.judged_s:.0f} s"
        sure = f"the truth decides {each.decided_share:.1%}, against it {each.contradicted_s:.0f} s"
        errors = f"receivers at most {each.worst_error_m:.0f} m wrong together"
        _row(each.verdict.value, f"{each.wearer} and {each.person}: {told}; {sure}; {errors}")
    _row("verdict", verdict.verdict.value)
    for problem in verdict.problems[:_MOST_LINES]:
        _row("", problem)
    _row("report" if page is not None else "folder", str(page or folder))
    return _CODES[verdict.verdict]


def _place(text: str) -> tuple[float, float]:
    lat, lon = _numbers(text, 2, "--protected-at")
    return lat, lon


def _numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != count or not all(map(math.isfinite, found)):
        raise click.BadParameter(f"expected {count} numbers with commas between them, got {text!r}", param_hint=option)
    return found


def _end(exc: Exception, code: ExitCode) -> NoReturn:
    click.echo(f"tagrig replay: {exc}", err=True)
    sys.exit(code)


def _write_report(folder: Path, verdict: RunVerdict) -> Path:
    # the plotting library takes a second to load: only where a page is wanted
    from rig.report.write import write_report

    return write_report(folder, verdict)


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
    if then is None:
        was = "then: not known" if (replayed.run / VERDICT_FILE).exists() else "it was not judged then"
    else:
        was = "as then" if then == replayed.verdict else f"then {then.verdict}"
    _row("verdict", f"{replayed.verdict.verdict.value} ({was})")
    for caution in judged.cautions:
        _row("note", caution)
    if wire.alerts_not_received:
        _row("note", f"made and never arrived: {', '.join(wire.alerts_not_received[:3])}")
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
