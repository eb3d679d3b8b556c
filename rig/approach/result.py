"""What became of each run, and what all of them come to: the trial's own figures."""

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

Outcome = Literal["alerted", "partly", "silent"]
VictimOutcome = Literal["warned", "told_of_lost_cover", "not_warned"]

OUTCOMES: Final[tuple[Outcome, ...]] = ("alerted", "partly", "silent")

NEEDED_ALERTED: Final = 34
"""Runs of 35 that must be alerted to both: acceptance of the suite. Fewer runs need the same share, rounded up."""

TRIAL: Final = {"alerted": 0.51, "partly": 0.23, "silent": 0.26, "victim_unit": 1 / 3}
"""Shares of the police bench trial of 2019: 35 runs in seven scenarios; victim units missed two thirds."""


class ApproachResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of the suite's JSON.

    Attributes
    ----------
    family, run, seed
        Which run; ``about`` says what is particular about it.
    outcome, victim_outcome : str
    late_s : float or None
        From the moment it came true to the provider's alert, seconds; None: there was none.
    warning_s : float or None
        From her warning to contact, seconds; negative where it came after. None: there was none.
    verdict : str
        PASS, FAIL or ERROR.
    reason : str
        Why it is not alerted, or what else is wrong; empty where all is well.
    folder : str
        Its run folder.
    """

    family: str
    run: int
    seed: int
    outcome: Outcome
    victim_outcome: VictimOutcome
    late_s: float | None
    warning_s: float | None
    verdict: str
    reason: str
    about: str = ""
    folder: str = ""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Nearest-rank percentiles."""

    p50: float
    p95: float
    max: float


class Least(msgspec.Struct, frozen=True, kw_only=True):
    """Nearest-rank percentiles of what should be long: the median, what one in twenty had less than, the least."""

    p50: float
    p05: float
    min: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What all runs come to.

    Attributes
    ----------
    runs, alerted, partly, silent : int
    victim_alerted : int
        Runs in which she, or where she could not be reached the provider about her, learned of it in time.
    late_s : Spread or None
    warning_s : Least or None
    verdict : str
        PASS where enough runs are alerted, none is silent and none is without an explanation.
    """

    runs: int
    alerted: int
    partly: int
    silent: int
    victim_alerted: int
    late_s: Spread | None
    warning_s: Least | None
    verdict: str


class SuiteResult(msgspec.Struct, frozen=True, kw_only=True):
    """The suite's JSON."""

    runs: tuple[ApproachResult, ...]
    summary: Summary


def summarise(results: Sequence[ApproachResult]) -> SuiteResult:
    """Put the runs of one draw together."""
    count = {name: sum(each.outcome == name for each in results) for name in OUTCOMES}
    needed = math.ceil(NEEDED_ALERTED / 35 * len(results))
    broken = any(each.verdict == "ERROR" for each in results)
    good = count["alerted"] >= needed and count["silent"] == 0 and all(each.reason for each in misses(results))
    summary = Summary(
        runs=len(results),
        alerted=count["alerted"],
        partly=count["partly"],
        silent=count["silent"],
        victim_alerted=sum(each.victim_outcome != "not_warned" for each in results),
        late_s=_spread(each.late_s for each in results),
        warning_s=_least(each.warning_s for each in results),
        verdict="ERROR" if broken else "PASS" if good and results else "FAIL",
    )
    return SuiteResult(runs=tuple(results), summary=summary)


def misses(results: Iterable[ApproachResult]) -> list[ApproachResult]:
    """Return the runs that are not alerted to both."""
    return [each for each in results if each.outcome != "alerted"]


def _spread(values: Iterable[float | None]) -> Spread | None:
    known = sorted(each for each in values if each is not None)
    return Spread(p50=_rank(known, 0.5), p95=_rank(known, 0.95), max=_rank(known, 1.0)) if known else None


def _least(values: Iterable[float | None]) -> Least | None:
    known = sorted((each for each in values if each is not None), reverse=True)
    return Least(p50=_rank(known, 0.5), p05=_rank(known, 0.95), min=_rank(known, 1.0)) if known else None


def _rank(ordered: Sequence[float], share: float) -> float:
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3)
