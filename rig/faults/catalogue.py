"""The catalogue: every fault that the bench can bring about, with parameters and expected outcome.

Knows no bench and no product: a scenario is checked against it, and the oracle asks it what a fault excuses.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rig.errors import FaultError
from rig.faults.entries_bench import BLE, BROKER, CLOCK, DEVICE, HOST
from rig.faults.entries_line import GNSS, SERIAL
from rig.faults.entry import FaultEntry, Layer, Target, Value

CATALOGUE: Final[Mapping[str, FaultEntry]] = {
    entry.id: entry for entry in (*SERIAL, *GNSS, *BLE, *BROKER, *CLOCK, *DEVICE, *HOST)
}
"""Every fault by its id."""


def find_entry(fault_id: str) -> FaultEntry:
    """Give the entry of an id.

    Raises
    ------
    FaultError
        There is none; the message names the nearest.
    """
    entry = CATALOGUE.get(fault_id)
    if entry is None:
        near = difflib.get_close_matches(fault_id, CATALOGUE, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise FaultError(f"fault {fault_id!r} is not in the catalogue{hint} Expected one of: {', '.join(CATALOGUE)}")
    return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """A fault of a scenario, checked.

    Attributes
    ----------
    entry : FaultEntry
    number : int
        Which fault of the scenario it is, from 0; with ``seed`` it fixes its randomness.
    at_s : float
        When it begins, seconds of scenario time.
    lasts_s : float or None
        None: it happens once, or lasts until the end of the run.
    device : str or None
    parameters : mapping
        All of them, defaults included.
    """

    entry: FaultEntry
    number: int = 0
    at_s: float = 0.0
    lasts_s: float | None = None
    device: str | None = None
    parameters: Mapping[str, Value]
    seed: int = 1

    @property
    def id(self) -> str:
        """Id of its entry."""
        return self.entry.id

    @property
    def end_s(self) -> float | None:
        """When it ends; None as for ``lasts_s``."""
        return None if self.lasts_s is None else self.at_s + self.lasts_s


def plan_fault(
    fault_id: str,
    *,
    at_s: float = 0.0,
    lasts_s: float | None = None,
    device: str | None = None,
    parameters: Mapping[str, Value] | None = None,
    number: int = 0,
    seed: int = 1,
) -> PlannedFault:
    """Check one fault of a scenario.

    Raises
    ------
    FaultError
        It is not in the catalogue, a parameter is unknown or out of range, the device is missing or names nothing, or
        it has a duration though it happens once.
    """
    entry = find_entry(fault_id)
    where = f"fault {fault_id!r} at {at_s:g} s"
    if not at_s >= 0:
        raise FaultError(f"{where}: expected at_s of 0 or later")
    if lasts_s is not None and not entry.lasting:
        raise FaultError(f"{where}: it happens once; expected no lasts_s")
    if lasts_s is not None and not 0 < lasts_s < math.inf:
        raise FaultError(f"{where}: expected lasts_s above 0, got {lasts_s:g}")
    if entry.target is Target.NOTHING and device is not None:
        raise FaultError(f"{where}: it is no fault of one device; expected no device, got {device!r}")
    if entry.target is not Target.NOTHING and device is None:
        raise FaultError(f"{where}: expected device, the {entry.target} that it befalls")
    return PlannedFault(
        entry=entry,
        number=number,
        at_s=at_s,
        lasts_s=lasts_s,
        device=device,
        parameters=entry.resolve(parameters or {}, where),
        seed=seed,
    )


def of_layer(layer: Layer) -> tuple[FaultEntry, ...]:
    """Give the entries of one layer."""
    return tuple(entry for entry in CATALOGUE.values() if entry.layer is layer)
