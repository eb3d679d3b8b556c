"""What runs on the emulated ankle tag: epochs on a grid, sensors, memory, commands. No I/O, no clock: time comes in."""

import math
from dataclasses import dataclass, field
from typing import Final

from protocols.reports import Closure, CommandOutcome, CommandVerb, Jamming
from rig.emulator.battery import Battery
from rig.emulator.clock import NS_PER_S, to_ns
from rig.emulator.events import DeviceAction, EventKind, in_order
from rig.emulator.gnss import GnssReceiver, Observation
from rig.emulator.gnss_faults import read_drift, read_jump, read_spoof
from rig.emulator.memory import BACKFILL_PER_EPOCH, DEFAULT_CAPACITY, StoreAndForward
from rig.emulator.noise import OrnsteinUhlenbeck, stream
from rig.emulator.profiles import DEFAULT_PROFILE, PROFILES
from rig.emulator.track import MOVING_MPS, Track, TrackPoint

FIRMWARE_VERSION: Final = "emu-1.0"
"""What the tag answers to a firmware query."""

MIN_INTERVAL_S: Final = 0.05
MAX_INTERVAL_S: Final = 3600.0
"""Report intervals the tag accepts, seconds: 20 Hz is what fast receivers give, an hour the longest plan in use."""

MAX_VIBRATE_S: Final = 60
"""Longest vibration the tag accepts, seconds."""

_GSV_EVERY: Final = 5
"""Epochs between lists of satellites: as receivers are set up to save the line."""

_TIME_STEP_NS: Final = 10_000_000
"""Resolution of the time in RMC, GGA and GST, nanoseconds. A finer one would differ from the status sentence's time,
and the status would no longer belong to its epoch."""

_SKIN_C: Final = 31.5
_AMBIENT_C: Final = 17.0
_WARMING_TAU_S: Final = 600.0
"""Temperature at the ankle, off it, and how fast a tag follows (a): a cut tag cools."""

