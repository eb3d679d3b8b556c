"""States that begin because something does not come: silence of devices, lost cover. What is owed of each over time."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rig.truth.spans import Side, Span

Stretch = tuple[float, float]
"""From, until; tag seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owing:
    """When a state must hold and when it may; it may wherever it must."""

    must: tuple[Stretch, ...] = ()
    may: tuple[Stretch, ...] = ()

    def __or__(self, other: "Owing") -> "Owing":
        """Put two causes of one state together."""
        return Owing(must=(*self.must, *other.must), may=(*self.may, *other.may))


def merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Join what overlaps; empty ones are left out."""
    found: list[Stretch] = []
    for from_s, until_s in sorted(each for each in stretches if each[1] > each[0]):
        if found and from_s <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until_s))
        else:
            found.append((from_s, until_s))
    return found


def spans_of(owing: Owing, *, duration_s: float) -> list[Span]:
    """Turn a state into spans: IN where it must hold, OUT where it must not."""
    must, may = merged(owing.must), merged([*owing.may, *owing.must])
    edges = sorted({0.0, duration_s} | {t_s for each in (*must, *may) for t_s in each if 0 < t_s < duration_s})
    spans: list[Span] = []
    for from_s, until_s in itertools.pairwise(edges):
        middle_s = (from_s + until_s) / 2
        side = Side.IN if _in(must, middle_s) else Side.EITHER if _in(may, middle_s) else Side.OUT
        if spans and spans[-1].side is side:
            from_s = spans.pop().from_s
        spans.append(_span(side, from_s, until_s))
    return spans


def _in(stretches: Sequence[Stretch], t_s: float) -> bool:
    return any(from_s <= t_s < until_s for from_s, until_s in stretches)


def _span(side: Side, from_s: float, until_s: float) -> Span:
    return Span(side=side, from_s=from_s, until_s=until_s, t_true_s=from_s, near_m=0.0, far_m=0.0)


def find_silence(
    heard: Sequence[tuple[float, bool]],
    *,
    limit_s: float,
    slack_s: float,
    duration_s: float,
    may_limit_s: float | None = None,
) -> Owing:
    """Find when a device was not heard for too long.

    Parameters
    ----------
    heard : sequence of (float, bool)
        When it may have been heard, rising, and whether it surely was.
    limit_s : float
        Unheard for so long, it is silent.
    slack_s : float
        Rounding of all times concerned.
    duration_s : float
    may_limit_s : float, optional
        Unheard for so long it may be called silent already; absent: not before ``limit_s``.
    """
    end_s, may_s = duration_s, limit_s if may_limit_s is None else may_limit_s
    must, may = [], []
    last_possible_s = last_sure_s = 0.0
    for t_s, sure in [*heard, (end_s + limit_s + 2 * slack_s, True)]:
        if t_s - last_possible_s > limit_s + slack_s:
            must.append((last_possible_s + limit_s + slack_s, min(t_s, end_s)))
        last_possible_s = t_s
        if sure:
            if t_s - last_sure_s > may_s - slack_s:
                may.append((last_sure_s + may_s - slack_s, t_s + slack_s))
            last_sure_s = t_s
    return Owing(must=tuple(merged(must)), may=tuple(merged(may)))
