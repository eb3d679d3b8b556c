"""What runs on the emulated smart tag of the protected person. No I/O, no clock: time and bytes in, values out.

Who decides what she feels, highest first: a warning of the bridge and the tag's own warning (the higher level of the
two), an acknowledgement for as long as neither changes, a message that cover is lost. Cover lost is never told in the
words or the pattern of "he is near".
"""

from dataclasses import dataclass
from typing import Final

from protocols.ble.beacon import BeaconWatch, decode_beacon, encode_tag_advert, slot_of
from protocols.ble.gatt import decode_current_time
from protocols.ble.smart_tag import (
    WarnLevel,
    WarnPattern,
    WarnText,
    decode_tag_keys,
    decode_warn,
    encode_tag_state,
)
from protocols.rejects import Reject
from protocols.reports import BeaconVerdict, TagEventKind, TagMode, TagState
from rig.ble.firmware.att import VALUE_NOT_ALLOWED, code_of, refuse_alert_level
from rig.ble.firmware.buzzer import BuzzCause, Buzzer
from rig.ble.firmware.cover import Cover
from rig.ble.firmware.identity import SlotCounter
from rig.ble.firmware.outbox import EVERY_CHANNEL, Notification, Outbox, TagChannel
from rig.ble.firmware.own_warning import OwnWarning
from rig.ble.firmware.told import Taken, ToldWarning
from rig.emulator.battery import Battery
from rig.emulator.clock import NS_PER_S
from rig.emulator.noise import stream