_URGENT: Final = frozenset(
    {
        EventKind.STRAP_CUT,
        EventKind.STRAP_CLOSE,
        EventKind.CASE_OPEN,
        EventKind.CASE_CLOSE,
        EventKind.SHIELD_ON,
        EventKind.SHIELD_OFF,
        EventKind.JAM,
    }
)
"""Events that wake the tag: it reports at once, whatever its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagConfig:
    """How a tag is set up. ``seed`` fixes all randomness."""

    seed: int = 1
    interval_s: float = 1.0
    profile: str = DEFAULT_PROFILE
    battery_pct: float = 83.0
    memory_epochs: int = DEFAULT_CAPACITY
    start_utc_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSensors:
    """What the status sentence tells beside the position."""

    strap: Closure
    case: Closure
    shielded: bool
    jamming: Jamming
    battery_pct: int
    battery_mv: int
    charging: bool
    motion: bool
    temperature_c: float
    firmware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch of the tag, with the truth beside it. ``list_satellites`` asks for GSV."""

    sequence: int
    t_ns: int
    t_utc_ns: int
    truth: TrackPoint
    observation: Observation
    sensors: TagSensors
    list_satellites: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """An epoch to be sent now; ``stored`` ones come from the memory."""

    epoch: Epoch
    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the tag answers to a command."""

    outcome: CommandOutcome
    value: str = ""


@dataclass(slots=True)
class _Condition:
    strap: Closure = Closure.CLOSED
    case: Closure = Closure.CLOSED
    shielded: bool = False
    outage: bool = False
    powered: bool = True
    temperature_c: float = _SKIN_C
    applied: list[DeviceAction] = field(default_factory=list)


class AnkleTagFirmware:
    """The tag, driven by its own time in nanoseconds since power-on.

    ``next_due_ns`` says when something happens next, ``run`` lets it happen, ``execute`` takes a command in between.
    """

    def __init__(self, config: TagConfig, track: Track, actions: tuple[DeviceAction, ...] = ()) -> None:
        self._config = config
        self._track = track
        self._actions = in_order(actions)
        self._next_action = 0
        self._receiver = GnssReceiver(track, PROFILES[config.profile], config.seed)
        self._battery = Battery(level_pct=config.battery_pct)
        self._warmth = OrnsteinUhlenbeck(stream(config.seed, "temperature"), _WARMING_TAU_S)
        self._condition = _Condition()
        self._memory: StoreAndForward[Epoch] = StoreAndForward(config.memory_epochs)
        self._interval_ns = to_ns(config.interval_s)
        self._next_epoch_ns = 0
        self._locate_at_ns: int | None = None
        self._sequence = 0
        self._t_ns = 0
        self.version = FIRMWARE_VERSION

    @property
    def stored(self) -> int:
        """Epochs waiting in the memory."""
        return len(self._memory)

    @property
    def stored_dropped(self) -> int:
        """Epochs that the full memory lost."""
        return self._memory.dropped

    @property
    def on_air(self) -> bool:
        """Whether anything can go in or out."""
        return self._awake and not self._condition.outage

    @property
    def _awake(self) -> bool:
        return self._condition.powered and not self._battery.empty

    def take_applied(self) -> list[DeviceAction]:
        """Events that came true since the last call."""
        applied, self._condition.applied = self._condition.applied, []
        return applied

    def next_due_ns(self) -> int:
        """When something happens next."""
        due = self._next_epoch_ns
        if self._locate_at_ns is not None:
            due = min(due, self._locate_at_ns)
        if self._next_action < len(self._actions):
            due = min(due, to_ns(self._actions[self._next_action].at_s))
        return max(due, self._t_ns)

    def run(self, t_ns: int) -> list[Outgoing]:
        """Let everything that is due happen, and give what goes onto the wire, in order.

        Parameters
        ----------
        t_ns : int
            Tag time, as ``next_due_ns`` gave it.
        """
        self._advance(t_ns)
        report = self._locate_at_ns is not None and self._locate_at_ns <= t_ns
        while self._next_action < len(self._actions) and to_ns(self._actions[self._next_action].at_s) <= t_ns:
            action = self._actions[self._next_action]
            self._next_action += 1
            self._apply(action)
            report = report or action.kind in _URGENT
        if report:
            self._locate_at_ns = None
        while self._next_epoch_ns <= t_ns:
            self._next_epoch_ns += self._interval_ns
            report = True
        return self._report(t_ns) if report and self._awake else []

    def execute(self, verb: CommandVerb, argument: str, t_ns: int) -> Answer:
        """Carry out a command that came in at a tag time."""
        t_ns = max(t_ns, self._t_ns)
        if verb is CommandVerb.FIRMWARE_QUERY:
            return Answer(outcome=CommandOutcome.DONE, value=self.version)
        if verb is CommandVerb.LOCATE_NOW:
            self._locate_at_ns = t_ns
            return Answer(outcome=CommandOutcome.DONE)
        number = _find_number(argument)
        if verb is CommandVerb.REPORT_INTERVAL:
            if number is None or not MIN_INTERVAL_S <= number <= MAX_INTERVAL_S:
                return Answer(outcome=CommandOutcome.REFUSED, value=f"{MIN_INTERVAL_S:g}-{MAX_INTERVAL_S:g}")
            self._interval_ns = to_ns(number)
            self._next_epoch_ns = t_ns + self._interval_ns
            return Answer(outcome=CommandOutcome.DONE, value=f"{number:g}")
        if number is None or not 0 < number <= MAX_VIBRATE_S:
            return Answer(outcome=CommandOutcome.REFUSED, value=f"1-{MAX_VIBRATE_S}")
        return Answer(outcome=CommandOutcome.DONE)

    def restart(self, version: str) -> None:
        """Start again with another firmware: the receiver has to find its satellites anew."""
        self.version = version
        self._receiver.restart(self._t_ns / NS_PER_S)

    def _advance(self, t_ns: int) -> None:
        dt_s = (t_ns - self._t_ns) / NS_PER_S
        self._t_ns = t_ns
        if self._condition.powered or self._battery.charging:
            self._battery.advance(dt_s)
        goal = _SKIN_C if self._condition.strap is Closure.CLOSED else _AMBIENT_C
        self._condition.temperature_c += (goal - self._condition.temperature_c) * -math.expm1(-dt_s / _WARMING_TAU_S)
        self._warmth.advance(dt_s)

    def _apply(self, action: DeviceAction) -> None:
        condition, receiver, t_s = self._condition, self._receiver, action.at_s
        condition.applied.append(action)
        match action.kind:
            case EventKind.STRAP_CUT | EventKind.STRAP_CLOSE:
                condition.strap = Closure.OPEN if action.kind is EventKind.STRAP_CUT else Closure.CLOSED
            case EventKind.CASE_OPEN | EventKind.CASE_CLOSE:
                condition.case = Closure.OPEN if action.kind is EventKind.CASE_OPEN else Closure.CLOSED
            case EventKind.SHIELD_ON | EventKind.SHIELD_OFF:
                condition.shielded = receiver.shielded = action.kind is EventKind.SHIELD_ON
            case EventKind.JAM:
                receiver.set_jammer(int(float(action.value)), t_s)
            case EventKind.GNSS_LOST | EventKind.GNSS_BACK:
                receiver.blocked = action.kind is EventKind.GNSS_LOST
            case EventKind.GNSS_JUMP:
                receiver.set_jump(read_jump(action.value))
            case EventKind.GNSS_DRIFT:
                receiver.set_drift(read_drift(action.value), t_s)
            case EventKind.GNSS_FREEZE | EventKind.GNSS_UNFREEZE:
                receiver.frozen = action.kind is EventKind.GNSS_FREEZE
            case EventKind.SPOOF:
                receiver.set_spoof(read_spoof(action.value), t_s)
            case EventKind.PROFILE:
                receiver.set_profile(PROFILES[action.value])
            case EventKind.OUTAGE | EventKind.OUTAGE_END:
                condition.outage = action.kind is EventKind.OUTAGE
            case EventKind.BATTERY:
                self._battery.level_pct = float(action.value)
            case EventKind.DRAIN:
                self._battery.drain_factor = float(action.value)
            case EventKind.CHARGE_ON | EventKind.CHARGE_OFF:
                self._battery.charging = action.kind is EventKind.CHARGE_ON
            case EventKind.POWER_OFF | EventKind.POWER_ON:
                condition.powered = action.kind is EventKind.POWER_ON
                if condition.powered:
                    receiver.restart(t_s)

    def _report(self, t_ns: int) -> list[Outgoing]:
        epoch = self._observe(t_ns)
        if self._condition.outage:
            self._memory.put(epoch)
            return []
        history = self._memory.take(BACKFILL_PER_EPOCH)
        return [Outgoing(epoch=epoch, stored=False), *(Outgoing(epoch=old, stored=True) for old in history)]

    def _observe(self, t_ns: int) -> Epoch:
        # sentences carry hundredths of a second: what is reported is where the tag was at the time it names
        t_utc_ns = (self._config.start_utc_ns + t_ns) // _TIME_STEP_NS * _TIME_STEP_NS
        t_ns = t_utc_ns - self._config.start_utc_ns
        t_s = t_ns / NS_PER_S
        self._sequence += 1
        truth = self._track.at(t_s)
        condition = self._condition
        observation = self._receiver.observe(t_s)
        return Epoch(
            sequence=self._sequence,
            t_ns=t_ns,
            t_utc_ns=t_utc_ns + to_ns(observation.time_offset_s) // _TIME_STEP_NS * _TIME_STEP_NS,
            truth=truth,
            observation=observation,
            sensors=TagSensors(
                strap=condition.strap,
                case=condition.case,
                shielded=condition.shielded,
                jamming=Jamming(self._receiver.jam_indicator),
                battery_pct=self._battery.percent,
                battery_mv=self._battery.millivolts,
                charging=self._battery.charging,
                motion=truth.speed_mps >= MOVING_MPS,
                temperature_c=condition.temperature_c + 0.1 * self._warmth.value,
                firmware=self.version,
            ),
            list_satellites=self._sequence % _GSV_EVERY == 1,
        )


def _find_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
