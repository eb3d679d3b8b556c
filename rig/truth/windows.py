"""When a position that is known with an error may, and when it must, have been on the other side of a line."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One moment of the truth.

    Attributes
    ----------
    t_s : float
    distance_m : float
        True signed distance to the line, negative inside.
    error_m : float
        What a report may be off by at this moment.
    observed : bool
        Whether the device reports positions at this moment.
    """

    t_s: float
    distance_m: float
    error_m: float
    observed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A change of side.

    Attributes
    ----------
    inward : bool
    first : bool
        No change but the first side that was known.
    t_true_s : float
        When the truth crossed the line (for the first side: the first report).
    earliest_s, latest_s : float
        The reports may show it from, and must show it by.
    required : bool
        False where the truth came so near to the line that reports may or may not show it.
    """

    inward: bool
    first: bool
    t_true_s: float
    earliest_s: float
    latest_s: float
    required: bool


def find_crossings(samples: Sequence[Sample], *, exit_margin_m: float, report_s: float) -> list[Crossing]:
    """Find changes of side that reports of these samples can show.

    Parameters
    ----------
    samples : sequence of Sample
        Rising times; dense enough that little happens in between.
    exit_margin_m : float
        Leaving counts only so far outside (hysteresis).
    report_s : float
        Longest time between two reports.

    Returns
    -------
    list of Crossing
        In order of ``earliest_s``. The first is the side first known, with ``first`` set.
    """
    walker = _Walker(exit_margin_m, report_s)
    for sample in samples:
        walker.step(sample)
    walker.finish()
    return sorted(walker.crossings, key=lambda c: (c.earliest_s, c.latest_s))


class _Walker:
    def __init__(self, exit_margin_m: float, report_s: float) -> None:
        self._margin_m = exit_margin_m
        self._report_s = report_s
        self._inside: bool | None = None
        self._maybe_since_s: float | None = None
        self._true_since_s: float | None = None
        self._last_t_s = 0.0
        self.crossings: list[Crossing] = []

    def step(self, sample: Sample) -> None:
        self._last_t_s = sample.t_s
        if self._inside is None:
            self._first(sample)
            return
        # beyond > 0: the truth is on the other side of the line that counts for leaving the present side
        beyond = sample.distance_m - self._margin_m if self._inside else -sample.distance_m
        if beyond > 0 and self._true_since_s is None:
            self._true_since_s = sample.t_s
        if beyond <= 0:
            self._true_since_s = None
        if sample.observed and beyond >= sample.error_m:
            self._cross(sample.t_s, required=True)
        elif beyond > -sample.error_m:
            if self._maybe_since_s is None:
                self._maybe_since_s = sample.t_s
        else:
            self._turned_back(sample.t_s)

    def finish(self) -> None:
        self._turned_back(self._last_t_s)

    def _first(self, sample: Sample) -> None:
        if not sample.observed:
            return
        self._inside = sample.distance_m <= 0
        sure = abs(sample.distance_m) >= sample.error_m
        self.crossings.append(
            Crossing(
                inward=self._inside,
                first=True,
                t_true_s=sample.t_s,
                earliest_s=sample.t_s,
                latest_s=sample.t_s + self._report_s,
                required=sure,
            )
        )
        if not sure:
            self._maybe_since_s = sample.t_s

    def _cross(self, t_s: float, *, required: bool) -> None:
        assert self._inside is not None
        since = t_s if self._maybe_since_s is None else self._maybe_since_s
        self._add(not self._inside, since, t_s, t_s if self._true_since_s is None else self._true_since_s, required)
        self._inside = not self._inside
        self._maybe_since_s = self._true_since_s = None

    def _turned_back(self, t_s: float) -> None:
        """Note a stay near the line, or an unseen one beyond it: reports may have shown it and its return."""
        if self._maybe_since_s is None or self._inside is None:
            return
        since, self._maybe_since_s = self._maybe_since_s, None
        true_s = since if self._true_since_s is None else self._true_since_s
        self._add(not self._inside, since, t_s, true_s, required=False)
        self._add(self._inside, since, t_s, t_s, required=False)

    def _add(self, inward: bool, earliest_s: float, latest_s: float, t_true_s: float, required: bool) -> None:
        self.crossings.append(
            Crossing(
                inward=inward,
                first=False,
                t_true_s=t_true_s,
                earliest_s=earliest_s,
                latest_s=latest_s + self._report_s,
                required=required,
            )
        )
