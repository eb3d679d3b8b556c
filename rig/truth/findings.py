"""What a judged run says: findings with their windows, measurements with their limits, one verdict."""

import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from rig.errors import RigError, ScenarioError
from rig.truth.verdict import Verdict

FindingSide = Literal["tag", "protected", "smart_tag", "bench"]
"""Whom a finding is about: his side of the wall, hers, what her tag did, or the bench itself."""

Check = Literal["window", "silence", "promptness", "warning", "told", "beacon", "numbers", "bench"]
"""Which question a finding answers: in its window, nothing where nothing was owed, from the report to the subscriber,
what she felt, what the provider was told of it, what her unit heard, whether an alert is missing by the numbers,
whether the bench could judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was owed, or that came, and what the truth says of it.

    Attributes
    ----------
    what : str
        For people.
    check : str
    side, subject : str
    earliest_s, latest_s : float or None
        Window in tag seconds; None: open.
    received_s : float or None
        When it came.
    verdict : Verdict
    reason : str
        ``late by 340 ms``, ``must not have fired: he was 512 m away``; empty where all is well.
    margin_s : float or None
        Tag seconds left until it would have been late, negative where it was.
    index : int or None
        Number of the alert in the record.
    """

    what: str
    check: Check
    side: FindingSide
    subject: str
    earliest_s: float | None = None
    latest_s: float | None = None
    received_s: float | None = None
    verdict: Verdict
    reason: str = ""
    margin_s: float | None = None
    index: int | None = None


_LIMIT: Final = re.compile(r"\s*(<=|>=|<|>|==)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*")

_HOLDS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """``<= 250``: what a value must keep to."""

    sign: str
    value: float

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Read a limit.

        Raises
        ------
        ScenarioError
            It is not one of ``<= >= < > ==`` and a number.
        """
        match = _LIMIT.fullmatch(text)
        try:
            value = math.nan if match is None else float(match[2])
        except ValueError:
            value = math.nan
        if match is None or math.isnan(value):
            raise ScenarioError(f"limit {text!r} is not understood. Expected one of <= >= < > == and a number: <= 250")
        return cls(sign=match[1], value=value)

    def holds(self, value: float) -> bool:
        """Whether a value keeps to it."""
        return _HOLDS[self.sign](value, self.value)

    def margin(self, value: float) -> float:
        """How far a value is from the limit, negative beyond it; 0 at best for ``==``."""
        if self.sign == "==":
            return -abs(value - self.value)
        return self.value - value if self.sign.startswith("<") else value - self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A quantity with its unit, its limit and every value that was taken.

    Attributes
    ----------
    name, unit : str
    limit, marginal : str or None
        What all values must keep to, and what they should: ``<= 250``.
    series : tuple of (float, float)
        Tag seconds and value.
    """

    name: str
    unit: str
    limit: str | None = None
    marginal: str | None = None
    series: tuple[tuple[float, float], ...] = ()

    @property
    def worst(self) -> float | None:
        """The value that the limit is about: the one nearest to it or farthest beyond it; None without values."""
        values = [value for _, value in self.series]
        if not values:
            return None
        if self.limit is None:
            return max(values)
        limit = Limit.parse(self.limit)
        return min(values, key=limit.margin)

    @property
    def margin(self) -> float | None:
        """How far the worst value is from the limit, negative beyond it."""
        worst = self.worst
        return None if worst is None or self.limit is None else Limit.parse(self.limit).margin(worst)

    @property
    def verdict(self) -> Verdict:
        """UNSET without values or without a limit."""
        worst = self.worst
        if worst is None or self.limit is None:
            return Verdict.UNSET
        return Verdict.PASS if Limit.parse(self.limit).holds(worst) else Verdict.FAIL

    @property
    def is_marginal(self) -> bool:
        """Whether the limit is kept and the marginal one is not."""
        worst = self.worst
        if self.marginal is None or worst is None or self.verdict is not Verdict.PASS:
            return False
        return not Limit.parse(self.marginal).holds(worst)

    def percentile(self, share: float) -> float | None:
        """Return the smallest value that at least this share of all values does not exceed."""
        values = sorted(value for _, value in self.series)
        return values[max(0, math.ceil(share * len(values)) - 1)] if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVerdict:
    """The verdict of a run and all that it rests on.

    Attributes
    ----------
    verdict : Verdict
    findings : tuple of Finding
        By time.
    measurements : tuple of Measurement
    problems : tuple of str
        What is wrong, in sentences; the first one is what a person wants to know first.
    """

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def marginal(self) -> tuple[Measurement, ...]:
        """Measurements that keep their limit and miss their marginal one."""
        return tuple(each for each in self.measurements if each.is_marginal)

    def find(self, name: str) -> Measurement | None:
        """Return a measurement by name."""
        return next((each for each in self.measurements if each.name == name), None)


_WORST_FIRST: Final = (Verdict.ERROR, Verdict.FAIL, Verdict.PASS, Verdict.SKIPPED)


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """Put verdicts into one: ERROR before FAIL before PASS before SKIPPED; UNSET where there is none of them."""
    found = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in found), Verdict.UNSET)


def conclude(
    findings: Iterable[Finding], measurements: Iterable[Measurement] = (), *, errors: Iterable[str] = ()
) -> RunVerdict:
    """Make the verdict of a run.

    A limit that is broken fails the run; a measurement without values says nothing of it. ``errors``: why the bench
    could not judge.
    """
    ordered = tuple(sorted(findings, key=_when))
    measured = tuple(measurements)
    broken = tuple(errors)
    problems = [*broken, *(_sentence(each) for each in ordered if each.verdict in {Verdict.FAIL, Verdict.ERROR})]
    beyond = [each for each in measured if each.verdict is Verdict.FAIL]
    problems += [f"{each.name}: {each.worst:.4g} {each.unit} is not {each.limit} {each.unit}" for each in beyond]
    verdicts = [each.verdict for each in ordered] + [each.verdict for each in beyond]
    verdict = Verdict.ERROR if broken else together(verdicts)
    # nothing but optional things: nobody was put to the test
    verdict = Verdict.UNSET if verdict is Verdict.SKIPPED else verdict
    return RunVerdict(verdict=verdict, findings=ordered, measurements=measured, problems=tuple(problems))


def _when(finding: Finding) -> tuple[float, bool]:
    """Order by time; of one alert the way from its report first: it is the sharper of the two questions."""
    known = (finding.received_s, finding.latest_s, finding.earliest_s)
    return next((t_s for t_s in known if t_s is not None), 0.0), finding.check != "promptness"


def _sentence(finding: Finding) -> str:
    at = f" at {finding.received_s:.1f} s" if finding.received_s is not None else ""
    return f"{finding.what} ({finding.subject}){at}: {finding.reason}"


def span_text(seconds: float) -> str:
    """Say a time as people do: milliseconds below ten seconds."""
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 10 else f"{seconds:.1f} s"


def write_verdict(path: Path, verdict: RunVerdict) -> None:
    """Write ``verdict.json``; the same verdict always gives the same bytes."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(verdict), indent=1) + b"\n")


def read_verdict(path: Path) -> RunVerdict:
    """Read ``verdict.json``.

    Raises
    ------
    RigError
        It cannot be read or is no verdict.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunVerdict)
    except (OSError, msgspec.DecodeError) as exc:
        raise RigError(f"{path}: not a verdict: {exc}. Next: judge the run anew with tagrig replay") from exc
