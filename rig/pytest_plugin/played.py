"""A run that a test has played: what it expects of it, what must not have come, what it measures."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from protocols.mqtt.messages import AlertKind
from rig.pytest_plugin.asked import Asked, ask
from rig.pytest_plugin.telling import explain, replay_command, summary
from rig.runs.load import LoadedRun
from rig.runs.record import AlertSeen
from rig.truth.findings import Finding, Limit, Measurement, RunVerdict, span_text
from rig.truth.verdict import Verdict

MEASUREMENTS_FILE: Final = "measurements.jsonl"
"""In the run's folder: what tests measured, each with its series."""


BY_TIMER: Final = frozenset({AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST})
"""Raised by a deadline: no report shows them."""

Value = float | Iterable[float | tuple[float, float]] | None
"""One value, several, or several with their times."""


class ExpectationError(AssertionError):
    """What a run did is not what a test expects; the message says what it did instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Seconds of the scenario in which an alert may come: not before, and not after."""

    earliest_s: float
    latest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """An alert as the provider's subscriber got it.

    Attributes
    ----------
    kind : str
    t_s : float
        When it arrived, seconds of the scenario.
    latency_ms : float or None
        From the report that shows it to the subscriber (of hardware: from its bytes' arrival at the bridge); None
        where no report does (a deadline passed).
    reason : str
        As the message says it.
    seen : AlertSeen
        All of it.
    """

    kind: str
    t_s: float
    latency_ms: float | None
    reason: str
    seen: AlertSeen


