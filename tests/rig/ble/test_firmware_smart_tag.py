"""The firmware of the protected person's tag: what she feels, what it says, and what it does with nobody to ask."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ble.beacon import BEACON_PURPOSE, SLOT_NS, decode_tag_advert, encode_beacon, rolling_id
from protocols.ble.gatt import decode_battery_level, encode_current_time
from protocols.ble.smart_tag import (
    TagKeys,
    WarnCommand,
    WarnLevel,
    WarnPattern,
    WarnText,
    decode_sighting,
    decode_tag_event,
    decode_tag_state,
    encode_tag_keys,
    encode_warn,
)
from protocols.rejects import Reject
from protocols.reports import BeaconSighting, BeaconVerdict, TagEvent, TagEventKind, TagMode, TagState
from rig.ble.firmware.buzzer import REMIND_EVERY_NS, SOUND_NS, BuzzCause
from rig.ble.firmware.cover import BATTERY_CRITICAL_PCT, COVER_LOST_NS
from rig.ble.firmware.outbox import EVENTS_KEPT, SIGHTINGS_KEPT, TagChannel
from rig.ble.firmware.own_warning import ALARM_DBM, QUIET_NS
from rig.ble.firmware.smart_tag import (
    SOS_HOLD_NS,
    WARNING_OUTLIVES_LINK_NS,
    SmartTagConfig,
    SmartTagFirmware,
)

S = 1_000_000_000
START_UTC_NS = 1_767_268_800 * S
TAG_KEY = bytes(range(16))
BEACON_KEY = bytes(range(16, 32))
NEAR_DBM = round(ALARM_DBM) + 8
FAR_DBM = round(ALARM_DBM) - 15

Kind = TagEventKind


class Rig:
    """A tag in hand: time goes on by hand, what it says is read as a bridge would."""

    def __init__(self, *, keys: bool = True, battery_pct: float = 83.0) -> None:
        self.tag = SmartTagFirmware(
            SmartTagConfig(
                start_utc_ns=START_UTC_NS,
                tag_key=TAG_KEY if keys else None,
                beacon_key=BEACON_KEY if keys else None,
                battery_pct=battery_pct,
            )
        )
        self.t_ns = 0
        self.counter = itertools.count(1000)

    def wait(self, seconds: float) -> None:
        end = self.t_ns + round(seconds * S)
        while self.t_ns < end:
            self.t_ns = min(max(self.tag.next_due_ns(), self.t_ns + 1), end)
            self.tag.run(self.t_ns)

    def link(self) -> None:
        self.tag.link_up(self.t_ns)
        self.tag.read_state(self.t_ns)

    def warn(self, warn_id: int, level: WarnLevel, text: WarnText = WarnText.NEARBY) -> int | None:
        command = WarnCommand(warn_id=warn_id, level=level, pattern=WarnPattern.BOTH, text=text)
        return self.tag.write_warn(encode_warn(command), self.t_ns)

    def press(self, seconds: float = 0.2) -> None:
        self.tag.button_down(self.t_ns)
        self.wait(seconds)
        self.tag.button_up(self.t_ns)

    def beacon(self, rssi_dbm: int = NEAR_DBM, *, n: int = 1, key: bytes = BEACON_KEY) -> BeaconVerdict | None:
        verdict = None
        for _ in range(n):
            self.wait(0.25)
            slot = (START_UTC_NS + self.t_ns) // SLOT_NS
            data = encode_beacon(key, slot=slot, counter=next(self.counter), strap_open=False, battery_pct=80)
            verdict = self.tag.hear(data, rssi_dbm=rssi_dbm, t_ns=self.t_ns)
        return verdict

    def said(self) -> list[TagEvent | TagState | BeaconSighting]:
        out: list[TagEvent | TagState | BeaconSighting] = []
        for note in self.tag.take_notifications(self.t_ns):
            decoded = {
                TagChannel.EVENT: decode_tag_event,
                TagChannel.STATE: decode_tag_state,
                TagChannel.SIGHTING: decode_sighting,
                TagChannel.BATTERY: decode_battery_level,
            }[note.channel](note.value)
            assert not isinstance(decoded, Reject)
            if isinstance(decoded, TagEvent | TagState | BeaconSighting):
                out.append(decoded)
        return out

    def events(self) -> list[tuple[Kind, int | None]]:
        return [(e.kind, e.warn_id) for e in self.said() if isinstance(e, TagEvent)]

    def felt(self) -> tuple[BuzzCause, WarnText, WarnLevel] | None:
        now = self.tag.buzzer.now
        return None if now is None else (now.cause, now.text, now.level)


def test_it_says_that_it_has_started_and_what_it_is() -> None:
    rig = Rig()
    assert rig.said() == []
    rig.link()
    event, state = rig.said()
    assert isinstance(event, TagEvent)
    assert event.kind is Kind.REBOOTED
    assert isinstance(state, TagState)
    assert (state.state, state.warn_id, state.battery_pct) == (TagMode.IDLE, None, 83)
    assert rig.said() == []
    rig.wait(10)
    assert [type(each) for each in rig.said()] == [TagState]


def test_a_warning_sounds_is_told_acknowledged_and_stood_down() -> None:
    rig = Rig()
    rig.link()
    rig.said()
    assert rig.warn(7, WarnLevel.ALARM) is None
    assert rig.felt() == (BuzzCause.TOLD, WarnText.NEARBY, WarnLevel.ALARM)
    event, state = rig.said()
    assert isinstance(event, TagEvent) and isinstance(state, TagState)
    assert (event.kind, event.warn_id, event.age_ms) == (Kind.WARN_STARTED, 7, 0)
    assert (state.state, state.warn_id) == (TagMode.WARNING, 7)
    rig.press()
    assert rig.felt() is None
    assert rig.events() == [(Kind.WARN_ACKED, 7)]
    assert rig.tag.mode is TagMode.ACKNOWLEDGED
    assert rig.tag.level is WarnLevel.ALARM
    rig.warn(8, WarnLevel.STAND_DOWN)
    assert rig.felt() == (BuzzCause.STAND_DOWN, WarnText.STAND_DOWN, WarnLevel.STAND_DOWN)
    assert rig.events() == [(Kind.WARN_STARTED, 8)]
    assert (rig.tag.mode, rig.tag.level, rig.tag.state().warn_id) == (TagMode.IDLE, WarnLevel.STAND_DOWN, 8)


def test_nobody_acknowledges_it_comes_back_every_minute() -> None:
    rig = Rig()
    rig.link()
    rig.warn(1, WarnLevel.NOTICE)
    rig.wait((SOUND_NS + 3 * REMIND_EVERY_NS) / S + 1)
    starts = [buzz.t_ns // S for buzz in rig.tag.buzzer.log if buzz.on]
    assert starts == [0, 120, 180, 240]
    rig.press()
    rig.wait(200)
    assert len([buzz for buzz in rig.tag.buzzer.log if buzz.on]) == 4


def test_the_newest_or_the_highest_counts_and_a_repeat_acts_once() -> None:
    rig = Rig()
    rig.link()
    rig.said()
    rig.warn(10, WarnLevel.ALARM)
    rig.press()
    rig.said()
    rig.warn(10, WarnLevel.ALARM)
    assert rig.events() == [(Kind.WARN_STARTED, 10)]
    assert rig.tag.mode is TagMode.ACKNOWLEDGED
    rig.warn(9, WarnLevel.NOTICE)
    rig.warn(9, WarnLevel.STAND_DOWN)
    assert rig.events() == []
    assert rig.tag.level is WarnLevel.ALARM
    rig.warn(9, WarnLevel.CONTACT)
    assert rig.felt() == (BuzzCause.TOLD, WarnText.NEARBY, WarnLevel.CONTACT)
    rig.warn(11, WarnLevel.NOTICE)
    assert rig.tag.level is WarnLevel.NOTICE
    rig.warn(0xFFFF, WarnLevel.STAND_DOWN)
    assert rig.tag.level is WarnLevel.NOTICE
    rig.warn(12, WarnLevel.STAND_DOWN)
    assert rig.tag.level is WarnLevel.STAND_DOWN


def test_numbers_that_wrap_and_a_bridge_that_starts_anew_are_obeyed() -> None:
    rig = Rig()
    rig.link()
    rig.warn(0xFFFF, WarnLevel.ALARM)
    rig.warn(0, WarnLevel.STAND_DOWN)
    assert rig.tag.level is WarnLevel.STAND_DOWN
    rig.warn(500, WarnLevel.ALARM)
    rig.tag.link_down(rig.t_ns)
    rig.link()
    rig.warn(1, WarnLevel.NOTICE)
    assert rig.tag.level is WarnLevel.NOTICE


def test_the_same_warning_on_a_new_link_does_not_sound_again() -> None:
    rig = Rig()
    rig.link()
    rig.warn(5, WarnLevel.ALARM)
    rig.press()
    rig.tag.link_down(rig.t_ns)
    rig.link()
    rig.said()
    rig.warn(5, WarnLevel.ALARM)
    assert rig.events() == [(Kind.WARN_STARTED, 5)]
    assert rig.felt() is None


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", 0x0D), (b"\x12", 0x0D), (b"\x12\x01\x00\x03\x01\x00", 0x0D), (b"\x22\x01\x00\x03\x01", 0x13)],
)
def test_a_write_that_is_no_warning_is_refused_and_changes_nothing(data: bytes, code: int) -> None:
    rig = Rig()
    rig.link()
    rig.said()
    assert rig.tag.write_warn(data, rig.t_ns) == code
    assert rig.events() == []
    assert rig.felt() is None


def test_a_long_press_calls_for_help_while_it_is_still_held() -> None:
    rig = Rig()
    rig.link()
    rig.said()
    rig.tag.button_down(rig.t_ns)
    rig.wait(SOS_HOLD_NS / S)
    assert rig.events() == [(Kind.SOS_PRESSED, None)]
    assert rig.tag.mode is TagMode.SOS
    rig.wait(5)
    rig.tag.button_up(rig.t_ns)
    assert rig.events() == []
    rig.warn(3, WarnLevel.ALARM)
    assert (rig.tag.mode, rig.tag.state().sos) == (TagMode.WARNING, True)
    rig.press()
    assert rig.tag.mode is TagMode.SOS
    rig.said()
    rig.press(SOS_HOLD_NS / S + 0.1)
    assert rig.events() == [(Kind.SOS_CANCELLED, None)]
    assert rig.tag.mode is TagMode.ACKNOWLEDGED


def test_a_short_press_with_nothing_to_acknowledge_is_a_button() -> None:
    rig = Rig()
    rig.link()
    rig.said()
    rig.press()
    assert rig.events() == [(Kind.BUTTON, None)]


def test_without_any_server_it_warns_by_itself_and_tells_later_how_long_ago() -> None:
    rig = Rig()
    assert rig.beacon(n=2) is BeaconVerdict.GENUINE
    assert rig.felt() is None
    rig.beacon()
    assert rig.felt() == (BuzzCause.OWN, WarnText.NEARBY, WarnLevel.ALARM)
    assert rig.tag.state().own_warning
    heard_at_ns = rig.t_ns
    rig.press()
    assert rig.felt() is None
    rig.wait(40)
    rig.link()
    events = [each for each in rig.said() if isinstance(each, TagEvent)]
    assert [event.kind for event in events] == [
        Kind.REBOOTED,
        Kind.OWN_WARNING_STARTED,
        Kind.WARN_ACKED,
        Kind.OWN_WARNING_ENDED,
    ]
    assert events[1].age_ms == (rig.t_ns - heard_at_ns) // 1_000_000
    assert [event.sequence for event in events] == [(events[0].sequence + i) & 0xFFFF for i in range(4)]


def test_its_own_warning_ends_when_the_beacon_is_unheard_and_not_when_the_bridge_stands_down() -> None:
    rig = Rig()
    rig.link()
    rig.beacon(n=4)
    rig.warn(1, WarnLevel.ALARM)
    rig.warn(2, WarnLevel.STAND_DOWN)
    assert rig.felt() == (BuzzCause.OWN, WarnText.NEARBY, WarnLevel.ALARM)
    rig.wait(QUIET_NS / S - 0.1)
    assert rig.tag.own.active
    rig.wait(0.2)
    assert not rig.tag.own.active
    assert rig.felt() is None
    assert rig.tag.mode is TagMode.IDLE


def test_a_weak_beacon_is_a_notice_and_a_strong_one_an_alarm_that_sounds_again() -> None:
    rig = Rig()
    rig.beacon(FAR_DBM, n=5)
    assert rig.felt() == (BuzzCause.OWN, WarnText.NEARBY, WarnLevel.NOTICE)
    assert rig.tag.buzzer.now is not None and rig.tag.buzzer.now.pattern is WarnPattern.VIBRATE
    rig.press()
    rig.beacon(FAR_DBM, n=5)
    assert rig.felt() is None
    rig.beacon(NEAR_DBM, n=20)
    assert rig.felt() == (BuzzCause.OWN, WarnText.NEARBY, WarnLevel.ALARM)
    rig.beacon(round(ALARM_DBM) - 3, n=20)
    assert rig.tag.own.level is WarnLevel.ALARM
    rig.beacon(FAR_DBM, n=20)
    assert rig.tag.own.level is WarnLevel.NOTICE


def test_the_higher_of_both_warnings_is_what_she_feels() -> None:
    rig = Rig()
    rig.link()
    rig.beacon(FAR_DBM, n=5)
    rig.warn(1, WarnLevel.CONTACT)
    assert rig.felt() == (BuzzCause.TOLD, WarnText.NEARBY, WarnLevel.CONTACT)
    rig.warn(2, WarnLevel.STAND_DOWN)
    assert rig.felt() == (BuzzCause.OWN, WarnText.NEARBY, WarnLevel.NOTICE)


def test_other_beacons_warn_nobody() -> None:
    rig = Rig()
    rig.link()
    rig.said()
    assert rig.beacon(key=bytes(range(40, 56)), n=10) is BeaconVerdict.STRANGER
    slot = START_UTC_NS // SLOT_NS
    forged = bytearray(encode_beacon(BEACON_KEY, slot=slot, counter=5, strap_open=False, battery_pct=80))
    forged[-1] ^= 1
    old = encode_beacon(BEACON_KEY, slot=slot - 3, counter=5, strap_open=False, battery_pct=80)
    for _ in range(10):
        rig.wait(0.25)
        assert rig.tag.hear(bytes(forged), rssi_dbm=NEAR_DBM, t_ns=rig.t_ns) is BeaconVerdict.FORGED
        assert rig.tag.hear(old, rssi_dbm=NEAR_DBM, t_ns=rig.t_ns) is BeaconVerdict.REPLAYED
    assert rig.felt() is None
    rig.wait(1)
    sightings = [each for each in rig.said() if isinstance(each, BeaconSighting)]
    assert {sighting.verdict for sighting in sightings} == {BeaconVerdict.FORGED, BeaconVerdict.REPLAYED}
    assert sum(s.count for s in sightings if s.verdict is BeaconVerdict.FORGED) == 10


def test_one_advert_sent_again_and_again_is_no_sign_of_him() -> None:
    rig = Rig()
    data = encode_beacon(BEACON_KEY, slot=START_UTC_NS // SLOT_NS, counter=1, strap_open=False, battery_pct=80)
    for _ in range(20):
        rig.wait(0.25)
        rig.tag.hear(data, rssi_dbm=NEAR_DBM, t_ns=rig.t_ns)
    assert rig.felt() is None


def test_sightings_are_told_once_a_second_with_the_strongest_level() -> None:
    rig = Rig()
    rig.link()
    rig.said()
    for rssi_dbm in (-90, -70, -80, -95):
        rig.beacon(rssi_dbm)
    rig.wait(1)
    (sighting,) = (each for each in rig.said() if isinstance(each, BeaconSighting))
    assert (sighting.count, sighting.rssi_dbm, sighting.counter) == (4, -70, 1003)
    assert sighting.rolling_id == rolling_id(BEACON_KEY, START_UTC_NS // SLOT_NS, BEACON_PURPOSE)
    assert sighting.age_ms == 1000


def test_cover_lost_is_told_as_that_and_never_as_he_is_near() -> None:
    rig = Rig()
    rig.link()
    rig.tag.link_down(rig.t_ns)
    rig.wait(COVER_LOST_NS / S - 1)
    assert rig.felt() is None
    rig.wait(1.5)
    assert rig.felt() == (BuzzCause.COVER, WarnText.COVER_LOST, WarnLevel.NOTICE)
    assert rig.tag.cover_lost
    rig.wait(600)
    assert [buzz.text for buzz in rig.tag.buzzer.log if buzz.on] == [WarnText.COVER_LOST]
    assert rig.tag.mode is TagMode.IDLE
    rig.link()
    assert not rig.tag.cover_lost
    assert (Kind.COVER_LOST, None) in rig.events()


def test_a_stranger_who_connects_and_asks_nothing_is_no_cover() -> None:
    rig = Rig()
    rig.tag.link_up(rig.t_ns)
    rig.wait(COVER_LOST_NS / S + 1)
    assert rig.tag.cover_lost


def test_link_loss_makes_cover_lost_at_once_but_an_orderly_end_does_not() -> None:
    rig = Rig()
    rig.link()
    assert rig.tag.write_link_loss(b"\x01", rig.t_ns) is None
    rig.tag.link_down(rig.t_ns, lost=False)
    assert rig.felt() is None
    rig.link()
    rig.tag.link_down(rig.t_ns)
    assert rig.felt() == (BuzzCause.COVER, WarnText.COVER_LOST, WarnLevel.NOTICE)


def test_a_critical_battery_is_cover_lost_told_once() -> None:
    rig = Rig()
    rig.link()
    rig.said()
    rig.tag.set_battery(BATTERY_CRITICAL_PCT + 0.5)
    rig.wait(2)
    assert (Kind.COVER_LOST, None) in rig.events()
    rig.wait(100)
    assert rig.events() == []
    rig.tag.set_battery(0)
    assert not rig.tag.on_air


def test_cover_lost_waits_until_a_warning_is_acknowledged() -> None:
    rig = Rig()
    rig.link()
    rig.warn(1, WarnLevel.ALARM)
    rig.tag.link_down(rig.t_ns)
    rig.wait(COVER_LOST_NS / S + 1)
    assert rig.felt() == (BuzzCause.TOLD, WarnText.NEARBY, WarnLevel.ALARM)
    rig.press()
    assert rig.felt() == (BuzzCause.COVER, WarnText.COVER_LOST, WarnLevel.NOTICE)


def test_a_warning_that_nobody_can_stand_down_ends_after_cover_was_lost() -> None:
    rig = Rig()
    rig.link()
    rig.warn(1, WarnLevel.ALARM)
    rig.tag.link_down(rig.t_ns)
    rig.wait(WARNING_OUTLIVES_LINK_NS / S + 1)
    assert rig.tag.level is WarnLevel.STAND_DOWN
    assert rig.tag.cover_lost


def test_what_waits_for_the_link_is_bounded_and_a_call_for_help_is_kept() -> None:
    rig = Rig()
    rig.press(SOS_HOLD_NS / S + 0.1)
    for _ in range(EVENTS_KEPT + 10):
        rig.press()
    for _ in range(SIGHTINGS_KEPT + 10):
        rig.beacon(FAR_DBM)
        rig.wait(1)
    rig.link()
    said = rig.said()
    events = [each for each in said if isinstance(each, TagEvent)]
    assert len(events) == EVENTS_KEPT
    assert Kind.SOS_PRESSED in {event.kind for event in events}
    assert len([each for each in said if isinstance(each, BeaconSighting)]) == SIGHTINGS_KEPT
    assert rig.tag.dropped >= 20


def test_immediate_alert_makes_it_a_find_me_tag() -> None:
    rig = Rig()
    rig.link()
    assert rig.tag.write_alert(b"\x02", rig.t_ns) is None
    assert rig.felt() == (BuzzCause.FIND, WarnText.NONE, WarnLevel.ALARM)
    assert rig.tag.write_alert(b"\x00", rig.t_ns) is None
    assert rig.felt() is None
    assert rig.tag.write_alert(b"\x03", rig.t_ns) == 0x13
    assert rig.tag.write_alert(b"", rig.t_ns) == 0x0D
    rig.warn(1, WarnLevel.CONTACT)
    rig.tag.write_alert(b"\x01", rig.t_ns)
    rig.tag.write_alert(b"\x00", rig.t_ns)
    assert rig.felt() == (BuzzCause.TOLD, WarnText.NEARBY, WarnLevel.CONTACT)


def test_keys_and_time_make_it_known_and_knowing() -> None:
    rig = Rig(keys=False)
    assert rig.tag.advert(rig.t_ns) is None
    assert rig.beacon() is None
    keys = TagKeys(tag_key=TAG_KEY, beacon_key=BEACON_KEY)
    rig.link()
    assert rig.tag.write_keys(encode_tag_keys(keys), rig.t_ns) is None
    assert rig.tag.write_keys(b"\x10" + bytes(32), rig.t_ns) == 0x13
    assert rig.tag.write_keys(b"\x10", rig.t_ns) == 0x0D
    later_ns = START_UTC_NS + 20 * SLOT_NS
    assert rig.tag.write_clock(encode_current_time(later_ns), rig.t_ns) is None
    assert rig.tag.write_clock(b"\x00", rig.t_ns) == 0x0D
    assert abs(rig.tag.utc_ns(rig.t_ns) - later_ns) < S
    data = rig.tag.advert(rig.t_ns)
    assert data is not None
    advert = decode_tag_advert(data)
    assert not isinstance(advert, Reject)
    assert advert.rolling_id == rolling_id(TAG_KEY, later_ns // SLOT_NS, b"tag")
    assert (Kind.KEYS_SET, None) in rig.events()


def test_the_counter_rises_by_one_within_a_slot_and_nothing_goes_back() -> None:
    rig = Rig()
    ids, counters = [], []
    for _ in range(3):
        for _ in range(4):
            data = rig.tag.advert(rig.t_ns)
            assert data is not None
            advert = decode_tag_advert(data)
            assert not isinstance(advert, Reject)
            ids.append(advert.rolling_id)
            counters.append(advert.counter)
        rig.t_ns += SLOT_NS
    assert len(set(ids)) == 3
    steps = [b - a for a, b in itertools.pairwise(counters)]
    assert [step == 1 for step in steps] == [True] * 3 + [False] + [True] * 3 + [False] + [True] * 3
    rig.tag.write_clock(encode_current_time(START_UTC_NS), rig.t_ns)
    data = rig.tag.advert(rig.t_ns)
    assert data is not None
    late = decode_tag_advert(data)
    assert not isinstance(late, Reject)
    assert late.rolling_id == ids[-1]


def test_state_tells_motion_gnss_and_battery_when_they_change() -> None:
    rig = Rig()
    rig.link()
    rig.said()
    rig.tag.set_motion(True)
    rig.tag.set_gnss(True)
    (state,) = rig.said()
    assert isinstance(state, TagState)
    assert (state.motion, state.gnss) == (True, True)
    before = state.sequence
    rig.tag.set_battery(41.2)
    (state,) = rig.said()
    assert isinstance(state, TagState)
    assert (state.battery_pct, state.sequence) == (41, (before + 1) & 0xFFFF)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["warn", "down", "up", "press", "hold", "near", "far", "wait", "alert", "loss", "battery"]),
            st.integers(0, 3),
            st.integers(0, 0xFFFF),
        ),
        max_size=40,
    )
)
def test_whatever_happens_what_she_feels_agrees_with_what_it_says(steps: list[tuple[str, int, int]]) -> None:
    rig = Rig()
    for what, small, number in steps:
        match what:
            case "warn":
                rig.warn(number, WarnLevel(small))
            case "down":
                rig.tag.link_down(rig.t_ns, lost=bool(small))
            case "up":
                rig.link()
            case "press":
                rig.press()
            case "hold":
                rig.press(4)
            case "near":
                rig.beacon(NEAR_DBM, n=small)
            case "far":
                rig.beacon(FAR_DBM, n=small)
            case "alert":
                rig.tag.write_alert(bytes([small]), rig.t_ns)
            case "loss":
                rig.tag.write_link_loss(bytes([small]), rig.t_ns)
            case "battery":
                rig.tag.set_battery(1 + number % 100)
            case _:
                rig.wait(number % 2000)
        state = decode_tag_state(rig.tag.read_state(rig.t_ns))
        assert isinstance(state, TagState)
        warning = state.state is TagMode.WARNING
        assert (rig.tag.buzzer.asking is not None) == warning
        assert warning <= (rig.tag.level > WarnLevel.STAND_DOWN)
        assert state.own_warning == rig.tag.own.active
        if rig.tag.buzzer.now is not None and rig.tag.buzzer.now.text is WarnText.COVER_LOST:
            assert rig.tag.buzzer.now.cause is BuzzCause.COVER
        rig.said()
