"""An emulated air that a person drives by lines such as ``tag-1 press``: tags, and key files for their drivers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devices.clock import Clock
from rig.ble.ankle_beacon import AnkleBeacon
from rig.ble.bench import BleBench
from rig.ble.errors import BleRigError
from rig.ble.faults import FAULTS
from rig.ble.find_me_tag import FindMeTag
from rig.ble.firmware.beacon import BeaconConfig, BeaconFirmware
from rig.ble.firmware.find_me import FindMeFirmware
from rig.ble.firmware.images import ImageVersion
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.firmware.smp import make_server
from rig.ble.keys import key_at, write_secret
from rig.ble.pair_path import pair_path
from rig.ble.path_loss import DEFAULT_RADIO_PROFILE, PathLoss, RadioPath, find_radio_profile, loss_probability, mean_dbm
from rig.ble.session_words import (
    HELP,
    AirReady,
    AirWord,
    CommandDone,
    CommandError,
    CommandRefused,
    TagInfo,
    expect_nothing,
    one_number,
    one_of,
    pairs_of,
    target_of,
    word_of,
)
from rig.ble.victim import VictimTag
from rig.ble.victim_commands import Action, victim_actions
from rig.ble.ways import way_between, way_set
from rig.emulator.clock import NS_PER_S
from rig.scenario import PersonTable, Scenario

FIRST_VERSION: Final = ImageVersion(major=1, minor=4, revision=2)
"""What runs on an emulated smart tag before anything is flashed."""

FAR_M: Final = 500.0
"""Where the wearer is until told otherwise, metres: out of the radio's reach."""

INTERVAL_MIN_S: Final = 0.02
"""Shortest advertising interval, seconds (Core 5.4 Vol 6 Part B 4.4.2.2.1)."""

