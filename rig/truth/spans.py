"""What is owed of one line (a zone's edge, a ring) over time, and whether what was received kept to it.

An alert about a line is on or off. Reports are in error, so there are times at which it must be on, times at which it
must be off, and times at which it may be either; how often it changes while it may is nobody's business. ::

    signed distance      low ... high: what a report of this moment may show
        |                                    low > margin        -> seen outside
      margin ------------------------------------------------
        |       (keeps the side it had)
        0  ------------------------------------------------
        |                                    high <= 0           -> seen inside
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, unique


@unique
class Side(Enum):
    """Where reports must show somebody."""

    IN = "inside"
    OUT = "outside"
    EITHER = "either"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One moment of the truth.

    Attributes
    ----------
    t_s : float
    true_m : float
        True signed distance to the line, negative inside.
    low_m, high_m : float
        Least and greatest distance that may be shown at this moment.
    reported : bool
        Whether something is reported at this very moment, and surely arrives.
    """

    t_s: float
    true_m: float
    low_m: float
    high_m: float
    reported: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From ``from_s`` to ``until_s`` reports show ``side``; ``t_true_s`` is when it came true.

    ``near_m`` and ``far_m`` are the least and the greatest true distance meanwhile.
    """

    side: Side
    from_s: float
    until_s: float
    t_true_s: float
    near_m: float
    far_m: float


def find_spans(looks: Iterable[Look], *, exit_margin_m: float, begins: Side = Side.OUT) -> list[Span]:
    """Follow a line through moments of rising time.

    Parameters
    ----------
    looks : iterable of Look
    exit_margin_m : float
        Who was seen inside is seen outside only so far beyond the line.
    begins : Side
        What is owed before anything was reported.

    Returns
    -------
    list of Span
        Without gaps, in order.
    """
    walker = _Walker(exit_margin_m, begins)
    for look in looks:
        walker.step(look)
    return walker.finish()


class _Walker:
    def __init__(self, margin_m: float, begins: Side) -> None:
        self._margin_m = margin_m
        self._side = begins
        self._from_s: float | None = None
        self._t_true_s = 0.0
        self._near_m = self._far_m = 0.0
        self._truly_in: bool | None = None
        self._turned_s = 0.0
        self._last_s = 0.0
        self._spans: list[Span] = []

    def step(self, look: Look) -> None:
        truly_in = look.true_m <= (self._margin_m if self._truly_in else 0.0)
        if truly_in != self._truly_in:
            self._truly_in, self._turned_s = truly_in, look.t_s
        if self._from_s is None:
            self._begin(self._side, look)
        assert self._from_s is not None
        side = self._next(look)
        if side is not self._side:
            if look.t_s > self._from_s:
                # who is inside from the first moment on was never owed an end
                self._close(look.t_s)
            self._begin(side, look)
        self._near_m, self._far_m = min(self._near_m, look.true_m), max(self._far_m, look.true_m)
        self._last_s = look.t_s

    def _next(self, look: Look) -> Side:
        if look.reported and look.high_m <= 0:
            return Side.IN
        if look.reported and look.low_m > self._margin_m:
            return Side.OUT
        may_leave = look.high_m > self._margin_m if self._side is Side.IN else look.low_m <= 0
        return Side.EITHER if may_leave else self._side

    def _begin(self, side: Side, look: Look) -> None:
        self._side, self._from_s = side, look.t_s
        self._t_true_s = self._turned_s
        self._near_m = self._far_m = look.true_m

    def _close(self, t_s: float) -> None:
        assert self._from_s is not None
        self._spans.append(
            Span(
                side=self._side,
                from_s=self._from_s,
                until_s=t_s,
                t_true_s=self._t_true_s,
                near_m=self._near_m,
                far_m=self._far_m,
            )
        )

    def finish(self) -> list[Span]:
        if self._from_s is not None:
            self._close(self._last_s)
        return self._spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What was received of one line: from ``t_s`` on the alert was on or off.

    ``said_s`` is when the bridge said so where the way to the subscriber was cut meanwhile, else ``t_s``.
    """

    t_s: float
    said_s: float
    on: bool
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanMatch:
    """One span and what was received for it.

    Attributes
    ----------
    span : Span
    on : bool
        Whether the alert must be on; False: it must be off.
    earliest_s, latest_s : float
        Window of the change that begins the span, allowance not included.
    turn : Turn or None
        The change that came for it.
    late_s : float
        Beyond the allowance; infinite where it never came. 0: in time.
    open : bool
        It did not come, and could not before the record ended: nobody could be told by then.
    stray : tuple of Turn
        Changes that must not have come within it.
    """

    span: Span
    on: bool
    earliest_s: float
    latest_s: float
    turn: Turn | None
    late_s: float
    stray: tuple[Turn, ...]
    open: bool = False


