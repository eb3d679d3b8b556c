"""Stays within a ring between two reports: neither of the two shows them, the way between does."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rig.truth.looks import PairLook, Seen
from rig.truth.spans import Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A pass.

    Attributes
    ----------
    from_s, seen_s : float
        When the truth may first have been within, and when the report came after which the way is known.
    near_m : float
        Least true separation meanwhile.
    required : bool
        Whether both the truth and the straight way between the reports lead so deep into the ring that no error hides
        it.
    """

    from_s: float
    seen_s: float
    near_m: float
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A stay on the wrong side of a zone's edge, ``deep_m`` beyond it and beyond all errors, without a report."""

    from_s: float
    until_s: float
    deep_m: float


def unseen_stays(looks: Iterable[Look], seen: Seen, *, inward: bool, margin_m: float) -> Iterator[Unseen]:
    """Find the stays inside a zone, or out of it beyond the margin, within which a device told no position."""
    for there, stay in itertools.groupby(looks, lambda look: look.true_m <= 0 if inward else look.true_m > margin_m):
        each = list(stay)
        from_s, until_s = each[0].t_s, each[-1].t_s
        last_s = seen.find_last_s(until_s)
        deepest = (min if inward else max)(each, key=lambda look: look.true_m)
        deep_m = abs(deepest.true_m)
        if there and deep_m > seen.error_m(deepest.t_s) and (last_s is None or last_s < from_s):
            yield Unseen(from_s=from_s, until_s=until_s, deep_m=deep_m)


def pair_passings(his: Seen, hers: Seen, looks: Sequence[PairLook], radius_m: float) -> Iterator[Passing]:
    """Find the passes of two people through a ring.

    Whoever reports was on a straight way since his last report, as far as anybody can know; the other one's newest
    position holds meanwhile.
    """
    since: list[PairLook] = []
    outside = False
    for look in looks:
        if not look.reported or look.shown_m is None:
            since.append(look)
            continue
        far = look.shown_m + look.error_m > radius_m
        if outside and far and since:
            near = min(since, key=lambda each: each.true_m)
            way_m = _nearest_on_way_m(his, hers, look.t_s)
            inner_m = radius_m - look.error_m
            may = near.true_m - near.error_m <= radius_m or way_m - look.error_m <= radius_m
            if may and look.shown_m - look.error_m > radius_m:
                yield Passing(
                    from_s=since[0].t_s,
                    seen_s=look.t_s,
                    near_m=near.true_m,
                    required=near.true_m <= inner_m and way_m <= inner_m,
                )
        outside = far
        since = []


def _nearest_on_way_m(his: Seen, hers: Seen, t_s: float) -> float:
    """Return the least separation on the straight way to the report at a moment; infinite without one before it."""
    his_s, hers_s = his.find_last_s(t_s), hers.find_last_s(t_s)
    if his_s is None or hers_s is None:
        return math.inf
    mover, other, moved_s, other_s = (his, hers, his_s, hers_s) if his_s >= hers_s else (hers, his, hers_s, his_s)
    before_s = mover.find_last_s(moved_s - 1e-3)
    if before_s is None:
        return math.inf
    at = other.truth.place(other_s)
    a, b = ((place[0] - at[0], place[1] - at[1]) for place in (mover.truth.place(before_s), mover.truth.place(moved_s)))
    length2 = (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
    share = 0.0 if length2 == 0 else min(1.0, max(0.0, -(a[0] * (b[0] - a[0]) + a[1] * (b[1] - a[1])) / length2))
    return math.hypot(a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]))