SOS_HOLD_NS: Final = 3 * NS_PER_S
"""A press this long calls for help, nanoseconds, or takes the call back. Shorter calls from a pocket; longer is not
held under stress."""
WARNING_OUTLIVES_LINK_NS: Final = 900 * NS_PER_S
"""A warning that nobody can stand down any more ends so long after the link did; cover lost was told by then."""
STATE_EVERY_NS: Final = 10 * NS_PER_S
"""A linked tag says that it is alive at least so often."""
_CAPACITY_MAH: Final = 250.0
_LOAD_MA: Final = 2.5
"""A key-ring cell that lasts four days with the receiver listening one tenth of the time (a)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartTagConfig:
    """How a smart tag is set up.

    Attributes
    ----------
    seed : int
        Fixes all randomness.
    start_utc_ns : int
        The tag's clock at power-on.
    tag_key : bytes or None
        Makes its rolling ids; None for a tag that was never given its keys.
    beacon_key : bytes or None
        Knows the wearer's beacon.
    battery_pct : float
    own_warning : bool
        Whether it warns by itself.
    """

    seed: int = 1
    start_utc_ns: int
    tag_key: bytes | None = None
    beacon_key: bytes | None = None
    battery_pct: float = 83.0
    own_warning: bool = True


class SmartTagFirmware:
    """The tag, driven by its own time in nanoseconds since power-on.

    ``next_due_ns`` says when something happens by itself, ``run`` lets it happen; everything else is what the world
    does to it. What it has to say waits for ``take_notifications`` as long as no link is up.

    Attributes
    ----------
    buzzer : Buzzer
        What the person feels.
    own : OwnWarning
        The warning that needs no bridge.
    heard : int
        Advertisements of the wearer's beacon so far, whatever their verdict.
    """

    def __init__(self, config: SmartTagConfig) -> None:
        self._config = config
        self._rng = stream(config.seed, "smart_tag")
        self._tag_key = config.tag_key
        self._watch = None if config.beacon_key is None else BeaconWatch(config.beacon_key)
        self._utc_offset_ns = config.start_utc_ns
        self._battery = Battery(capacity_mah=_CAPACITY_MAH, load_ma=_LOAD_MA, level_pct=config.battery_pct)
        self.buzzer = Buzzer()
        self.own = OwnWarning()
        self.heard = 0
        self._told = ToldWarning()
        self._cover = Cover()
        self._sos = False
        self._motion = False
        self._gnss = False
        self._pressed_ns: int | None = None
        self._link_loss_level = 0
        self._outbox = Outbox(self._rng.randrange(1 << 16))
        self._state_sequence = self._rng.randrange(1 << 16)
        self._shown: tuple[object, ...] | None = None
        self._battery_shown_pct: int | None = None
        self._state_due_ns = 0
        self._counter = SlotCounter(self._rng)
        self._t_ns = 0
        self._event(TagEventKind.REBOOTED)

    # --- what it is ---------------------------------------------------------------------------------------------

    @property
    def on_air(self) -> bool:
        """Whether the battery still feeds the radio."""
        return not self._battery.empty

    @property
    def mode(self) -> TagMode:
        """What the tag does for the person."""
        if self._told.open_level or (self.own.active and not self.own.acked):
            return TagMode.WARNING
        if self._sos:
            return TagMode.SOS
        return TagMode.ACKNOWLEDGED if self.level else TagMode.IDLE

    @property
    def level(self) -> WarnLevel:
        """The higher level of the two warnings, acknowledged or not."""
        return max(self._told.level, self.own.level)

    @property
    def knows_beacon(self) -> bool:
        """Whether it has the key of a beacon: without one there is nothing to listen for."""
        return self._watch is not None

    @property
    def battery_pct(self) -> int:
        """Charge as the tag tells it."""
        return self._battery.percent

    @property
    def cover_lost(self) -> bool:
        """Whether the person was told that nobody watches over her through the tag."""
        return self._cover.lost

    @property
    def dropped(self) -> int:
        """Events and sightings that waited too long for a link."""
        return self._outbox.dropped

    @property
    def link_loss_level(self) -> int:
        """What the Link Loss service was set to."""
        return self._link_loss_level

    def utc_ns(self, t_ns: int) -> int:
        """Return the tag's own idea of UTC."""
        return self._utc_offset_ns + t_ns

    def slot(self, t_ns: int) -> int:
        """Return the slot of rolling ids at a time."""
        return slot_of(self.utc_ns(t_ns))

    def read_state(self, t_ns: int) -> bytes:
        """Return the state to whoever reads it."""
        self.run(t_ns)
        self._cover.hear_bridge(t_ns)
        return encode_tag_state(self.state())

    def state(self) -> TagState:
        """Return what the tag says about itself."""
        return TagState(
            state=self.mode,
            warn_id=self._told.last_warn_id,
            sos=self._sos,
            motion=self._motion,
            battery_pct=self._battery.percent,
            gnss=self._gnss,
            sequence=self._state_sequence,
            own_warning=self.own.active,
        )

    def advert(self, t_ns: int) -> bytes | None:
        """Return the manufacturer data of the next advertising event; None for a tag without keys.

        The counter rises by one per event and begins at random in each slot, so it links nothing across slots.
        """
        if self._tag_key is None:
            return None
        slot, counter = self._counter.next(self.slot(t_ns))
        return encode_tag_advert(self._tag_key, slot=slot, counter=counter)

    # --- time ---------------------------------------------------------------------------------------------------

    def next_due_ns(self) -> int:
        """When something happens by itself."""
        due = [self._t_ns + NS_PER_S]
        if self._pressed_ns is not None:
            due.append(self._pressed_ns + SOS_HOLD_NS)
        if (buzz_ns := self.buzzer.next_due_ns()) is not None:
            due.append(buzz_ns)
        if (quiet_ns := self.own.next_due_ns()) is not None:
            due.append(quiet_ns)
        if (sighting_ns := self._outbox.next_due_ns()) is not None:
            due.append(sighting_ns)
        return max(min(due), self._t_ns)

    def run(self, t_ns: int) -> None:
        """Let everything that is due happen."""
        if t_ns < self._t_ns:
            return
        self._battery.advance((t_ns - self._t_ns) / NS_PER_S)
        self._t_ns = t_ns
        if self._pressed_ns is not None and self._pressed_ns + SOS_HOLD_NS <= t_ns:
            self._pressed_ns = None
            self._sos = not self._sos
            self._event(TagEventKind.SOS_PRESSED if self._sos else TagEventKind.SOS_CANCELLED)
        if self.own.run(t_ns):
            self._event(TagEventKind.OWN_WARNING_ENDED)
            self._present()
        self._check_cover()
        self.buzzer.run(t_ns)
        self._outbox.run(t_ns)

    def _check_cover(self) -> None:
        in_use = self._tag_key is not None
        if self._cover.check(self._t_ns, battery_pct=self._battery.percent, in_use=in_use):
            self._lose_cover()
        if self._told.now is not None and self._cover.unheard_ns(self._t_ns) >= WARNING_OUTLIVES_LINK_NS:
            self._told.now = None
            self._present()

    def _event(self, kind: TagEventKind, warn_id: int | None = None) -> None:
        self._outbox.add(kind, self._t_ns, warn_id)

    def _lose_cover(self) -> None:
        self._event(TagEventKind.COVER_LOST)
        self.buzzer.say(self._t_ns, pattern=WarnPattern.VIBRATE, text=WarnText.COVER_LOST, cause=BuzzCause.COVER)

    # --- the person ---------------------------------------------------------------------------------------------

    def button_down(self, t_ns: int) -> None:
        """Press the button."""
        self.run(t_ns)
        self._pressed_ns = t_ns

    def button_up(self, t_ns: int) -> None:
        """Let go of it; after `SOS_HOLD_NS` the press has done its work already."""
        self.run(t_ns)
        if self._pressed_ns is None:
            return
        self._pressed_ns = None
        if self.mode is not TagMode.WARNING:
            self._event(TagEventKind.BUTTON)
            return
        told, own = self._told.now, self.own
        if told is not None and not told.acked:
            told.acked = True
            self._event(TagEventKind.WARN_ACKED, told.warn_id)
        if own.active and not own.acked:
            own.acked = True
            if told is None:
                self._event(TagEventKind.WARN_ACKED)
        self.buzzer.silence(t_ns)

    # --- the bridge ---------------------------------------------------------------------------------------------

    def link_up(self, t_ns: int) -> None:
        """Take a link."""
        self.run(t_ns)
        self._cover.link_up()
        self._told.link_up()
        self._shown = self._battery_shown_pct = None

    def link_down(self, t_ns: int, *, lost: bool = True) -> None:
        """Lose the link, or have it ended in order; what Link Loss was set to says what happens at once."""
        self.run(t_ns)
        if self._cover.link_down(t_ns, at_once=lost and self._link_loss_level > 0):
            self._lose_cover()

    def write_warn(self, data: bytes, t_ns: int) -> int | None:
        """Take a warning; returns an ATT error code where it is refused."""
        self.run(t_ns)
        command = decode_warn(data)
        if isinstance(command, Reject):
            return code_of(command)
        self._cover.hear_bridge(t_ns)
        warned = self._told.now is not None
        taken = self._told.take(command)
        if taken is Taken.PASSED_OVER:
            return None
        self._event(TagEventKind.WARN_STARTED, command.warn_id)
        if taken is Taken.WARNS:
            self._present(fresh=True)
        elif taken is Taken.STOOD_DOWN:
            self._present()
            if warned and not self.own.active:
                self.buzzer.say(t_ns, pattern=command.pattern, text=WarnText.STAND_DOWN, cause=BuzzCause.STAND_DOWN)
        return None

    def write_alert(self, data: bytes, t_ns: int) -> int | None:
        """Take an Immediate Alert level: what any Find Me locator can do."""
        self.run(t_ns)
        if (code := refuse_alert_level(data)) is not None:
            return code
        taken = self._told.take_alert(data[0])
        if taken is not Taken.PASSED_OVER:
            self._present(fresh=taken is Taken.WARNS)
        return None

    def write_link_loss(self, data: bytes, t_ns: int) -> int | None:
        """Set what a lost link does."""
        self.run(t_ns)
        if (code := refuse_alert_level(data)) is not None:
            return code
        self._link_loss_level = data[0]
        return None

    def write_keys(self, data: bytes, t_ns: int) -> int | None:
        """Take the tag's keys."""
        self.run(t_ns)
        keys = decode_tag_keys(data)
        if isinstance(keys, Reject):
            return code_of(keys)
        self._cover.hear_bridge(t_ns)
        self._tag_key = keys.tag_key
        self._counter.begin()
        self._watch = None if keys.beacon_key is None else BeaconWatch(keys.beacon_key)
        self._event(TagEventKind.KEYS_SET)
        return None

    def write_clock(self, data: bytes, t_ns: int) -> int | None:
        """Set the tag's clock."""
        self.run(t_ns)
        time = decode_current_time(data)
        if isinstance(time, Reject):
            return code_of(time)
        if time.t_utc_ns is None:
            return VALUE_NOT_ALLOWED
        self._cover.hear_bridge(t_ns)
        self._utc_offset_ns = time.t_utc_ns - t_ns
        return None

    def reboot(self, t_ns: int) -> None:
        """Start again: keys, clock and a call for help are kept in flash, a warning is not."""
        self.run(t_ns)
        self._cover.restart(t_ns)
        self._told = ToldWarning()
        self._pressed_ns = None
        self.own = OwnWarning()
        self.buzzer.silence(t_ns)
        self._counter.restart()
        self._event(TagEventKind.REBOOTED)

    # --- the world ----------------------------------------------------------------------------------------------

    def set_motion(self, moving: bool) -> None:
        """Tell what the accelerometer says."""
        self._motion = moving

    def set_gnss(self, has_fix: bool) -> None:
        """Tell whether its receiver has a fix."""
        self._gnss = has_fix

    def set_battery(self, level_pct: float) -> None:
        """Put the charge somewhere."""
        self._battery.level_pct = level_pct

    def hear(self, manufacturer_data: bytes, *, rssi_dbm: int, t_ns: int) -> BeaconVerdict | None:
        """Hear an advertisement with our company identifier; None for one that is no beacon, or no key to judge it."""
        self.run(t_ns)
        beacon = decode_beacon(manufacturer_data)
        if isinstance(beacon, Reject) or self._watch is None:
            return None
        heard = self._watch.hear(beacon, t_rx_utc_ns=self.utc_ns(t_ns), t_rx_mono_ns=t_ns, rssi_dbm=rssi_dbm)
        if heard.verdict is BeaconVerdict.STRANGER:
            # somebody else's beacon is nobody's business here
            return heard.verdict
        self.heard += 1
        self._outbox.sight(beacon.rolling_id, beacon.counter, heard.verdict, rssi_dbm, t_ns)
        # two senders with the right key: one of them may be the wearer's
        if self._config.own_warning and (heard.is_alive or heard.verdict is BeaconVerdict.CLONED):
            was = self.own.level
            self.own.hear(rssi_dbm, t_ns)
            if self.own.level > was:
                if was is WarnLevel.STAND_DOWN:
                    self._event(TagEventKind.OWN_WARNING_STARTED)
                self._present(fresh=True)
        return heard.verdict

    # --- what she feels -----------------------------------------------------------------------------------------

    def _present(self, *, fresh: bool = False) -> None:
        """Make the buzzer follow the higher of the two warnings."""
        told, own = self._told.now, self.own
        told_level = self._told.open_level
        own_level = own.level if own.active and not own.acked else WarnLevel.STAND_DOWN
        if not told_level and not own_level:
            self.buzzer.silence(self._t_ns)
            return
        asking = self.buzzer.asking
        if told is not None and told_level >= own_level:
            if fresh or asking is not told.cause:
                self.buzzer.alarm(self._t_ns, pattern=told.pattern, text=told.text, level=told.level, cause=told.cause)
        elif fresh or asking is not BuzzCause.OWN:
            self.buzzer.alarm(
                self._t_ns, pattern=own.pattern, text=WarnText.NEARBY, level=own_level, cause=BuzzCause.OWN
            )

    def take_notifications(self, t_ns: int, heard: frozenset[TagChannel] = EVERY_CHANNEL) -> list[Notification]:
        """Give what is to be notified now, in order, of the channels that somebody listens to; the rest waits."""
        self.run(t_ns)
        if not self._cover.linked:
            return []
        out = self._outbox.take_events(t_ns) if TagChannel.EVENT in heard else []
        if TagChannel.SIGHTING in heard:
            out += self._outbox.take_sightings(t_ns)
        battery_pct = self._battery.percent
        if TagChannel.BATTERY in heard and battery_pct != self._battery_shown_pct:
            self._battery_shown_pct = battery_pct
            out.append(Notification(channel=TagChannel.BATTERY, value=bytes([battery_pct])))
        if TagChannel.STATE in heard:
            now = self.state()
            shown = (now.state, now.warn_id, now.sos, now.motion, now.battery_pct, now.gnss, now.own_warning)
            if shown != self._shown or self._state_due_ns <= t_ns:
                self._shown, self._state_due_ns = shown, t_ns + STATE_EVERY_NS
                self._state_sequence = (self._state_sequence + 1) & 0xFFFF
                out.append(Notification(channel=TagChannel.STATE, value=encode_tag_state(self.state())))
        return out
