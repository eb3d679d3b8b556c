"""The emulated radio of a run: her smart tags, and the wearers' beacons at their true distances."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from devices.clock import Clock
from protocols.reports import Closure
from rig.ble.ankle_beacon import AnkleBeacon
from rig.ble.bench import BleBench
from rig.ble.firmware.beacon import BeaconConfig, BeaconFirmware
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.keys import read_key
from rig.ble.pair_path import beacon_paths
from rig.ble.victim import TagChange, VictimTag
from rig.demo.tag_words import TagWord
from rig.emulator.firmware import Outgoing
from rig.play.bridge_files import beacon_key_name
from rig.runs.folder import key_path
from rig.scenario import PersonTable, Scenario

INTERVAL_MIN_S: Final = 0.02
"""Shortest advertising interval, seconds (Core 5.4 Vol 6 Part B 4.4.2.2.1)."""

ADVERT_S: Final = 0.25
"""Advertising interval of smart tags, seconds: what `rig.ble.victim` takes for the real one's."""


class RunRadio:
    """Tags on an emulated air.

    Parameters
    ----------
    bench : BleBench
        Started.
    scenario : Scenario
    seed : int
    folder : Path
        Of the run, with its keys.
    clock : Clock
    speed : float
        Seconds of the scenario, and of its tags, per second of the clock.
    say : callable
        Told what a smart tag does.
    """

    def __init__(
        self,
        bench: BleBench,
        scenario: Scenario,
        *,
        seed: int,
        folder: Path,
        clock: Clock,
        speed: float = 1.0,
        say: Callable[[TagWord], None],
    ) -> None:
        self.bench = bench
        self._scenario = scenario
        self._seed = seed
        self._folder = folder
        self._clock = clock
        self._speed = speed
        self._say = say
        self._beacons: dict[str, AnkleBeacon] = {}

    async def switch_on_tags(self, bearers: Iterable[PersonTable]) -> None:
        """Put the smart tags of these on the air."""
        for number, person in enumerate(bearers, start=1):
            assert person.smart_tag is not None
            name = person.smart_tag.id
            config = SmartTagConfig(
                seed=self._seed + number,
                start_utc_ns=self._clock.utc_ns(),
                tag_key=read_key(key_path(self._folder, name)),
                beacon_key=self._find_beacon_key(person),
                battery_pct=person.battery_pct,
            )
            await self.bench.add(
                VictimTag(
                    self.bench.air,
                    name=name,
                    firmware=SmartTagFirmware(config),
                    clock=self._clock,
                    interval_s=self._interval_s(ADVERT_S),
                    speed=self._speed,
                    seed=self._seed + number,
                    acknowledges_after_s=person.smart_tag.acknowledges_after_s,
                    on_change=self._changed,
                )
            )

    def _find_beacon_key(self, person: PersonTable) -> bytes | None:
        """Return what her tag was given at the depot, to know the wearer's beacon by."""
        name = self._scenario.find_beacon_key(person)
        return None if name is None else read_key(key_path(self._folder, name))

    async def switch_on_beacons(self) -> None:
        """Put the wearers' beacons on the air; now is the scenario's zero."""
        start_mono_ns = self._clock.mono_ns()
        paths = beacon_paths(
            self._scenario, lambda: (self._clock.mono_ns() - start_mono_ns) * self._speed / 1e9, self._seed
        )
        for person in self._scenario.person:
            key_name = beacon_key_name(person)
            if person.beacon is None or key_name is None:
                continue
            config = BeaconConfig(
                seed=self._seed,
                start_utc_ns=self._clock.utc_ns(),
                key=read_key(key_path(self._folder, key_name)),
            )
            beacon = AnkleBeacon(
                self.bench.air,
                name=person.device,
                firmware=BeaconFirmware(config),
                clock=self._clock,
                interval_s=self._interval_s(person.beacon.interval_s),
                speed=self._speed,
                seed=self._seed,
            )
            for path in paths:
                if path.wearer == person.device:
                    beacon.reach(path.smart_tag, path.loss, path.where)
            self._beacons[person.device] = await self.bench.add(beacon)

    def _interval_s(self, wanted_s: float) -> float:
        # tags in a hurry advertise in a hurry, as far as the standard lets them
        return max(wanted_s / self._speed, INTERVAL_MIN_S)

    def find_name(self, device: str) -> str | None:
        """Return the name on the air of a smart tag, of the tag of a person, or of a wearer's beacon."""
        if device in self.bench.tags:
            return device
        person = self._scenario.find_person(device)
        name = None if person is None or person.smart_tag is None else person.smart_tag.id
        return name if name in self.bench.tags else None

    def follow(self, device: str, item: Outgoing) -> None:
        """Have a wearer's beacon say what his tag's sensors say."""
        beacon = self._beacons.get(device)
        if beacon is not None and not item.stored:
            sensors = item.epoch.sensors
            beacon.firmware.strap_open = sensors.strap is Closure.OPEN
            beacon.firmware.battery_pct = sensors.battery_pct

    def follow_power(self, device: str, is_powered: bool) -> None:
        """Switch a wearer's beacon with his tag."""
        beacon = self._beacons.get(device)
        if beacon is not None:
            beacon.firmware.is_powered = is_powered

    def _changed(self, change: TagChange) -> None:
        buzz = change.buzz
        self._say(
            TagWord(
                tag=change.tag,
                t_mono_ns=change.t_mono_ns,
                level=int(change.level),
                mode=change.mode.name.lower(),
                connected=change.connected,
                felt=buzz.text.name.lower() if buzz is not None and buzz.on else None,
            )
        )
