"""Faults that an emulated tag carries out itself, as events of its firmware."""

from collections.abc import Mapping
from typing import Final

from rig.emulator.events import DeviceAction, EventKind, make_actions
from rig.faults.catalogue import plan_fault
from rig.faults.entry import Value
from rig.scenario.tables import FaultTable

_VALUE_OF: Final[Mapping[str, tuple[str, ...]]] = {
    EventKind.GNSS_JUMP: ("distance_m", "bearing_deg"),
    EventKind.GNSS_DRIFT: ("speed_mps", "bearing_deg"),
    EventKind.JAM: ("strength",),
    EventKind.BATTERY: ("percent",),
}
"""Which parameters of a fault make up the value of its event, in order; `EventKind.SPOOF` has a choice before them."""


def fault_actions(fault: FaultTable) -> list[DeviceAction]:
    """Actions of one fault; none where the bench brings it about from outside.

    Raises
    ------
    FaultError
        It is not in the catalogue, or cannot be as it is described.
    """
    plan = plan_fault(fault.id, at_s=fault.at_s, lasts_s=fault.lasts_s, device=fault.device, parameters=fault.options)
    event = plan.entry.event
    if not event:
        return []
    given = plan.parameters
    if event == EventKind.SPOOF:
        by = "speed_mps" if given["way"] == "pull_off" else "distance_m"
        words = [given["way"], given[by], given["bearing_deg"], given["time_offset_s"]]
    else:
        words = [given[name] for name in _VALUE_OF.get(event, ())]
    return make_actions(event, ":".join(map(_word, words)), fault.at_s, fault.lasts_s)


def _word(value: Value) -> str:
    return f"{value:.12g}" if isinstance(value, int | float) else value
