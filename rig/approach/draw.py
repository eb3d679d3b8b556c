"""What a run of the suite is, and how a draw of all of them is made from a seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rig.emulator.noise import stream
from rig.errors import RigError
from rig.scenario import Scenario

RUNS_PER_FAMILY: Final = 5
"""The trial of 2019 had 35 runs of seven scenarios; five each is our division of them."""

DEFAULT_SEED: Final = 2019
"""The draw that is played unless another one is asked for: the year of the trial."""

WEARER: Final = "tag-1"
PROTECTED: Final = "pp-1"
SMART_TAG: Final = "st-1"
"""Names on the bench; every run has one of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproachRun:
    """One approach.

    Attributes
    ----------
    family : str
        Name of the family.
    run : int
        From 1 to 5.
    seed : int
        Of the draw; the scenario's own seed follows from it.
    about : str
        What is particular about it, for the table.
    scenario : Scenario
        Complete: it needs no parameter.
    """

    family: str
    run: int
    seed: int
    about: str
    scenario: Scenario

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.family}-{self.run}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What a family makes of its random numbers."""

    about: str
    scenario: Scenario


Family = Callable[[random.Random, int], Drawn]
"""Makes run number 1 to 5 of a family."""


def draw_family(name: str, family: Family, seed: int) -> list[ApproachRun]:
    """Draw all runs of a family. A family's draw does not depend on the others."""
    runs = []
    for number in range(1, RUNS_PER_FAMILY + 1):
        drawn = family(stream(seed, f"approach/{name}/{number}"), number)
        runs.append(ApproachRun(family=name, run=number, seed=seed, about=drawn.about, scenario=drawn.scenario))
    return runs


def draw_runs(seed: int, family: str | None = None) -> list[ApproachRun]:
    """Draw the suite, or one family of it.

    Raises
    ------
    RigError
        No family has that name.
    """
    from rig.approach.families import FAMILIES

    if family is not None and family not in FAMILIES:
        raise RigError(f"family {family!r} is not known. Expected one of: {', '.join(FAMILIES)}")
    chosen = {name: make for name, make in FAMILIES.items() if family in {None, name}}
    return [run for name, make in chosen.items() for run in draw_family(name, make, seed)]
