"""Whether what was told of two people's separation agrees with where they truly were.

The oracle of recordings. Nothing is modelled: how wrong each receiver was is known at every moment, as the distance
from the position that it told last to the true place. Where the true separation and these two errors leave no doubt,
the band that was told must be right; elsewhere either is.

=================  ===========================================================================
at time t          d: true separation; e: error of his last position + error of hers
surely within r    d + e <= r: two positions that are at most e wrong lie within r
surely beyond r    d - e > r + exit margin, and so since the report before the last of each
no say             else, or a last position is older than the bridge lets count
=================  ===========================================================================

Scalar, geographiclib; nothing is shared with the code under test.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocols.mqtt.messages import AlertKind, BandName
from rig.replay.recorded import Place
from rig.truth.findings import Finding, FindingSide, Measurement, together
from rig.truth.geometry import separation_m
from rig.truth.verdict import ReceivedAlert, Verdict

STEP_S: Final = 1.0
"""How often the truth is asked: receivers tell once a second at most, a bicycle moves 8 m meanwhile."""

SETTLE_S: Final = 2.0
"""How long a band may take to be told: a report ends 0.15 s after its last byte where the receiver then pauses, and the
alert follows in milliseconds. The truth is asked once a second."""

_ORDER: Final = (BandName.CLEAR, BandName.PRE_ALERT, BandName.ALARM, BandName.CONTACT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """Rings of a pair, metres, and how far beyond one its end lies."""

    contact_m: float
    alarm_m: float
    pre_alert_m: float
    exit_margin_m: float

    def of(self, band: BandName) -> float:
        """Radius of a band's ring."""
        return {
            BandName.CONTACT: self.contact_m,
            BandName.ALARM: self.alarm_m,
            BandName.PRE_ALERT: self.pre_alert_m,
        }[band]

    def band_at(self, distance_m: float) -> BandName:
        """Name the innermost ring that a distance lies in."""
        for band in (BandName.CONTACT, BandName.ALARM, BandName.PRE_ALERT):
            if distance_m <= self.of(band):
                return band
        return BandName.CLEAR


