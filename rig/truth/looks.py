"""What reports of true positions may show of a zone or a ring, moment by moment."""

import bisect
import math
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rig.truth.expectation import DeviceTruth
from rig.truth.spans import Look

STEP_S: Final = 0.25
"""Step of the truth between reports, tag seconds: at a walk 0.4 m, far less than any error."""

_MAX_SKIP_S: Final = 5.0
"""Longest stretch between two exact distances, tag seconds: errors change within it by less than their windows."""

_MIN_SPEED_MPS: Final = 0.1
"""Divisor for people who stand still, metres per second."""

_GONE_M: Final = 1e9
"""Error of a device whose positions are led astray, metres: they may show anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A device with the times at which it told positions.

    ``times_s``: of its live fixes, rising. ``blind``: when reports may not arrive or be wrong; ``misled``: when they
    are wrong; both as (from, until).
    """

    truth: DeviceTruth
    times_s: Sequence[float]
    blind: Sequence[tuple[float, float]] = ()
    misled: Sequence[tuple[float, float]] = ()

    def error_m(self, t_s: float) -> float:
        """Return what a report may be off by."""
        return _GONE_M if _within(self.misled, t_s) else self.truth.error_m(t_s)

    def is_sure(self, t_s: float) -> bool:
        """Whether a report of this moment surely arrives."""
        return not _within(self.blind, t_s)

    def find_last_s(self, t_s: float) -> float | None:
        """Time of the newest fix at a moment."""
        i = bisect.bisect_right(self.times_s, t_s + 1e-6)
        return self.times_s[i - 1] if i else None


def _within(stretches: Sequence[tuple[float, float]], t_s: float) -> bool:
    return any(from_s <= t_s <= until_s for from_s, until_s in stretches)


def zone_looks(
    distance_m: Callable[[float, float], float], seen: Seen, *, duration_s: float, margin_m: float
) -> Iterator[Look]:
    """Look at a zone; ``distance_m`` gives the signed distance of a position.

    The exact distance may cost a millisecond and cannot change faster than the person moves: it is asked for only when
    a line that matters could have been reached, and is a straight line in between.
    """
    at = seen.truth.at
    reported = _reported(seen, duration_s)
    exact = _skipping(lambda t_s: distance_m(*at(t_s)), reported, seen, margin_m)
    for (t_s, is_report), d in zip(reported, exact, strict=True):
        error_m = seen.error_m(t_s)
        yield Look(t_s=t_s, true_m=d, low_m=d - error_m, high_m=d + error_m, reported=is_report and seen.is_sure(t_s))


def _reported(seen: Seen, duration_s: float) -> list[tuple[float, bool]]:
    """All moments to look at: a grid, and every report."""
    grid = {round(i * STEP_S, 6): False for i in range(int(duration_s / STEP_S) + 1)}
    grid |= {round(t_s, 6): True for t_s in seen.times_s if t_s <= duration_s}
    return sorted(grid.items())


def _skipping(
    exact: Callable[[float], float], moments: Sequence[tuple[float, bool]], seen: Seen, margin_m: float
) -> Iterator[float]:
    speed_mps = max(seen.truth.speed_mps, _MIN_SPEED_MPS)
    i, d = 0, exact(moments[0][0])
    while True:
        yield d
        t_s = moments[i][0]
        error_m = min(seen.truth.error_m(t_s), 1000.0)
        lines = (-error_m, 0.0, error_m, margin_m - error_m, margin_m, margin_m + error_m)
        slack_s = min(_MAX_SKIP_S, min(abs(d - line) for line in lines) / speed_mps)
        following = i + 1
        while following + 1 < len(moments) and moments[following + 1][0] - t_s <= slack_s:
            following += 1
        if following >= len(moments):
            return
        following_d = exact(moments[following][0])
        length_s = moments[following][0] - t_s
        for k in range(i + 1, following):
            yield d + (following_d - d) * (moments[k][0] - t_s) / length_s
        i, d = following, following_d


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLook:
    """Two people at one moment.

    ``true_m`` is their true separation; ``shown_m`` what right reports show: each where its newest fix was, None while
    one is missing or too old. ``error_m`` is what the two may be off by together, ``reported`` whether one reports now
    and surely arrives.
    """

    t_s: float
    true_m: float
    shown_m: float | None
    error_m: float
    reported: bool


def pair_looks(his: Seen, hers: Seen, *, duration_s: float, max_age_s: float) -> list[PairLook]:
    """Look at two people: on a grid, and whenever one of them reports."""
    moments: dict[float, bool] = {round(i * STEP_S, 6): False for i in range(int(duration_s / STEP_S) + 1)}
    moments |= {round(t_s, 6): True for t_s in sorted([*his.times_s, *hers.times_s]) if t_s <= duration_s}
    looks = []
    for t_s, is_report in sorted(moments.items()):
        true_m = _apart_m(his, t_s, hers, t_s)
        error_m = math.hypot(his.error_m(t_s), hers.error_m(t_s))
        shown_m: float | None = None
        sure = False
        if is_report:
            his_s, hers_s = his.find_last_s(t_s), hers.find_last_s(t_s)
            if his_s is not None and hers_s is not None and t_s - min(his_s, hers_s) <= max_age_s:
                shown_m = _apart_m(his, his_s, hers, hers_s)
                error_m = math.hypot(his.error_m(his_s), hers.error_m(hers_s))
                sure = his.is_sure(his_s) and hers.is_sure(hers_s)
        looks.append(PairLook(t_s=t_s, true_m=true_m, shown_m=shown_m, error_m=error_m, reported=sure))
    return looks


def _apart_m(his: Seen, his_s: float, hers: Seen, hers_s: float) -> float:
    """Give the separation in the scenario's plane: 8 mm short at 10 km, where errors are metres."""
    return math.dist(his.truth.place(his_s), hers.truth.place(hers_s))


def ring_looks(looks: Sequence[PairLook], radius_m: float, *, unsure_s: Container[float] = ()) -> Iterator[Look]:
    """Look at one ring of a pair. A report at one of the times ``unsure_s`` shows a pass, and so both sides."""
    for look in looks:
        shown_m = look.true_m if look.shown_m is None else look.shown_m
        yield Look(
            t_s=look.t_s,
            true_m=look.true_m - radius_m,
            # who truly is within may be said to be, also by other means than the newest two positions
            low_m=min(look.true_m, shown_m) - radius_m - look.error_m,
            high_m=max(look.true_m, shown_m) - radius_m + look.error_m,
            reported=look.reported and look.shown_m is not None and look.t_s not in unsure_s,
        )
