"""What a check found, in words that a person can act on."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, unique

from rig.cli.exit_codes import ExitCode


@unique
class Verdict(StrEnum):
    """What is known of one promise of the contract."""

    PASS = "PASS"
    FAIL = "FAIL"
    ERROR = "ERROR"
    """The check itself could not be made."""
    SKIPPED = "SKIPPED"
    """Not asked for."""
    UNSET = "UNSET"
    """Nothing came by that could have shown it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One promise, and what was seen of it.

    Attributes
    ----------
    check : str
        Its name, for programs.
    verdict : Verdict
    told : str
        What was seen, with counts.
    next_step : str
        What to do about it; empty where nothing is to be done.
    examples : tuple of str
        The first few cases.
    """

    check: str
    verdict: Verdict
    told: str
    next_step: str = ""
    examples: tuple[str, ...] = ()


_RANK = (Verdict.FAIL, Verdict.ERROR, Verdict.PASS, Verdict.UNSET, Verdict.SKIPPED)


def whole_verdict(findings: Iterable[Finding]) -> Verdict:
    """Verdict over all: the worst; PASS if anything was shown and nothing is wrong."""
    found = {finding.verdict for finding in findings}
    return next((verdict for verdict in _RANK if verdict in found), Verdict.UNSET)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Exit code for a CI job: UNSET counts as a bench that could not judge."""
    match whole_verdict(findings):
        case Verdict.FAIL:
            return ExitCode.VERDICT_FAIL
        case Verdict.PASS:
            return ExitCode.OK
        case _:
            return ExitCode.BENCH_BROKEN


def render(findings: Iterable[Finding]) -> str:
    """Lines for a person: verdict, name, what was seen; below it examples and what to do."""
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.verdict:8} {finding.check:14} {finding.told}")
        lines += [f"{'':24}{example}" for example in finding.examples]
        if finding.next_step:
            lines.append(f"{'':24}Next: {finding.next_step}")
    return "\n".join(lines)