class Told:
    """What one receiver told, and where it truly was; times in seconds of the run.

    Parameters
    ----------
    places : sequence of Place
    truth : sequence of Place
    zero_utc_ns : int
    """

    def __init__(self, places: Sequence[Place], truth: Sequence[Place], zero_utc_ns: int) -> None:
        self._places = places
        self._times = [(place.t_utc_ns - zero_utc_ns) / 1e9 for place in places]
        self._truth = truth
        self._truth_times = [(place.t_utc_ns - zero_utc_ns) / 1e9 for place in truth]

    @property
    def from_s(self) -> float:
        """When it is known where it was and what it said."""
        return max(self._times[0], self._truth_times[0])

    @property
    def until_s(self) -> float:
        """When it is known no more."""
        return min(self._times[-1], self._truth_times[-1])

    def age_s(self, t_s: float) -> float:
        """How old its last position is."""
        return t_s - self._times[self._last(t_s)]

    def since_s(self, t_s: float) -> float:
        """When the position before its last one came."""
        return self._times[max(0, self._last(t_s) - 1)]

    def true_at(self, t_s: float) -> tuple[float, float]:
        """Where it truly was, latitude and longitude."""
        after = min(max(1, bisect.bisect_right(self._truth_times, t_s)), len(self._truth) - 1)
        a, b = self._truth[after - 1], self._truth[after]
        span_s = self._truth_times[after] - self._truth_times[after - 1]
        share = min(1.0, max(0.0, (t_s - self._truth_times[after - 1]) / span_s)) if span_s > 0 else 0.0
        return a.lat_deg + share * (b.lat_deg - a.lat_deg), a.lon_deg + share * (b.lon_deg - a.lon_deg)

    def error_m(self, t_s: float) -> float:
        """How far its last position is from where it truly is now."""
        place = self._places[self._last(t_s)]
        return separation_m(place.lat_deg, place.lon_deg, *self.true_at(t_s))

    def _last(self, t_s: float) -> int:
        return max(0, bisect.bisect_right(self._times, t_s) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    t_s: float
    distance_m: float
    error_m: float
    has_say: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PairJudgement:
    """What the truth says of a pair.

    Attributes
    ----------
    findings : tuple of Finding
    decided_s, contradicted_s : float
        Seconds in which the truth decides a ring for one side, and in which the told band is against it.
    as_true_s, judged_s : float
        Seconds in which the told band is that of the true separation, errors and all, of all seconds.
    nearest_m, worst_error_m : float
    """

    wearer: str
    person: str
    findings: tuple[Finding, ...]
    decided_s: float
    contradicted_s: float
    as_true_s: float
    judged_s: float
    nearest_m: float
    worst_error_m: float

    @property
    def verdict(self) -> Verdict:
        """Of this pair alone; UNSET where the truth decides nothing."""
        found = together(finding.verdict for finding in self.findings)
        return Verdict.UNSET if found is Verdict.SKIPPED else found

    @property
    def decided_share(self) -> float:
        """Share of the time, over rings and sides, in which the truth decides."""
        return self.decided_s / (6 * self.judged_s) if self.judged_s else 0.0

    @property
    def as_true_share(self) -> float:
        """Share of the time in which the told band is that of the true separation."""
        return self.as_true_s / self.judged_s if self.judged_s else 0.0


def judge_pair(
    wearer: str,
    person: str,
    *,
    his: Told,
    hers: Told,
    rings: Rings,
    max_age_s: float,
    alerts: Sequence[ReceivedAlert],
) -> PairJudgement:
    """Judge what was told of a pair, on both sides of the wall."""
    moments = _moments(his, hers, max_age_s)
    findings: list[Finding] = []
    decided = contradicted = as_true = 0
    sides: tuple[tuple[FindingSide, str, str], ...] = (("tag", wearer, person), ("protected", person, wearer))
    for side, subject, about in sides:
        told = _Bands(alerts, side, subject, about)
        for band in _ORDER[1:]:
            check = _RingCheck(band, rings, told, his, hers)
            check.run(moments)
            decided += check.decided
            contradicted += sum(check.contradicted)
            findings += check.findings(side, subject, about)
        as_true += sum(told.at(each.t_s) is rings.band_at(each.distance_m) for each in moments)
    return PairJudgement(
        wearer=wearer,
        person=person,
        findings=tuple(findings),
        decided_s=decided * STEP_S,
        contradicted_s=contradicted * STEP_S,
        as_true_s=as_true * STEP_S / 2,
        judged_s=len(moments) * STEP_S,
        nearest_m=min((each.distance_m for each in moments), default=float("nan")),
        worst_error_m=max((each.error_m for each in moments), default=float("nan")),
    )


def measurements(judged: Sequence[PairJudgement]) -> tuple[Measurement, ...]:
    """Sum up pairs as measurements, one value each."""
    return (
        Measurement(
            name="band against the truth",
            unit="s",
            limit="== 0",
            series=tuple((float(n), each.contradicted_s) for n, each in enumerate(judged)),
        ),
        Measurement(
            name="time in which the truth decides",
            unit="s",
            limit="> 0",
            series=tuple((float(n), each.decided_s) for n, each in enumerate(judged)),
        ),
    )


def _moments(his: Told, hers: Told, max_age_s: float) -> list[_Moment]:
    t_s = max(his.from_s, hers.from_s)
    until_s = min(his.until_s, hers.until_s)
    found: list[_Moment] = []
    while t_s <= until_s:
        found.append(
            _Moment(
                t_s=t_s,
                distance_m=separation_m(*his.true_at(t_s), *hers.true_at(t_s)),
                error_m=his.error_m(t_s) + hers.error_m(t_s),
                has_say=max(his.age_s(t_s), hers.age_s(t_s)) < max_age_s - STEP_S,
            )
        )
        t_s += STEP_S
    return found


class _Bands:
    """The band that was told of a pair on one side, over time."""

    def __init__(self, alerts: Sequence[ReceivedAlert], side: str, subject: str, about: str) -> None:
        of_pair = sorted(
            (
                each
                for each in alerts
                if each.kind is AlertKind.PROXIMITY_BREACH
                and each.side == side
                and each.subject == subject
                and each.about in (about, None)
                # Nobody can tell: not a word about where he is.
                and each.band is not BandName.UNKNOWN
            ),
            key=lambda each: each.t_s,
        )
        self._times = [each.t_s for each in of_pair]
        self._bands = [BandName.CLEAR if each.cleared else each.band or BandName.CLEAR for each in of_pair]

    def at(self, t_s: float) -> BandName:
        """Tell the band at a time."""
        n = bisect.bisect_right(self._times, t_s)
        return self._bands[n - 1] if n else BandName.CLEAR

    def is_within_at_some_time(self, band: BandName, from_s: float, until_s: float, *, within: bool) -> bool:
        """Whether some band told in a time is, or is not, within a ring."""
        times = [from_s, *(t for t in self._times if from_s < t <= until_s)]
        return any((_ORDER.index(self.at(t)) >= _ORDER.index(band)) is within for t in times)


class _RingCheck:
    """One ring of one pair on one side."""

    def __init__(self, band: BandName, rings: Rings, told: _Bands, his: Told, hers: Told) -> None:
        self._band = band
        self._ring_m = rings.of(band)
        self._beyond_m = self._ring_m + rings.exit_margin_m
        self._told = told
        self._his = his
        self._hers = hers
        self.decided = 0
        self.contradicted: list[bool] = []
        self._found: list[tuple[float, _Moment, bool]] = []

    def run(self, moments: Sequence[_Moment]) -> None:
        within_since: float | None = None
        beyond_since: float | None = None
        wrong_since: float | None = None
        for each in moments:
            within = each.has_say and each.distance_m + each.error_m <= self._ring_m
            beyond = each.has_say and each.distance_m - each.error_m > self._beyond_m
            within_since = (each.t_s if within_since is None else within_since) if within else None
            beyond_since = (each.t_s if beyond_since is None else beyond_since) if beyond else None
            wrong = False
            if within_since is not None and each.t_s - within_since >= SETTLE_S:
                self.decided += 1
                wrong = not self._told.is_within_at_some_time(self._band, each.t_s - SETTLE_S, each.t_s, within=True)
            elif beyond_since is not None and beyond_since + SETTLE_S <= min(
                self._his.since_s(each.t_s), self._hers.since_s(each.t_s)
            ):
                self.decided += 1
                wrong = not self._told.is_within_at_some_time(self._band, each.t_s - SETTLE_S, each.t_s, within=False)
            self.contradicted.append(wrong)
            if wrong and wrong_since is None:
                wrong_since = each.t_s
                self._found.append((each.t_s, each, within))
            elif not wrong:
                wrong_since = None

    def findings(self, side: FindingSide, subject: str, about: str) -> list[Finding]:
        """Name what is against the truth, or say that nothing is."""
        what = f"{self._band.value.replace('_', '-')} ring of {about}"
        if not self.decided:
            return [
                Finding(
                    what=what,
                    check="window",
                    side=side,
                    subject=subject,
                    verdict=Verdict.SKIPPED,
                    reason="the receivers were never right enough to decide it",
                )
            ]
        if not self._found:
            return [Finding(what=what, check="window", side=side, subject=subject, verdict=Verdict.PASS)]
        return [
            Finding(
                what=what,
                check="window" if within else "silence",
                side=side,
                subject=subject,
                earliest_s=t_s,
                verdict=Verdict.FAIL,
                reason=f"from {t_s:.0f} s on told {self._told.at(t_s).value}: he was {moment.distance_m:.0f} m away, "
                f"and the receivers were {moment.error_m:.0f} m wrong together",
            )
            for t_s, moment, within in self._found
        ]