class PlayedRun:
    """One run.

    Parameters
    ----------
    loaded : LoadedRun
    verdict : RunVerdict
    roles : dict of str to str
        Device by role.
    note : callable
        Takes name and text of what goes into the test's own report.

    Attributes
    ----------
    folder : Path
        Everything that the run left.
    loaded : LoadedRun
    verdict : RunVerdict
        What the truth says of it.
    """

    def __init__(
        self, loaded: LoadedRun, verdict: RunVerdict, roles: dict[str, str], note: Callable[[str, str], None]
    ) -> None:
        self.loaded = loaded
        self.verdict = verdict
        self._roles = roles
        self._note = note
        self.measurements: list[Measurement] = []

    @property
    def folder(self) -> Path:
        """Everything that the run left."""
        return self.loaded.folder

    @property
    def replay_command(self) -> str:
        """What plays it again."""
        return replay_command(self.loaded)

    @property
    def alerts(self) -> list[Arrived]:
        """All alerts in the order of their arrival."""
        return [self._arrived(seen) for seen in self.loaded.record.alerts]

    def window(
        self,
        kind: str,
        *,
        zone: str | None = None,
        band: str | None = None,
        of: str | None = None,
        side: str | None = None,
        cleared: bool = False,
        nth: int = 1,
    ) -> Window:
        """Return when the truth owes an alert: the nth of its kind.

        Parameters
        ----------
        kind : str
            As in the contract: ``exclusion_zone_entered``, ``proximity_breach``, ``strap_tamper``, ...
        zone, band : str, optional
            ``band`` of a proximity: ``contact``, ``alarm``, ``pre_alert``.
        of : str, optional
            Role or device on whose topic it comes.
        side : {"tag", "protected"}, optional
        cleared : bool
            Its end.
        nth : int

        Raises
        ------
        ExpectationError
            The truth owes no such alert, or it may come or not.
        """
        __tracebackhide__ = True
        asked = self._asked(kind, zone=zone, band=band, of=of, side=side, cleared=cleared)
        owed = [each for each in self._owed(asked) if each.earliest_s is not None or each.latest_s is not None]
        if len(owed) < nth:
            raise ExpectationError(
                explain(
                    f"{asked.words}: the truth owes {len(owed)} of it, number {nth} was asked for",
                    self.loaded, asked, None, self.verdict,
                )
            )  # fmt: skip
        found = owed[nth - 1]
        return Window(
            earliest_s=-math.inf if found.earliest_s is None else found.earliest_s,
            latest_s=math.inf if found.latest_s is None else found.latest_s,
        )

    def expect_alert(
        self,
        kind: str,
        *,
        zone: str | None = None,
        band: str | None = None,
        of: str | None = None,
        side: str | None = None,
        cleared: bool = False,
        nth: int = 1,
        within: Window | tuple[float, float] | None = None,
    ) -> Arrived:
        """Return the nth alert of a kind; it must have come in its window.

        Parameters
        ----------
        within : Window or (float, float), optional
            Seconds of the scenario; absent: as the truth owes it.

        See ``window`` for the others.

        Raises
        ------
        ExpectationError
            It did not come, came early or late, or took longer from its report than is allowed.
        """
        __tracebackhide__ = True
        asked = self._asked(kind, zone=zone, band=band, of=of, side=side, cleared=cleared)
        came = [seen for seen in self.loaded.record.alerts if asked.fits(seen)]
        if within is not None:
            return self._within(asked, came, nth, within)
        owed = self._owed(asked)
        if len(owed) < nth:
            problem = f"{asked.words}: the truth owes {len(owed)} of it, number {nth} was asked for; {len(came)} came"
            raise ExpectationError(explain(problem, self.loaded, asked, None, self.verdict))
        finding = owed[nth - 1]
        about = [finding, *(each for each in self.verdict.findings if each.index == finding.index is not None)]
        bad = next((each for each in about if each.verdict is not Verdict.PASS), None)
        if finding.index is None or bad is not None:
            window = _bounds(finding)
            reason = (bad or finding).reason or "it never came"
            problem = f"{asked.words}: {reason} (owed within {_span(window)})"
            raise ExpectationError(explain(problem, self.loaded, asked, window, self.verdict))
        return self._arrived(self.loaded.record.alerts[finding.index])

    def expect_silence(
        self,
        kind: str | None = None,
        *,
        zone: str | None = None,
        band: str | None = None,
        of: str | None = None,
        side: str | None = None,
        from_s: float = 0.0,
        until_s: float = math.inf,
    ) -> None:
        """Raise where such an alert (without ``kind``: any alert) came between two times of the scenario.

        Raises
        ------
        ExpectationError
        """
        __tracebackhide__ = True
        asked = self._asked(kind, zone=zone, band=band, of=of, side=side, cleared=False)
        for seen in self.loaded.record.alerts:
            if asked.fits(seen) and from_s <= seen.alert.t_s < until_s:
                said = next((f.reason for f in self.verdict.findings if f.index == seen.index and f.reason), "")
                problem = f"{asked.words}: must not have fired at {seen.alert.t_s:.2f} s{': ' + said if said else ''}"
                window = (seen.alert.t_s, seen.alert.t_s)
                raise ExpectationError(explain(problem, self.loaded, asked, window, self.verdict))

    def expect_verdict(self, verdict: str = "PASS") -> None:
        """Raise where the truth's verdict of the whole run is another one.

        Raises
        ------
        ExpectationError
            With every finding that is not green.
        """
        __tracebackhide__ = True
        if self.verdict.verdict.value != verdict:
            told = "\n".join(f"  {each}" for each in self.verdict.problems) or summary(self.verdict.findings)
            raise ExpectationError(
                f"the verdict is {self.verdict.verdict.value}, expected {verdict}\n{told}\n"
                f"run: {self.folder}\nreplay it: {self.replay_command}"
            )

    def measure(
        self,
        name: str,
        value: Value,
        *,
        unit: str,
        limit: str,
        marginal: str | None = None,
    ) -> Measurement:
        """Hold a quantity against its limit; all values of a series must keep it.

        Parameters
        ----------
        name : str
        value : float, sequence of float, or pairs (seconds of the scenario, value)
        unit : str
        limit : str
            ``<= 250``; also ``< > >= ==``.
        marginal : str, optional
            What should be kept; a value between the two is told, and passes.

        Raises
        ------
        ExpectationError
            Beyond the limit, or there is no value: UNSET is never green.
        """
        __tracebackhide__ = True
        Limit.parse(limit)
        if marginal is not None:
            Limit.parse(marginal)
        measurement = Measurement(name=name, unit=unit, limit=limit, marginal=marginal, series=_series(value))
        self.measurements.append(measurement)
        with (self.folder / MEASUREMENTS_FILE).open("ab") as file:
            file.write(msgspec.json.encode(measurement) + b"\n")
        outcome = f"{measurement.verdict.value}{' MARGINAL' if measurement.is_marginal else ''}"
        worst = measurement.worst
        got = "no value" if worst is None else f"{worst:.6g} {unit}"
        self._note(name, f"{got} ({limit} {unit}) {outcome}")
        if measurement.verdict is Verdict.PASS:
            return measurement
        if worst is None:
            problem = f"{name}: UNSET: nothing was measured, expected {limit} {unit}"
        else:
            beyond = abs(measurement.margin or 0.0)
            problem = f"{name}: {got} is not {limit} {unit}: {beyond:.4g} {unit} beyond"
        raise ExpectationError(f"{problem}\nrun: {self.folder}\nreplay it: {self.replay_command}")

    # --- inside -----------------------------------------------------------------------------------------------------

    def _asked(
        self,
        kind: str | None,
        *,
        zone: str | None,
        band: str | None,
        of: str | None,
        side: str | None,
        cleared: bool,
    ) -> Asked:
        return ask(self.loaded.scenario, self._roles, kind, zone=zone, band=band, of=of, side=side, cleared=cleared)

    def _owed(self, asked: Asked) -> list[Finding]:
        owed = [each for each in self.verdict.findings if each.check == "window" and asked.is_of(each)]
        if asked.side is None and asked.device is None and any(each.side == "tag" for each in owed):
            # what is told on both sides of the wall is one thing to a test that does not name a side
            owed = [each for each in owed if each.side == "tag"]
        owed = [each for each in owed if each.verdict is not Verdict.SKIPPED]
        return sorted(owed, key=_when)

    def _within(self, asked: Asked, came: list[AlertSeen], nth: int, within: Window | tuple[float, float]) -> Arrived:
        __tracebackhide__ = True
        low, high = (within.earliest_s, within.latest_s) if isinstance(within, Window) else within
        high += self.loaded.file.allowance_s
        inside = [seen for seen in came if low <= seen.alert.t_s <= high]
        if len(inside) >= nth:
            return self._arrived(inside[nth - 1])
        problem = f"{asked.words}: {len(inside)} came within {_span((low, high))}, number {nth} was asked for"
        if came and not inside:
            nearest = min(came, key=lambda seen: max(low - seen.alert.t_s, seen.alert.t_s - high))
            off_s = max(low - nearest.alert.t_s, nearest.alert.t_s - high)
            problem += f"; {'early' if nearest.alert.t_s < low else 'late'} by {span_text(off_s)}"
        raise ExpectationError(explain(problem, self.loaded, asked, (low, high), self.verdict))

    def _arrived(self, seen: AlertSeen) -> Arrived:
        record = self.loaded.record
        total_ms = record.times[seen.index].total_ms if seen.index < len(record.times) else math.nan
        tail = record.truth.get(seen.trace.device_id)
        if math.isnan(total_ms) and (tail is None or not tail.epochs) and seen.alert.kind not in BY_TIMER:
            # hardware keeps no log of when it sent: its bytes' arrival at the bridge is the next best
            total_ms = (seen.t_sub_mono_ns - seen.trace.rx_mono_ns) / 1e6
        return Arrived(
            kind=seen.alert.kind.value,
            t_s=seen.alert.t_s,
            latency_ms=None if math.isnan(total_ms) else total_ms,
            reason=seen.reason,
            seen=seen,
        )


def _when(finding: Finding) -> float:
    """When it is due; of what may come or not, when it came."""
    known = (finding.earliest_s, finding.received_s, finding.latest_s)
    return next((t_s for t_s in known if t_s is not None), 0.0)


def _bounds(finding: Finding) -> tuple[float, float]:
    return (
        -math.inf if finding.earliest_s is None else finding.earliest_s,
        math.inf if finding.latest_s is None else finding.latest_s,
    )


def _span(window: tuple[float, float]) -> str:
    return f"{window[0]:.2f} to {window[1]:.2f} s"


def _series(value: Value) -> tuple[tuple[float, float], ...]:
    if value is None:
        return ()
    if isinstance(value, int | float):
        return () if math.isnan(value) else ((0.0, float(value)),)
    pairs: list[tuple[float, float]] = []
    for number, each in enumerate(value):
        if isinstance(each, tuple):
            t_s, one = each
            pairs.append((float(t_s), float(one)))
        else:
            pairs.append((float(number), float(each)))
    return tuple((t_s, one) for t_s, one in pairs if not math.isnan(one))
