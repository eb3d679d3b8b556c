"""Everything that can go wrong with a tag, its radio and bluetoothd, by name.

::

    await bench.fault("slow_link", tag="tag-1", delay_s=0.03)
    await bench.clear("slow_link", tag="tag-1")

A lasting fault stays until it is cleared; a momentary one (`lasting` False) happens once. `FAULTS` is the catalogue:
what each does, where it acts, what a driver sees of it through bleak.
"""

from typing import TYPE_CHECKING, Any

from rig.ble import host_faults, identity_faults, radio_faults
from rig.ble.errors import FrontMisuseError
from rig.ble.fault_entries import FAULTS, Fault, Undo

if TYPE_CHECKING:
    from rig.ble.bench import BleBench

__all__ = ["FAULTS", "Fault", "Undo", "apply_fault", "host_faults", "identity_faults", "radio_faults"]


async def apply_fault(bench: "BleBench", fault_id: str, tag: str | None, options: dict[str, Any]) -> Undo | None:
    """Let a fault happen and give what undoes it, None where it is over at once.

    Raises
    ------
    FrontMisuseError
        There is no such fault, option or tag.
    """
    fault = FAULTS.get(fault_id)
    if fault is None:
        raise FrontMisuseError(f"there is no fault {fault_id!r}. Next: one of {', '.join(sorted(FAULTS))}")
    if fault.of_tag != (tag is not None):
        raise FrontMisuseError(f"{fault_id}: {'name the tag' if fault.of_tag else 'it is no fault of one tag'}")
    if tag is not None:
        bench.tag(tag)
    if unknown := set(options) - set(fault.options):
        raise FrontMisuseError(f"{fault_id}: unknown {sorted(unknown)}, there is {sorted(fault.options)}")
    values = {**fault.options, **options}
    return await (fault.apply(bench, tag, **values) if fault.of_tag else fault.apply(bench, **values))
