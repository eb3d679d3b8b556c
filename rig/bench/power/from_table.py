"""Makes the switch that a bench file names."""

from collections.abc import Mapping
from pathlib import Path

from devices.modem_lines import ModemLine
from rig.bench.power.base import PowerSwitch
from rig.bench.power.command import CommandSwitch
from rig.bench.power.emulated import EmulatedSwitch
from rig.bench.power.manual import ManualSwitch
from rig.bench.power.serial_line import SerialLineSwitch
from rig.bench.schema import CommandPowerTable, DeviceTable, EmulatedPowerTable, ManualPowerTable, SerialPowerTable


def make_switch(role: str, device: DeviceTable, *, fields: Mapping[str, str]) -> PowerSwitch | None:
    """Return the power switch of a device, or None where it has none. Nothing is switched or opened yet."""
    table = device.power
    match table:
        case None:
            return None
        case SerialPowerTable():
            return SerialLineSwitch(table.port, ModemLine(table.line), on_is_high=table.active == "high")
        case CommandPowerTable():
            return CommandSwitch(table.on, table.off, fields=fields, timeout_s=table.timeout_s)
        case ManualPowerTable():
            return ManualSwitch(role, timeout_s=table.timeout_s)
        case EmulatedPowerTable():
            return EmulatedSwitch(Path(device.transport.removeprefix("pty:").partition("?")[0]))
