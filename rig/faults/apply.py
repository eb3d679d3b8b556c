"""Brings a planned fault about on a bench, and ends it."""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from rig.errors import FaultError
from rig.faults import bytes as byte_faults
from rig.faults import gnss
from rig.faults.bytes import ByteFault
from rig.faults.catalogue import PlannedFault
from rig.faults.entry import Layer, Target
from rig.faults.mqtt_way import Acks
from rig.faults.port import ON_THE_WAY, FaultBench

End = Callable[[], Awaitable[None]]
"""Ends a lasting fault."""

AIR_FAULTS: Final = {
    "ble.loss": ("lost_adverts", {"share": "loss"}),
    "ble.fade": ("fade", {"by_db": "by_db"}),
    "ble.duplicate": ("repeated_adverts", {"copies": "copies"}),
    "ble.address_rotation": ("new_address", {}),
    "ble.clone": ("clone", {"delay_s": "delay_s"}),
    "ble.disconnect_during_write": ("broken_write", {"times": "times", "acts": "acts"}),
    "ble.truncated_value": ("cut_values", {"length": "length"}),
    "ble.out_of_range": ("out_of_range", {}),
    "ble.adapter_off": ("adapter_off", {}),
}
"""Names and options of `rig.ble.faults.FAULTS` for those of the catalogue."""


def is_played_by_device(bench: FaultBench, fault: PlannedFault) -> bool:
    """Whether an emulated device plays the fault itself, as an event of the scenario."""
    return bool(fault.entry.event) and fault.device is not None and bench.plays_events(fault.device)


def find_obstacle(bench: FaultBench, fault: PlannedFault) -> str | None:
    """Say why this bench cannot bring a fault about; None: it can."""
    entry = fault.entry
    if bench.pace not in entry.paces:
        return f"{fault.id} needs processes in real time, not a bench at the {bench.pace} pace. Next: --pace real"
    if is_played_by_device(bench, fault):
        return None
    missing: str | None = None
    match entry.layer:
        case Layer.DEVICE:
            missing = f"an emulated device: {fault.device} is real, nobody can do this to it from here"
        case Layer.SERIAL | Layer.GNSS if bench.find_line(fault.device or "") is None:
            missing = f"a byte line of {fault.device}"
        case Layer.BLE if bench.air is None:
            missing = "an emulated radio"
        case Layer.BLE if entry.target is not Target.NOTHING and bench.find_radio(fault.device or "") is None:
            missing = f"{fault.device} on the air"
        case Layer.BROKER if bench.broker is None:
            missing = "a broker of its own"
        case Layer.BROKER if fault.id in ON_THE_WAY and bench.broker is not None and bench.broker.way is None:
            missing = "a way to the broker that can be disturbed"
        case Layer.CLOCK if bench.clock is None:
            missing = "a clock that can be set (faketime)"
        case Layer.HOST if fault.id == "host.disk_full" and bench.disk is None:
            missing = "a small file system for the outbox (root)"
        case Layer.HOST if fault.id != "host.disk_full" and bench.bridge is None:
            missing = "the bridge as a process"
    return None if missing is None else f"{fault.id} needs {missing}"


async def begin(bench: FaultBench, fault: PlannedFault) -> End | None:
    """Let a fault begin.

    Returns
    -------
    callable or None
        What ends it. None: it was over at once, or an emulated device plays it and ends it by itself.

    Raises
    ------
    FaultError
        This bench cannot bring it about (see `find_obstacle`).
    """
    obstacle = find_obstacle(bench, fault)
    if obstacle is not None:
        raise FaultError(obstacle)
    if is_played_by_device(bench, fault):
        return None
    match fault.entry.layer:
        case Layer.SERIAL | Layer.GNSS:
            return await _begin_on_line(bench, fault)
        case Layer.BLE:
            return await _begin_on_air(bench, fault)
        case Layer.BROKER:
            return await _begin_at_broker(bench, fault)
        case Layer.CLOCK:
            return _begin_at_clock(bench, fault)
        case _:
            return await _begin_at_host(bench, fault)


def make_byte_fault(fault: PlannedFault, direction: str) -> ByteFault:
    """Make what befalls one direction of a line; the same fault of the same scenario and seed is the same.

    Raises
    ------
    FaultError
        It is none of a line.
    """
    given = dict(fault.parameters)
    given.pop("direction", None)
    if fault.id in _DRAWN:
        rng = random.Random(f"{fault.seed}/{fault.number}/{fault.id}/{direction}")
        return _DRAWN[fault.id](rng, **given)
    if fault.id not in _MADE:
        raise FaultError(f"{fault.id} is no fault of a line")
    return _MADE[fault.id](**given)


