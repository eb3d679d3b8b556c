"""What a person at a terminal sees of a run: the truth in grey, the alerts as they arrive, a bar, two tables."""

import math
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from protocols.ble.smart_tag import WarnLevel
from protocols.mqtt.messages import MsgType, WarningStep
from rig.demo.latency import HOPS, HopTimes, Percentiles
from rig.demo.settings import DemoSettings
from rig.report.words import alert_name, clock_text
from rig.runs.record import AlertSeen, Felt, StepSeen
from rig.scenario import Scenario
from rig.truth.expectation import ExpectedAlert
from rig.truth.verdict import Judgement, Match, Verdict
from rig.truth.warned import WarningMatch

_STYLE: Final = {"Extreme": "bold red", "Severe": "yellow", "Moderate": "yellow", "Minor": "cyan"}
_VERDICT_STYLE: Final = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.SKIPPED: "dim"}
_SHORT_HOPS: Final = ("wire", "decode", "judge", "submit", "broker")
"""One word per hop of ``HOPS``."""
"""What a person calls the end of an alert; the contract says Cancel with the kind of the alert that is over."""
_LEFT_OUT: Final = frozenset({WarningStep.ASKED, WarningStep.WRITTEN})
"""Steps that the next one, milliseconds later, includes."""


def milliseconds(value: float) -> str:
    """Two digits after the point; a dash where there is nothing to count."""
    return "–" if math.isnan(value) else f"{value:.2f}"


