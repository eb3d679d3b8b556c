"""What a bench file (TOML) may hold: one bench, its devices by role, its broker."""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

DeviceType = Literal["ankle_tag", "gnss_receiver", "smart_tag"]
DeviceKind = Literal["real", "emulated", "replay"]
"""What stands behind a role: hardware, a program of this bench, or a recording."""

EMULATED: Final = "emulated"
"""Scheme of a transport that the run itself makes."""
REPLAY: Final = "replay"
"""Scheme of a transport that reads a recording."""

FEATURES: Final[dict[DeviceType, frozenset[str]]] = {
    "ankle_tag": frozenset({"gnss", "strap", "case", "battery", "charger", "shield", "jam", "memory", "downlink"}),
    "gnss_receiver": frozenset({"gnss"}),
    "smart_tag": frozenset({"ble", "warning", "button", "battery"}),
}
"""What a device of a type has unless its table says otherwise."""

KNOWN_FEATURES: Final = frozenset[str]().union(
    *FEATURES.values(),
    {
        "beacon",
        "power",
        "flash",
        "broker_control",
        "bridge_control",
        "truth",
        "virtual_time",
        "real",
        "replay",
        "emulated",
    },
)
"""Every name that ``features`` and ``needs_feature`` may use; a typing error must not skip a test for ever."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Patience = Annotated[float, msgspec.Meta(ge=0.05, le=3600)]
"""Seconds. Less is below what a USB port needs to appear; whoever waits longer than an hour has forgotten why."""
Argv = Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]


class BenchTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The bench itself.

    Attributes
    ----------
    lease_s : float
        A lease whose owner gave no sign of life for so long is free again. A machine that swaps stands still for
        seconds; more keeps a bench blocked after a crash on another machine.
    lease_wait_s : float
        How long to wait for hardware that somebody else has; 0: not at all.
    emulate_missing : bool
        Roles of a scenario that the file does not name are emulated; else the scenario is skipped here.
    """

    name: Name
    notes: str = ""
    lease_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 30.0
    lease_wait_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0
    emulate_missing: bool = False


class SerialPowerTable(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="serial"
):
    """A modem line of a serial port that drives a relay or a reset pin.

    ``port``: a path, or ``rfc2217://host:port``. ``active``: the level at which the device has power.
    """

    port: Text
    line: Literal["dtr", "rts"] = "dtr"
    active: Literal["high", "low"] = "high"
    off_s: Patience = 2.0
    ready_s: Patience = 15.0
    port_vanishes: bool = False


class CommandPowerTable(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="command"
):
    """Programs that switch; no shell. ``{role}``, ``{port}``, ``{serial}`` and ``{location}`` are filled in."""

    on: Argv
    off: Argv
    timeout_s: Patience = 20.0
    off_s: Patience = 2.0
    ready_s: Patience = 15.0
    port_vanishes: bool = False


class ManualPowerTable(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="manual"
):
    """A person at the bench, who is asked at the terminal; ``timeout_s`` is how long."""

    timeout_s: Patience = 120.0
    off_s: Patience = 2.0
    ready_s: Patience = 60.0
    port_vanishes: bool = False


class EmulatedPowerTable(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="emulated"
):
    """An emulated tag on a port of its own, which is there while it has power: hardware for benches without any."""

    off_s: Patience = 0.2
    ready_s: Patience = 15.0
    port_vanishes: bool = True


PowerTable = SerialPowerTable | CommandPowerTable | ManualPowerTable | EmulatedPowerTable


class CommandFlashTable(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="command"
):
    """A program that flashes; no shell. ``{image}`` and the fields of ``CommandPowerTable`` are filled in.

    ``version``: what must run afterwards, a pattern; absent: the device's ``expect_firmware``. ``when``: flash at the
    opening of the bench where the firmware is another one, or only when told to.
    """

    command: Argv
    image: Text
    version: Name | None = None
    when: Literal["mismatch", "told"] = "told"
    timeout_s: Patience = 300.0
    ready_s: Patience = 60.0


class SmpFlashTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="smp"):
    """MCUmgr SMP over the device's own line, or over ``target`` (``serial:PORT``, ``ble:ADDRESS``)."""

    image: Text
    target: Text | None = None
    version: Name | None = None
    when: Literal["mismatch", "told"] = "told"
    reply_s: Patience = 2.5
    ready_s: Patience = 60.0


FlashTable = CommandFlashTable | SmpFlashTable


class DeviceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device; its table's name is its role.

    Attributes
    ----------
    transport : str
        As in the bridge's configuration, or ``emulated:``.
    of : str or None
        Whose device it is (``offender``, ``victim``, ``victim-2``); absent: the role's own name.
    expect_firmware : str or None
        A pattern such as ``2.4.*``; a device that runs another one makes the bench broken.
    features : tuple of str or None
        What it has; absent: all that its type has.
    """

    type: DeviceType
    transport: Text
    of: Name | None = None
    expect_firmware: Name | None = None
    features: tuple[Name, ...] | None = None
    notes: str = ""
    power: PowerTable | None = None
    flash: FlashTable | None = None

    @property
    def kind(self) -> DeviceKind:
        """What stands behind it."""
        scheme = self.transport.strip().partition(":")[0]
        return "emulated" if scheme == EMULATED else "replay" if scheme == REPLAY else "real"

    @property
    def has(self) -> frozenset[str]:
        """All its features."""
        found = FEATURES[self.type] if self.features is None else frozenset(self.features)
        if self.power is not None:
            found |= {"power"}
        if self.flash is not None:
            found |= {"flash"}
        return found


class BrokerTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The broker that is started for each run: runs on one that others use would meet in its retained states.

    ``kind``: auto takes mosquitto where it is installed, else the embedded NATS. ``url`` may say so in so many words:
    ``mqtt://127.0.0.1:0``.
    """

    kind: Literal["auto", "mosquitto", "nats"] = "auto"
    url: Literal["mqtt://127.0.0.1:0"] | None = None


class BenchFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole file. ``folder`` is where relative paths in it start from; the key is not part of the file."""

    bench: BenchTable
    devices: dict[str, DeviceTable] = {}
    broker: BrokerTable = BrokerTable()

    @property
    def kind(self) -> str:
        """``real``, ``emulated``, ``replay``, or ``mixed``."""
        kinds = {device.kind for device in self.devices.values()}
        if self.bench.emulate_missing or not kinds:
            kinds.add("emulated")
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def features(self) -> frozenset[str]:
        """What a test may need of this bench."""
        found = frozenset[str]().union(*(device.has for device in self.devices.values()))
        kinds = {device.kind for device in self.devices.values()}
        if self.bench.emulate_missing or not self.devices:
            kinds.add("emulated")
            found |= frozenset[str]().union(*FEATURES.values(), {"beacon"})
        found |= kinds
        if kinds <= {"emulated", "replay"}:
            found |= {"virtual_time"}
        if "real" not in kinds:
            found |= {"truth"}
        return found | {"broker_control", "bridge_control"}


def emulated_bench() -> BenchFile:
    """Return the bench that is used where no file is named: everything emulated."""
    return BenchFile(bench=BenchTable(name="emulated", emulate_missing=True))


def relative(folder: Path, text: str) -> Path:
    """Where a path of a bench file leads."""
    return folder / Path(text).expanduser()
