"""Suites that ``tagrig run NAME`` plays: name and module. A module is loaded only when its suite is played."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUITES: Final[dict[str, str]] = {"approach": "rig.approach.suite", "nij": "rig.nij.suite"}
"""Name and module. The module has ``run(options: SuiteOptions) -> int``, which prints and returns the exit code."""

PIPED_WIDTH: Final = 120
"""Columns of a suite's table where no terminal says how wide it is: a log of a CI job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOptions:
    """What the command line asked of a suite.

    Attributes
    ----------
    pace : str
        ``virtual``, ``real`` or ``x`` and a number.
    seed : int or None
        Another draw; None: the suite's own.
    out : Path
        Folder for the suite's run folders.
    bench : Path or None
        Bench file; None: the emulated bench.
    jobs : int
        Processes at once.
    family : str or None
        Only this part of the suite.
    as_json : bool
        Print one JSON object and nothing else on standard output.
    junit : Path or None
        Also write JUnit XML there.
    with_report : bool
        Whether pages are written.
    """

    pace: str = "virtual"
    seed: int | None = None
    out: Path
    bench: Path | None = None
    jobs: int = 1
    family: str | None = None
    as_json: bool = False
    junit: Path | None = None
    with_report: bool = True