class Narrator:
    """Tells a run while it happens; ``quiet`` tells nothing."""

    def __init__(self, console: Console, scenario: Scenario, settings: DemoSettings, *, quiet: bool) -> None:
        self._console = console
        self._scenario = scenario
        self._settings = settings
        self._quiet = quiet
        self._alerts = 0
        self._progress = Progress(
            TextColumn("[dim]story {task.fields[at]} of {task.fields[end]}"),
            BarColumn(bar_width=40),
            TextColumn("[dim]{task.fields[alerts]} alerts received"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._mode = ""

    def opening(self) -> None:
        """Say what will happen."""
        if self._quiet:
            return
        scenario = self._scenario
        tags = " and ".join(f"{p.device} ({p.role})" for p in scenario.person)
        smart = "".join(f", {p.smart_tag.id} (smart tag of {p.device})" for p in scenario.person if p.smart_tag)
        body = Text.assemble(
            (scenario.about + "\n\n", ""),
            ("tags on pseudo-terminals → tagrig bridge → embedded broker → independent subscriber", "bold"),
            ("\n            smart tag ⇄ emulated radio ⇄ ↑" if smart else "", "bold"),
            ("\nEach is a process of its own. ", ""),
            (f"Tags: {tags}{smart}. Tag time runs {self._settings.speed:g} times faster than real time; ", "dim"),
            ("the latencies are real.\n", "dim"),
            (
                f"Made-up place: open water near {scenario.origin.lat_deg}, {scenario.origin.lon_deg}. "
                f"Run folder: {self._settings.folder}",
                "dim",
            ),
        )
        self._console.print(Panel(body, title=f"tagrig demo · {scenario.title}", title_align="left", expand=False))

    def waiting(self, what: str) -> None:
        """Say what is waited for."""
        if not self._quiet:
            self._console.print(Text(what, style="dim"))

    def begin(self) -> None:
        """Open the table of events."""
        if not self._quiet:
            self._console.print(
                Text("\nstory   · what is so            ▲ raised  ■ cleared, as the subscriber gets it")
            )
        self._progress.start()
        end = clock_text(self._scenario.duration_s)
        self._task = self._progress.add_task("", total=self._scenario.duration_s, at="0:00", end=end, alerts=0)

    def end(self) -> None:
        """Take the bar away; safe to call twice."""
        self._progress.stop()

    def truth(self, expected: ExpectedAlert) -> None:
        """Print what came true."""
        if not self._quiet:
            self._console.print(Text(f"{clock_text(expected.t_true_s):>5}   · {expected.reason}", style="dim"))

    def alert(self, seen: AlertSeen, times: HopTimes) -> None:
        """Print one alert with its hops."""
        self._alerts += 1
        if self._quiet:
            return
        alert = seen.alert
        mark, style = ("■", "green") if alert.cleared else ("▲", _STYLE.get(seen.severity, ""))
        if seen.msg_type is MsgType.UPDATE:
            mark = "◆"
        name = alert_name(alert, seen.zone_name)
        if seen.distance_m is not None and not alert.cleared:
            name += f", {seen.distance_m:.0f} m"
        hops = " + ".join(
            f"{word} {milliseconds(value)}"
            for word, value in zip(_SHORT_HOPS, times.hops_ms, strict=True)
            if not math.isnan(value)
        )
        total = f"{milliseconds(times.total_ms)} ms = " if not math.isnan(times.total_ms) else "by deadline, ms: "
        line = Text.assemble(
            (f"{clock_text(alert.t_s):>5}   ", "dim"),
            (f"{mark} {name:<58}", style),
            (f" {total}{hops}", "dim"),
        )
        self._console.print(line, soft_wrap=True)

    def step(self, seen: StepSeen) -> None:
        """Print a step of a warning as the provider got it."""
        if self._quiet or seen.step in _LEFT_OUT:
            return
        words = seen.step.value.replace("_", " ")
        if seen.level not in (None, "stand_down"):
            words += f" · {seen.level}"
        late = f" {milliseconds(seen.latency_ms)} ms from fix to tag" if seen.latency_ms is not None else ""
        line = Text.assemble(
            (f"{clock_text(seen.t_s):>5}   ", "dim"), (f"◇ {f'warning {words}':<58}", "cyan"), (late, "dim")
        )
        self._console.print(line, soft_wrap=True)

    def felt(self, felt: Felt) -> None:
        """Print what a protected person feels and does."""
        if self._quiet:
            return
        if felt.text is not None:
            what = "warns her" if felt.text == "nearby" else "tells her"
            words = f"≈ {felt.tag} {what}: {felt.text.replace('_', ' ')}"
            if felt.level:
                words += f" · {WarnLevel(felt.level).name.lower()}"
        elif felt.mode == "acknowledged" and self._mode != "acknowledged":
            words = f"≈ {felt.tag}: she presses the button"
        else:
            words = ""
        self._mode = felt.mode
        if words:
            line = Text.assemble((f"{clock_text(felt.t_s):>5}   ", "dim"), (words, "bold magenta"))
            self._console.print(line)

    def happened(self, t_s: float, what: str) -> None:
        """Print what the bench did to itself."""
        if not self._quiet:
            self._console.print(Text(f"{clock_text(t_s):>5}   ✂ {what}", style="bold yellow"))

    def progress(self, t_s: float) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=t_s, at=clock_text(t_s), alerts=self._alerts)


def print_summary(
    console: Console,
    judgement: Judgement,
    rows: Sequence[Percentiles],
    zones: dict[str, str],
    seen: Sequence[AlertSeen],
    warnings: Sequence[WarningMatch],
) -> None:
    """Print the tables of alerts, of warnings and of hops, and what was wrong."""
    table = Table(title="Alerts owed by the truth and received", title_justify="left")
    for name in ("true at", "what", "window", "received"):
        table.add_column(name, justify="left" if name == "what" else "right")
    table.add_column("verdict")
    for match in judgement.matches:
        if match.verdict is not Verdict.SKIPPED:
            table.add_row(*_match_row(match, zones))
    for alert in judgement.unexpected:
        table.add_row(
            "–",
            alert_name(alert, zones.get(alert.zone_id or "")),
            "must not come",
            clock_text(alert.t_s),
            Text("FAIL unexpected", style="bold red"),
        )
    console.print()
    console.print(table)
    if warnings:
        console.print(_warning_table(warnings))
    hops = Table(title="Latency by hop, ms", title_justify="left")
    for name in ("hop", "alerts", "p50", "p99"):
        hops.add_column(name, justify="left" if name == "hop" else "right")
    for i, row in enumerate(rows):
        style = "bold" if i == len(HOPS) else ""
        cells = (row.name, str(row.count), milliseconds(row.p50_ms), milliseconds(row.p99_ms))
        hops.add_row(*cells, style=style)
    console.print(hops)
    console.print(
        Text(
            "Real time, all on one machine's monotonic clock. With fewer than 100 alerts the p99 is the slowest one.",
            style="dim",
        )
    )
    for text in failures(judgement, zones, seen, warnings):
        console.print(Text(text, style="bold red"))


def _warning_table(warnings: Sequence[WarningMatch]) -> Table:
    table = Table(title="Warnings owed to the protected person, and given", title_justify="left")
    for name in WARNING_HEADS:
        table.add_column(name, justify="left" if name in ("tag", "what", "why") else "right")
    for match in warnings:
        *cells, verdict = warning_row(match)
        table.add_row(*cells, Text(verdict, style=_VERDICT_STYLE[match.verdict]))
    return table


WARNING_HEADS: Final = ("tag", "what", "why", "owed", "done", "provider told", "told she pressed", "verdict")


def warning_row(match: WarningMatch) -> tuple[str, ...]:
    """One warning, or silence, under ``WARNING_HEADS``."""

    def at(t_s: float | None) -> str:
        return "–" if t_s is None else clock_text(t_s)

    owed = match.owed
    quiet = owed.level is WarnLevel.STAND_DOWN
    return (
        owed.smart_tag,
        "silence" if quiet else owed.level.name.lower(),
        owed.reason,
        f"{clock_text(owed.from_s)} to {clock_text(owed.until_s)}",
        at(match.done_at_s),
        "" if quiet else at(match.told_at_s),
        at(match.answered_at_s) if owed.acknowledged else "",
        match.verdict.value,
    )


def _match_row(match: Match, zones: dict[str, str]) -> tuple[str | Text, ...]:
    expected, received = match.expected, match.received
    name = alert_name(expected, zones.get(expected.zone_id or ""))
    verdict = Text(match.verdict.value, style=_VERDICT_STYLE[match.verdict])
    if received is None:
        verdict.append(" missing")
    elif match.off_s:
        verdict.append(f" {abs(match.off_s):.1f} s {'late' if match.off_s > 0 else 'early'}")
    return (
        clock_text(expected.t_true_s),
        name,
        f"{clock_text(expected.earliest_s)} to {clock_text(expected.latest_s)}",
        "–" if received is None else clock_text(received.t_s),
        verdict,
    )


def failures(
    judgement: Judgement, zones: dict[str, str], seen: Sequence[AlertSeen], warnings: Sequence[WarningMatch]
) -> list[str]:
    """Say in plain words what was wrong."""
    out = []
    for expected in judgement.missing:
        name = alert_name(expected, zones.get(expected.zone_id or ""))
        out.append(
            f"missing: {name}: {expected.reason} at {clock_text(expected.t_true_s)}; "
            f"owed by {clock_text(expected.latest_s)}"
        )
    for match in judgement.untimely:
        e = match.expected
        name = alert_name(e, zones.get(e.zone_id or ""))
        word = "late" if match.off_s > 0 else "early"
        out.append(f"{word} by {abs(match.off_s):.1f} s of tag time: {name}: {e.reason}")
    for alert in judgement.unexpected:
        name = alert_name(alert, zones.get(alert.zone_id or ""))
        why = next((s.reason for s in seen if s.index == alert.index), "")
        out.append(f"unexpected: {name} at {clock_text(alert.t_s)}: {why}")
    out += [
        f"{match.owed.smart_tag}, {clock_text(match.owed.from_s)} to {clock_text(match.owed.until_s)} "
        f"({match.owed.reason}): {match.problem}"
        for match in warnings
        if match.problem
    ]
    return out
