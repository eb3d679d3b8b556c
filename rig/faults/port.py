"""What a bench offers to faults: the lines of its devices, its air, broker, clock, bridge and disk.

A bench gives None for a part that it does not have; faults of that part are skipped, and say so. `rig.faults.apply`
brings a fault about on any bench that has this form.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from rig.faults.catalogue import PlannedFault
from rig.faults.entry import Layer, Pace
from rig.faults.line import LineFaults
from rig.faults.mqtt_way import MqttWay


class FaultAir(Protocol):
    """The emulated radio: `rig.ble.bench.BleBench` and `rig.ble.bench_process.BleBenchProcess` have this form."""

    async def fault(self, fault_id: str, *, tag: str | None = None, **options: Any) -> None:  # Any: by fault
        """Let a fault of `rig.ble.faults.FAULTS` happen."""
        ...

    async def clear(self, fault_id: str, *, tag: str | None = None) -> None:
        """End it."""
        ...


class FaultBroker(Protocol):
    """The broker, and the way of the bridge's connection to it."""

    @property
    def way(self) -> MqttWay | None:
        """What stands between bridge and broker; None where the bridge connects directly (see `Needs.way`)."""
        ...

    async def kill(self) -> None:
        """End it as a crash would."""
        ...

    async def start(self) -> None:
        """Start it again on its port and its store, and return once it listens."""
        ...


class FaultClock(Protocol):
    """The UTC clock of the bridge's host; its monotonic clock is never touched."""

    def set_offset(self, offset_s: float) -> None:
        """Have it show so many seconds more than the right time, from now on."""
        ...

    def set_skew(self, ppm: float) -> None:
        """Have it run fast by so much from now on; 0 ends it and the offset that it brought."""
        ...


class FaultBridge(Protocol):
    """The bridge's process."""

    async def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        ...

    async def start(self) -> None:
        """Start it again with the same configuration, and return once it is ready."""
        ...

    async def pause(self) -> None:
        """SIGSTOP; it is so on return."""
        ...

    async def resume(self) -> None:
        """SIGCONT."""
        ...


class FaultDisk(Protocol):
    """The file system that holds the bridge's outbox: one of its own, small."""

    async def fill(self) -> None:
        """Fill it to the last byte."""
        ...

    async def free(self) -> None:
        """Give the room back."""
        ...


class FaultBench(Protocol):
    """A bench as faults see it."""

    @property
    def pace(self) -> Pace:
        """How time passes on it."""
        ...

    def mono_ns(self) -> int:
        """Its monotonic clock: what `LineFaults` are driven by."""
        ...

    def plays_events(self, device: str) -> bool:
        """Whether a device is emulated and plays the events of the scenario, those of `scripted_events` included."""
        ...

    def find_line(self, device: str) -> LineFaults | None:
        """Faults of the byte line between a device and the bridge."""
        ...

    def find_radio(self, device: str) -> str | None:
        """Name on the air of a smart tag, of the tag of a person, or of a wearer's beacon."""
        ...

    @property
    def air(self) -> FaultAir | None:
        """The emulated radio."""
        ...

    @property
    def broker(self) -> FaultBroker | None:
        """The broker."""
        ...

    @property
    def clock(self) -> FaultClock | None:
        """The clock of the bridge's host."""
        ...

    @property
    def bridge(self) -> FaultBridge | None:
        """The bridge's process; None on virtual time, where it is none."""
        ...

    @property
    def disk(self) -> FaultDisk | None:
        """The file system of the outbox."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What has to be put in place before a run, for the faults that it holds.

    Attributes
    ----------
    lines : frozenset of str
        Devices whose byte line must pass through `LineFaults`.
    way : bool
        Whether the bridge must reach its broker through a `MqttWay`.
    clock : bool
        Whether the clock of the bridge's host must be one that can be set.
    disk : bool
        Whether the outbox must lie on a small file system of its own.
    """

    lines: frozenset[str] = frozenset()
    way: bool = False
    clock: bool = False
    disk: bool = False


ON_THE_WAY: Final = frozenset({"broker.slow", "broker.refuse", "broker.no_ack", "broker.duplicate_ack"})
"""Faults of the connection to the broker, not of the broker."""


def needs_of(faults: Iterable[PlannedFault], *, played: frozenset[str] = frozenset()) -> Needs:
    """Say what faults need.

    Parameters
    ----------
    faults : iterable of PlannedFault
    played : frozenset of str
        Devices that play their events themselves: they need no line for those.
    """
    planned = list(faults)
    return Needs(
        lines=frozenset(
            fault.device
            for fault in planned
            if fault.device is not None
            and fault.entry.layer in {Layer.SERIAL, Layer.GNSS}
            and not (fault.entry.event and fault.device in played)
        ),
        way=any(fault.id in ON_THE_WAY for fault in planned),
        clock=any(fault.entry.layer is Layer.CLOCK for fault in planned),
        disk=any(fault.id == "host.disk_full" for fault in planned),
    )