BEACON_NAME: Final = "beacon"
_LISTENING_MAX: Final = 20
"""So many tags have ears at most when there is a beacon: each hears the advertisements of all the others too, which
costs their number squared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AirPlan:
    """What is on the air.

    Attributes
    ----------
    tags, find_me : int
        How many smart tags and Find Me tags.
    beacon : bool
        Whether a wearer's beacon is there, `FAR_M` away.
    keys : Path
        Folder of key files; those that are missing are made.
    seed : int or None
        Fixes keys, addresses and the radio.
    interval_s : float
        Advertising interval of all tags.
    radio_profile : str
        Surroundings of the path from the beacon to each tag; a scenario whose wearer has a ``beacon`` has its own.
    passkey : int or None
        The digits on every smart tag's label.
    guarded : bool
        Whether smart tags answer bonded peers only.
    capture : Path or None
        Folder for btsnoop captures.
    scenario : Scenario or None
        Whose smart tags and wearers are on the air, in place of ``tags`` and ``beacon``; distances are its true ones.
    speed : float
        Seconds of the scenario, and of its tags, per second.
    """

    tags: int = 1
    find_me: int = 0
    beacon: bool = False
    keys: Path
    seed: int | None = None
    interval_s: float = 0.25
    radio_profile: str = DEFAULT_RADIO_PROFILE
    passkey: int | None = None
    guarded: bool = False
    capture: Path | None = None
    scenario: Scenario | None = None
    speed: float = 1.0


class EmulatedAir:
    """Tags behind an emulated Bluetooth service; ``async with`` it, then hand it lines.

    Parameters
    ----------
    plan : AirPlan
    clock : Clock
    say : callable
        Takes every word.
    """

    def __init__(self, plan: AirPlan, clock: Clock, say: Callable[[AirWord], None]) -> None:
        self._plan = plan
        self._clock = clock
        self._say = say
        self._seed = 1 if plan.seed is None else plan.seed
        self._bench = BleBench(plan.capture, seed=self._seed, capture_tags=plan.capture is not None)
        self._victims: dict[str, VictimTag] = {}
        self._find_me: dict[str, FindMeTag] = {}
        self._beacon: AnkleBeacon | None = None
        self._distance_m: dict[str, float] = {}
        self._start_mono_ns = clock.mono_ns()
        self._profile = find_radio_profile(plan.radio_profile)

    async def __aenter__(self) -> Self:
        """Switch everything on."""
        await self._bench.__aenter__()
        try:
            await self._fill()
        except BaseException:
            await self._bench.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Switch everything off."""
        await self._bench.close()

    async def _fill(self) -> None:
        plan, infos = self._plan, []
        if plan.scenario is not None:
            await self._fill_scenario(plan.scenario)
            return
        beacon_key = key_at(plan.keys / f"{BEACON_NAME}.key", seed=plan.seed) if plan.beacon else None
        for number in range(1, plan.tags + 1):
            name = f"tag-{number}"
            infos.append(await self._add_victim(name, number, beacon_key if number <= _LISTENING_MAX else None))
        for number in range(1, plan.find_me + 1):
            name, address = f"find-me-{number}", f"C0:DE:F1:00:{number >> 8:02X}:{number & 0xFF:02X}"
            tag = FindMeTag(
                self._bench.air,
                name=name,
                address=address,
                firmware=FindMeFirmware(),
                clock=self._clock,
                interval_s=plan.interval_s,
            )
            self._find_me[name] = await self._bench.add(tag)
            infos.append(TagInfo(name=name, kind="find_me", address=address, target=f"ble:{address}"))
        if beacon_key is not None:
            beacon = self._make_beacon(BEACON_NAME, beacon_key)
            self._reach_all(beacon)
            self._beacon = await self._bench.add(beacon)
        self._say(
            AirReady(
                bus=self._bench.bus_address,
                tags=infos,
                beacon_key_file=str(plan.keys / f"{BEACON_NAME}.key") if plan.beacon else None,
            )
        )

    async def _fill_scenario(self, scenario: Scenario) -> None:
        """Put on the air who carries a smart tag, and every wearer whom an order keeps away from them."""
        plan, infos = self._plan, []
        tracks = {person.device: scenario.track(person) for person in scenario.person}
        bearers = [person for person in scenario.person if person.smart_tag is not None and person.smart_tag.on_air]
        pairs = [(order.wearer, ring.device) for order in scenario.order for ring in order.protected]
        for number, person in enumerate(bearers, start=1):
            assert person.smart_tag is not None
            wearer = next((wearer for wearer, device in pairs if device == person.device), None)
            key = None if wearer is None else key_at(plan.keys / f"{wearer}.key", seed=plan.seed)
            infos.append(
                await self._add_victim(person.smart_tag.id, number, key, person.smart_tag.acknowledges_after_s)
            )
        for wearer in sorted({wearer for wearer, _ in pairs}):
            beacon = self._make_beacon(wearer, key_at(plan.keys / f"{wearer}.key", seed=plan.seed))
            for person in bearers:
                assert person.smart_tag is not None
                name = person.smart_tag.id
                loss = self._path(scenario, wearer, person, name)
                beacon.reach(name, loss, way_between(tracks[wearer], tracks[person.device], self._now_s))
            await self._bench.add(beacon)
        self._say(AirReady(bus=self._bench.bus_address, tags=infos))

    def _path(self, scenario: Scenario, wearer: str, bearer: PersonTable, name: str) -> RadioPath:
        """Through the scenario's surroundings where it says what the beacon is; else through those asked for."""
        his = scenario.find_person(wearer)
        if his is None or his.beacon is None:
            return PathLoss(self._profile, seed=self._seed, pair=f"{wearer}/{name}")
        return pair_path(scenario, his, bearer, self._seed, self._now_s)

    def _now_s(self) -> float:
        return (self._clock.mono_ns() - self._start_mono_ns) * self._plan.speed / NS_PER_S

    @property
    def _interval_s(self) -> float:
        # tags in a hurry advertise in a hurry, as far as the standard lets them
        return max(self._plan.interval_s / self._plan.speed, INTERVAL_MIN_S)

    async def _add_victim(
        self, name: str, number: int, beacon_key: bytes | None, acknowledges_after_s: float | None = None
    ) -> TagInfo:
        plan = self._plan
        key_file = plan.keys / f"{name}.key"
        config = SmartTagConfig(
            seed=self._seed + number,
            start_utc_ns=self._clock.utc_ns(),
            tag_key=key_at(key_file, seed=plan.seed),
            beacon_key=beacon_key,
        )
        if plan.passkey is not None:
            write_secret(key_file.with_suffix(".passkey"), f"{plan.passkey:06d}")
        victim = VictimTag(
            self._bench.air,
            name=name,
            firmware=SmartTagFirmware(config),
            clock=self._clock,
            interval_s=self._interval_s,
            seed=self._seed + number,
            passkey=plan.passkey,
            guarded=plan.guarded,
            smp=make_server(FIRST_VERSION),
            acknowledges_after_s=acknowledges_after_s,
            speed=plan.speed,
            on_change=lambda change: self._say(word_of(change)),
        )
        self._victims[name] = await self._bench.add(victim)
        target = target_of(key_file, plan.passkey)
        return TagInfo(name=name, kind="smart_tag", address=victim.peripheral.address, target=target)

    def _make_beacon(self, name: str, key: bytes) -> AnkleBeacon:
        return AnkleBeacon(
            self._bench.air,
            name=name,
            firmware=BeaconFirmware(BeaconConfig(seed=self._seed, start_utc_ns=self._clock.utc_ns(), key=key)),
            clock=self._clock,
            interval_s=self._interval_s,
            seed=self._seed,
            speed=self._plan.speed,
        )

    def _reach_all(self, beacon: AnkleBeacon) -> None:
        for name in self._victims:
            self._distance_m[name] = FAR_M
            loss = PathLoss(self._profile, seed=self._seed, pair=f"{BEACON_NAME}/{name}")
            beacon.reach(name, loss, way_set(partial(self._distance_m.__getitem__, name)))

    # --- lines --------------------------------------------------------------------------------------------------

    async def obey(self, line: str) -> None:
        """Carry out a line; what came of it is said."""
        try:
            detail = await self._obey(line.split())
        except (CommandError, BleRigError) as exc:
            self._say(CommandRefused(line=line, detail=str(exc)))
        else:
            self._say(CommandDone(line=line, detail=detail))

    async def _obey(self, words: list[str]) -> str:
        names = [*self._victims, *self._find_me]
        if not words:
            raise CommandError(f"expected a command, got an empty line. {HELP}")
        name = words.pop(0) if words[0] in names else names[0] if names else ""
        if not words:
            raise CommandError(f"{name}: expected a command. {HELP}")
        verb, *rest = words
        if verb == "help":
            return HELP
        if verb in ("fault", "clear"):
            return await self._fault(verb, name, rest)
        if verb == "strap":
            return self._strap(rest)
        if name in self._find_me:
            return await self._obey_find_me(self._find_me[name], verb, rest)
        if name not in self._victims:
            raise CommandError("there is no smart tag on the air")
        actions = self._actions(name, self._victims[name])
        if verb not in actions:
            raise CommandError(f"{verb!r} is no command. {HELP}")
        return await actions[verb](rest)

    def _actions(self, name: str, tag: VictimTag) -> dict[str, Action]:
        async def move(rest: list[str]) -> str:
            if self._beacon is None:
                raise CommandError(
                    "there is no beacon that can be moved. Next: start with --beacon, without --scenario"
                )
            self._distance_m[name] = one_number(rest, 0, 10_000)
            return f"about {mean_dbm(self._profile, self._distance_m[name]):.0f} dBm without a body in between"

        async def away(rest: list[str]) -> str:
            rssi_dbm = mean_dbm(self._profile, one_number(rest, 0, 10_000))
            tag.peripheral.radio.rssi_dbm = rssi_dbm
            tag.peripheral.radio.loss = loss_probability(self._profile, rssi_dbm)
            return f"{rssi_dbm:.0f} dBm at the adapter"

        async def link_loss(rest: list[str]) -> str:
            expect_nothing(rest)
            tag.peripheral.drop_link()
            return ""

        return victim_actions(tag) | {"move": move, "away": away, "link_loss": link_loss}

    async def _obey_find_me(self, tag: FindMeTag, verb: str, rest: list[str]) -> str:
        match verb:
            case "press":
                expect_nothing(rest)
                tag.press()
            case "battery":
                tag.firmware.set_battery(one_number(rest, 0, 100))
            case "link_loss":
                expect_nothing(rest)
                tag.peripheral.drop_link()
            case "state":
                expect_nothing(rest)
                return f"level {tag.firmware.level.name.lower()}, battery {tag.firmware.battery_pct} %"
            case _:
                raise CommandError(f"{verb!r} is nothing that a Find Me tag can do: press, battery, link_loss, state")
        return ""

    def _strap(self, rest: list[str]) -> str:
        if self._beacon is None:
            raise CommandError("there is no beacon with a strap. Next: start with --beacon")
        self._beacon.firmware.strap_open = one_of(rest, "open", "closed") == "open"
        return ""

    async def _fault(self, verb: str, name: str, rest: list[str]) -> str:
        if not rest or rest[0] not in FAULTS:
            raise CommandError(f"{verb}: expected one of {', '.join(sorted(FAULTS))}")
        fault, *pairs = rest
        tag = name if FAULTS[fault].of_tag else None
        if verb == "clear":
            expect_nothing(pairs)
            await self._bench.clear(fault, tag=tag)
            return ""
        options = {key: one_number([value], -1e9, 1e9) for key, value in pairs_of(pairs)}
        await self._bench.fault(fault, tag=tag, **options)
        return ""