def _leap_second(*, kind: str, seconds: int) -> ByteFault:
    return gnss.Clockwork(inserted=True) if kind == "inserted" else gnss.Clockwork(ahead_s=seconds)


def _rollover(*, periods: int) -> ByteFault:
    return gnss.Clockwork(days=-gnss.ROLLOVER_DAYS * periods)


_DRAWN: Final[Mapping[str, Callable[..., ByteFault]]] = {
    "serial.bit_flip": byte_faults.BitFlip,
    "serial.drop": byte_faults.Drop,
    "serial.garbage": byte_faults.Garbage,
}
_MADE: Final[Mapping[str, Callable[..., ByteFault]]] = {
    "serial.split": byte_faults.Split,
    "serial.merge": byte_faults.Merge,
    "serial.stall": byte_faults.Stall,
    "serial.wrong_baud": byte_faults.WrongBaud,
    "gnss.no_fix": gnss.NoFix,
    "gnss.jump": gnss.Displace,
    "gnss.drift": gnss.Displace,
    "gnss.freeze": gnss.Freeze,
    "gnss.jam": gnss.Jam,
    "gnss.spoof": gnss.Spoof,
    "gnss.leap_second": _leap_second,
    "gnss.rollover": _rollover,
}
"""Faults of a line that draw at random, and those that do not; their parameters are those of the catalogue."""


async def _begin_on_line(bench: FaultBench, fault: PlannedFault) -> End:
    line = bench.find_line(fault.device or "")
    assert line is not None
    key = f"{fault.id}/{fault.number}"
    if fault.id == "serial.disconnect":
        await line.unplug(key)
        return lambda: line.plug(key)
    direction = fault.parameters.get("direction", "up")
    chains = [each for name, each in (("up", line.up), ("down", line.down)) if direction in (name, "both")]
    for chain in chains:
        chain.put(key, make_byte_fault(fault, "up" if chain is line.up else "down"))

    async def end() -> None:
        for chain in chains:
            chain.remove(key, bench.mono_ns())

    return end


async def _begin_on_air(bench: FaultBench, fault: PlannedFault) -> End | None:
    air = bench.air
    assert air is not None
    name, options = AIR_FAULTS[fault.id]
    tag = None if fault.entry.target is Target.NOTHING else bench.find_radio(fault.device or "")
    await air.fault(name, tag=tag, **{theirs: fault.parameters[ours] for ours, theirs in options.items()})
    return (lambda: air.clear(name, tag=tag)) if fault.entry.lasting else None


async def _begin_at_broker(bench: FaultBench, fault: PlannedFault) -> End:
    broker = bench.broker
    assert broker is not None
    if fault.id == "broker.down":
        await broker.kill()
        return broker.start
    way = broker.way
    assert way is not None
    undo: Callable[[], None]
    match fault.id:
        case "broker.slow":
            way.set_delay(float(fault.parameters["delay_ms"]))
            undo = lambda: way.set_delay(0.0)  # noqa: E731 - one of four like it
        case "broker.refuse":
            way.set_refusing(True)
            undo = lambda: way.set_refusing(False)  # noqa: E731
        case _:
            way.set_acks(Acks.LOSE if fault.id == "broker.no_ack" else Acks.TWICE)
            undo = lambda: way.set_acks(Acks.PASS)  # noqa: E731

    return _later(undo)


def _begin_at_clock(bench: FaultBench, fault: PlannedFault) -> End:
    clock = bench.clock
    assert clock is not None
    if fault.id == "clock.step":
        clock.set_offset(float(fault.parameters["by_s"]))
        return _later(lambda: clock.set_offset(0.0))
    clock.set_skew(float(fault.parameters["ppm"]))
    return _later(lambda: clock.set_skew(0.0))


async def _begin_at_host(bench: FaultBench, fault: PlannedFault) -> End:
    bridge, disk = bench.bridge, bench.disk
    if fault.id == "host.disk_full":
        assert disk is not None
        await disk.fill()
        return disk.free
    assert bridge is not None
    if fault.id == "host.process_killed":
        await bridge.kill()
        return bridge.start
    await bridge.pause()
    return bridge.resume


def _later(undo: Callable[[], None]) -> End:
    async def end() -> None:
        undo()

    return end
