"""Holds what a subscriber received against what was expected."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

from protocols.mqtt.messages import AlertKind, BandName
from rig.truth.expectation import ExpectedAlert, Side


@unique
class Verdict(StrEnum):
    """Outcome of a run or of one expectation; only PASS is green."""

    PASS = "PASS"
    FAIL = "FAIL"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"
    UNSET = "UNSET"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedAlert:
    """What a subscriber got, reduced to what an expectation names; ``t_s`` is its arrival in tag seconds.

    ``about``: the other one of a pair, None where an alert is about nobody else.
    """

    kind: AlertKind
    cleared: bool
    side: Side
    subject: str
    zone_id: str | None
    band: BandName | None
    t_s: float
    index: int
    about: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An expectation and what came for it; ``off_s`` is how early (negative) or late it was, 0 inside the window."""

    expected: ExpectedAlert
    received: ReceivedAlert | None
    off_s: float

    @property
    def verdict(self) -> Verdict:
        """SKIPPED for an optional alert that did not come."""
        if self.received is None:
            return Verdict.FAIL if self.expected.required else Verdict.SKIPPED
        return Verdict.PASS if self.off_s == 0.0 else Verdict.FAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict of a run and what it rests on."""

    matches: tuple[Match, ...]
    unexpected: tuple[ReceivedAlert, ...]

    @property
    def missing(self) -> tuple[ExpectedAlert, ...]:
        """Required alerts that did not come."""
        return tuple(m.expected for m in self.matches if m.received is None and m.expected.required)

    @property
    def untimely(self) -> tuple[Match, ...]:
        """Alerts that came outside their window."""
        return tuple(m for m in self.matches if m.received is not None and m.off_s != 0.0)

    @property
    def verdict(self) -> Verdict:
        """UNSET where nothing was required."""
        if self.missing or self.untimely or self.unexpected:
            return Verdict.FAIL
        return Verdict.PASS if any(m.expected.required for m in self.matches) else Verdict.UNSET


def judge(expected: Sequence[ExpectedAlert], received: Sequence[ReceivedAlert], *, allowance_s: float) -> Judgement:
    """Match alerts to expectations, each at most once.

    Parameters
    ----------
    expected : sequence of ExpectedAlert
    received : sequence of ReceivedAlert
        In the order of arrival.
    allowance_s : float
        Tag seconds that the way from the tag to the subscriber may take.
    """
    left = list(received)
    matches: list[Match | None] = [None] * len(expected)
    # required ones choose first: an optional expectation must not take what a required one needs
    order = sorted(range(len(expected)), key=lambda i: (not expected[i].required, expected[i].earliest_s))
    for within in (True, False):
        for i in order:
            if matches[i] is not None:
                continue
            candidates = [r for r in left if _same(expected[i], r)]
            if within:
                candidates = [r for r in candidates if _off_s(expected[i], r, allowance_s) == 0.0]
            elif not expected[i].required:
                candidates = []
            if candidates:
                best = min(candidates, key=lambda r: (abs(_off_s(expected[i], r, allowance_s)), r.t_s))
                left.remove(best)
                matches[i] = Match(expected=expected[i], received=best, off_s=_off_s(expected[i], best, allowance_s))
    done = tuple(
        match or Match(expected=e, received=None, off_s=0.0) for match, e in zip(matches, expected, strict=True)
    )
    return Judgement(matches=done, unexpected=tuple(left))


def _same(expected: ExpectedAlert, received: ReceivedAlert) -> bool:
    return (
        expected.kind is received.kind
        and expected.cleared == received.cleared
        and expected.side == received.side
        and expected.subject == received.subject
        and expected.zone_id == received.zone_id
        and expected.band == received.band
    )


def _off_s(expected: ExpectedAlert, received: ReceivedAlert, allowance_s: float) -> float:
    if received.t_s < expected.earliest_s:
        return received.t_s - expected.earliest_s
    return max(0.0, received.t_s - expected.latest_s - allowance_s)