def match_spans(
    spans: Sequence[Span], turns: Sequence[Turn], *, on_side: Side, allowance_s: float, deadlines: "Deadlines"
) -> list[SpanMatch]:
    """Hold what was received against what was owed.

    Parameters
    ----------
    spans : sequence of Span
    turns : sequence of Turn
        In the order of arrival; each a change.
    on_side : Side
        Where the alert is on: IN for exclusion zones and rings, OUT for inclusion zones.
    allowance_s : float
        Tag seconds that the way to the subscriber may take.
    deadlines : Deadlines
        Moves the ends of windows past the times at which nobody could be told.
    """
    matches = []
    for i, span in enumerate(spans):
        if span.side is Side.EITHER:
            continue
        on = span.side is on_side
        earliest_s = _earliest_s(spans, i)
        due_s = deadlines.after(earliest_s, span.from_s + allowance_s)
        turn, late_s = _find_turn(turns, on=on, earliest_s=earliest_s, due_s=due_s, until_s=span.until_s)
        stray = tuple(
            each
            for each in turns
            if each.on is not on and due_s < each.t_s < span.until_s and span.from_s + allowance_s < each.said_s
        )
        is_open = math.isinf(late_s) and deadlines.is_unseen(span.from_s + allowance_s, due_s)
        matches.append(
            SpanMatch(
                span=span,
                on=on,
                earliest_s=earliest_s,
                latest_s=span.from_s,
                turn=turn,
                late_s=0.0 if is_open else late_s,
                stray=stray,
                open=is_open,
            )
        )
    return matches


def _find_turn(
    turns: Sequence[Turn], *, on: bool, earliest_s: float, due_s: float, until_s: float
) -> tuple[Turn | None, float]:
    """Return the change that brought a state, and how late it was; None where it was so before."""
    state, last = False, None
    for turn in turns:
        if turn.t_s > due_s:
            break
        state, last = turn.on, turn
    if state is on:
        return last if last is not None and last.t_s >= earliest_s else None, 0.0
    if due_s >= until_s:
        # shorter than the way to the subscriber: it may be over again by now, and may have been so from the start
        before = [turn for turn in turns if turn.t_s < earliest_s]
        if (before[-1].on if before else False) is on:
            return None, 0.0
        brief = next((each for each in turns if each.on is on and earliest_s <= each.t_s <= due_s), None)
        if brief is not None:
            return brief, 0.0
    late = next((each for each in turns if each.on is on and each.t_s > due_s), None)
    return late, math.inf if late is None else late.t_s - due_s


class Deadlines:
    """Windows end later where nobody could be told: ``cuts`` are (from, until) in tag seconds.

    ``end_s``: when the record ended; what is due later was never waited for.
    """

    def __init__(self, cuts: Sequence[tuple[float, float]] = (), *, end_s: float = math.inf) -> None:
        self._cuts = sorted(cuts)
        self._end_s = end_s

    def after(self, from_s: float, due_s: float) -> float:
        """Return the end of a window that began at ``from_s`` and would end at ``due_s``."""
        for cut_s, back_s in self._cuts:
            if cut_s <= due_s and from_s <= back_s:
                due_s = max(due_s, back_s)
        return due_s

    def is_unseen(self, own_s: float, due_s: float) -> bool:
        """Whether a window that would end at ``own_s`` was moved to an end that the record does not reach."""
        return due_s > max(own_s, self._end_s)

    def cut(self, t_s: float) -> bool:
        """Whether what arrives at a moment may have waited."""
        return any(cut_s <= t_s <= back_s for cut_s, back_s in self._cuts)


def _earliest_s(spans: Sequence[Span], i: int) -> float:
    """From when the change that begins a span is no mistake: from the end of the span of the other side."""
    before = i - 1
    while before >= 0 and spans[before].side is Side.EITHER:
        before -= 1
    return spans[before].until_s if before >= 0 else spans[0].from_s
