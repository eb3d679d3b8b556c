"""The people of a scenario on an emulated air: smart tags, and beacons at their true distances and in their places."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.clock import Clock
from rig.ble.ankle_beacon import AnkleBeacon
from rig.ble.bench import BleBench
from rig.ble.firmware.beacon import BeaconConfig, BeaconFirmware
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.keys import key_at
from rig.ble.pair_path import beacon_paths
from rig.ble.victim import INTERVAL_S, TagChange, VictimTag
from rig.emulator.clock import NS_PER_S
from rig.emulator.events import DeviceAction, EventKind
from rig.scenario import PersonTable, Scenario

_FASTEST_S: Final = 0.02
"""Shortest advertising interval, seconds (Core 5.4 Vol 6 Part B 4.4.2.2.1): a story in a hurry cannot go below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AirOptions:
    """How a scenario goes on the air.

    Attributes
    ----------
    keys : Path
        Folder of key files, ``NAME.key``; those that are missing are made.
    start_utc_ns : int
        The tags' clocks at the scenario's zero.
    seed : int or None
        Another one than the scenario's.
    speed : float
        Seconds of the scenario per second.
    interval_s : float
        Advertising interval of smart tags, seconds of the clock.
    """

    keys: Path
    start_utc_ns: int
    seed: int | None = None
    speed: float = 1.0
    interval_s: float = INTERVAL_S


class OnAir:
    """What is on the air, and the scenario's time.

    Attributes
    ----------
    tags : dict of str to VictimTag
        Smart tags by their id.
    beacons : dict of str to AnkleBeacon
        By their wearers' device.
    """

    def __init__(self, clock: Clock, speed: float) -> None:
        self._clock = clock
        self._speed = speed
        self._zero_mono_ns = clock.mono_ns()
        self.tags: dict[str, VictimTag] = {}
        self.beacons: dict[str, AnkleBeacon] = {}

    def begin(self, zero_mono_ns: int) -> None:
        """Let the scenario's zero be at a reading of the clock; until then everybody stands where they begin."""
        self._zero_mono_ns = zero_mono_ns

    def now_s(self) -> float:
        """Return the scenario's present moment."""
        return max(0.0, (self._clock.mono_ns() - self._zero_mono_ns) * self._speed / NS_PER_S)


class TagBeaconFirmware(BeaconFirmware):
    """The beacon of an ankle tag to which things happen: it tells a cut strap, and is silent while the tag is off.

    ``now_s`` gives the scenario's moment, in which the actions are timed.
    """

    def __init__(self, config: BeaconConfig, actions: tuple[DeviceAction, ...], now_s: Callable[[], float]) -> None:
        super().__init__(config)
        self._actions = actions
        self._now_s = now_s
        self._next = 0
        self._powered = True

    def advert(self, t_ns: int) -> bytes:
        """Return the manufacturer data of the next advertising event; empty while the tag is off."""
        now_s = self._now_s()
        while self._next < len(self._actions) and self._actions[self._next].at_s <= now_s:
            self._apply(self._actions[self._next])
            self._next += 1
        return super().advert(t_ns) if self._powered else b""

    def _apply(self, action: DeviceAction) -> None:
        match action.kind:
            case EventKind.STRAP_CUT | EventKind.STRAP_CLOSE:
                self.strap_open = action.kind is EventKind.STRAP_CUT
            case EventKind.POWER_OFF | EventKind.POWER_ON:
                self._powered = action.kind is EventKind.POWER_ON
            case EventKind.BATTERY:
                self.battery_pct = round(float(action.value))
            case _:
                pass


async def put_on_air(
    bench: BleBench,
    scenario: Scenario,
    options: AirOptions,
    clock: Clock,
    on_change: Callable[[TagChange], None],
) -> OnAir:
    """Put every smart tag that was issued and is present, and every beacon, on the air of a bench.

    The scenario's zero is the clock's present moment, or what ``begin`` of the answer is told.

    Raises
    ------
    RigError
        A key file can be neither read nor made.
    """
    air = OnAir(clock, options.speed)
    for number, person in enumerate(scenario.person):
        if person.smart_tag is not None and person.smart_tag.issued and person.smart_tag.present:
            tag = _tag(bench, scenario, person, number, options, clock, on_change)
            air.tags[tag.name] = await bench.add(tag)
    paths = beacon_paths(scenario, air.now_s, _seed(scenario, options))
    for number, person in enumerate(scenario.person):
        if person.beacon is None:
            continue
        beacon = _beacon(bench, scenario, person, number, options, clock, air.now_s)
        for path in paths:
            if path.wearer == person.device:
                beacon.reach(path.smart_tag, path.loss, path.where)
        air.beacons[person.device] = await bench.add(beacon)
    return air


def _seed(scenario: Scenario, options: AirOptions) -> int:
    return scenario.seed if options.seed is None else options.seed


def _key(scenario: Scenario, options: AirOptions, name: str) -> bytes:
    return key_at(options.keys / f"{name}.key", seed=_seed(scenario, options))


def _tag(
    bench: BleBench,
    scenario: Scenario,
    person: PersonTable,
    number: int,
    options: AirOptions,
    clock: Clock,
    on_change: Callable[[TagChange], None],
) -> VictimTag:
    assert person.smart_tag is not None
    # devices of one scenario must not share their addresses and pauses
    seed = _seed(scenario, options) * 1000 + number
    key_name = scenario.find_beacon_key(person)
    firmware = SmartTagFirmware(
        SmartTagConfig(
            seed=seed,
            start_utc_ns=options.start_utc_ns,
            tag_key=_key(scenario, options, person.smart_tag.id),
            beacon_key=None if key_name is None else _key(scenario, options, key_name),
            battery_pct=person.battery_pct,
        )
    )
    return VictimTag(
        bench.air,
        name=person.smart_tag.id,
        firmware=firmware,
        clock=clock,
        interval_s=options.interval_s,
        seed=seed,
        acknowledges_after_s=person.smart_tag.acknowledges_after_s,
        speed=options.speed,
        on_change=on_change,
    )


def _beacon(
    bench: BleBench,
    scenario: Scenario,
    person: PersonTable,
    number: int,
    options: AirOptions,
    clock: Clock,
    now_s: Callable[[], float],
) -> AnkleBeacon:
    assert person.beacon is not None
    seed = _seed(scenario, options) * 1000 + number
    key = _key(scenario, options, person.beacon.key or person.device)
    config = BeaconConfig(seed=seed, start_utc_ns=options.start_utc_ns, key=key)
    return AnkleBeacon(
        bench.air,
        name=person.device,
        firmware=TagBeaconFirmware(config, scenario.actions(person), now_s),
        clock=clock,
        interval_s=max(person.beacon.interval_s / options.speed, _FASTEST_S),
        seed=seed,
        speed=options.speed,
    )
