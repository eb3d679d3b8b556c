"""Her call, his beacon, her cover: what else is written to her tag, and what is told of it."""

from pathlib import Path

import pytest

from devices.errors import WarnLoss
from devices.events import LinkState
from protocols.ble.smart_tag import WarnLevel, WarnPattern, WarnText
from protocols.reports import BatteryLevel, BeaconVerdict, DeviceInformation, TagEventKind, TagMode
from tests.bridge.warning_bench import CONFIG, WarningBench

ALARM = (WarnLevel.ALARM, WarnText.NEARBY)
CONTACT = (WarnLevel.CONTACT, WarnText.NEARBY)
HEARD = (WarnLevel.NOTICE, WarnText.NONE)
COVER_LOST = (WarnLevel.NOTICE, WarnText.COVER_LOST)
STAND_DOWN = (WarnLevel.STAND_DOWN, WarnText.STAND_DOWN)


@pytest.fixture
def bench(tmp_path: Path) -> WarningBench:
    """Both known and far apart."""
    made = WarningBench(tmp_path)
    made.near(3000)
    return made


# Her call


def test_call_is_raised_at_once_answered_without_a_sound_and_kept(bench: WarningBench) -> None:
    bench.tag_event(TagEventKind.SOS_PRESSED, age_s=2)
    assert bench.commands == [HEARD]
    assert bench.asked[0].command.pattern is WarnPattern.VIBRATE
    assert bench.life_of("sos") == [("Alert", None, "Extreme")]
    (told,) = bench.of_kind("sos", "protected/her")
    assert told["occurred_at"] < told["detected_at"]
    assert bench.last_status("protected/her")["sos"] is True
    # Neither a state without it, nor a restart, nor silence ends it.
    bench.tag_state(TagMode.IDLE)
    bench.tag_event(TagEventKind.REBOOTED)
    bench.presence(False)
    bench.wait(3600)
    assert "sos" in bench.active("protected/her")
    bench.tag_event(TagEventKind.SOS_CANCELLED)
    assert [step for step, *_ in bench.life_of("sos")] == ["Alert", "Cancel"]
    assert bench.last_status("protected/her")["sos"] is False


def test_call_is_also_taken_from_the_state_and_told_once(bench: WarningBench) -> None:
    bench.tag_state(TagMode.SOS, sos=True)
    bench.tag_event(TagEventKind.SOS_PRESSED)
    bench.tag_state(TagMode.SOS, sos=True)
    assert bench.life_of("sos") == [("Alert", None, "Extreme")]
    assert bench.commands == [HEARD]


def test_state_read_before_she_took_the_call_back_does_not_raise_it_again(bench: WarningBench) -> None:
    bench.tag_event(TagEventKind.SOS_PRESSED)
    bench.tag_event(TagEventKind.SOS_CANCELLED)
    bench.tag_state(TagMode.SOS, sos=True)
    assert [step for step, *_ in bench.life_of("sos")] == ["Alert", "Cancel"]
    # A new press is an event of its own; and a state that keeps saying so is believed.
    bench.tag_event(TagEventKind.SOS_PRESSED)
    bench.tag_event(TagEventKind.SOS_CANCELLED)
    bench.wait(16)
    bench.tag_state(TagMode.SOS, sos=True)
    assert [step for step, *_ in bench.life_of("sos")] == ["Alert", "Cancel", "Alert", "Cancel", "Alert"]


def test_state_after_one_without_the_call_is_a_new_one(bench: WarningBench) -> None:
    bench.tag_event(TagEventKind.SOS_PRESSED)
    bench.tag_event(TagEventKind.SOS_CANCELLED)
    bench.tag_state(TagMode.IDLE)
    bench.tag_state(TagMode.SOS, sos=True)
    assert [step for step, *_ in bench.life_of("sos")] == ["Alert", "Cancel", "Alert"]


def test_call_during_an_alarm_leaves_the_alarm_and_makes_no_sound(bench: WarningBench) -> None:
    bench.near(400)
    bench.tag_event(TagEventKind.SOS_PRESSED)
    assert bench.commands == [ALARM, ALARM]
    assert bench.asked[1].command.pattern is WarnPattern.VIBRATE
    bench.tag_event(TagEventKind.SOS_CANCELLED)
    bench.near(3000)
    assert bench.commands == [ALARM, ALARM, STAND_DOWN]


def test_call_that_her_tag_does_not_hear_confirmed_is_told(bench: WarningBench) -> None:
    bench.tag_event(TagEventKind.SOS_PRESSED)
    bench.give_up(WarnLoss.OUT_OF_RANGE)
    assert [step for step, *_ in bench.life_of("protected_person_not_warned")] == ["Alert"]
    bench.tag_event(TagEventKind.SOS_CANCELLED)
    assert [step for step, *_ in bench.life_of("protected_person_not_warned")] == ["Alert", "Cancel"]


def test_call_reaches_the_provider_from_a_tag_in_no_order(tmp_path: Path) -> None:
    lone = '[[device]]\nid = "lone"\nkind = "smart_tag"\nrole = "protected"\ntransport = "ble:C0:DE:00:00:00:02"\n'
    bench = WarningBench(tmp_path, extra=lone)
    bench.tag_event(TagEventKind.SOS_PRESSED, tag="lone")
    assert bench.life_of("sos", "lone") == [("Alert", None, "Extreme")]
    assert [ask.smart_tag for ask in bench.asked] == ["lone"]


# His beacon


def test_heard_beacon_is_proximity_whatever_the_coordinates_say(bench: WarningBench) -> None:
    bench.sighting()
    assert bench.commands == [ALARM]
    assert bench.life_of("beacon_heard") == [("Alert", None, "Extreme")]
    (told,) = bench.of_kind("beacon_heard", "protected/her")
    assert told["proximity"] == {"wearer": "tag", "band": "clear", "distance_m": None, "bearing_deg": None}
    assert bench.of_kind("beacon_heard") == []
    bench.stay(50, 3000)
    bench.sighting()
    bench.stay(50, 3000)
    assert bench.commands[-1] == ALARM
    bench.stay(11, 3000)
    assert bench.commands[-1] == STAND_DOWN
    assert [step for step, *_ in bench.life_of("beacon_heard")] == ["Alert", "Cancel"]


def test_weak_beacon_stranger_and_old_sighting_warn_of_nobody(bench: WarningBench) -> None:
    for _ in range(20):
        bench.sighting(rssi_dbm=-103)
        bench.sighting(BeaconVerdict.STRANGER, rssi_dbm=-40)
        bench.sighting(age_s=61)
    assert bench.asked == []
    assert bench.told("protected/her") == []


def test_beacon_and_ring_of_one_wearer_are_one_warning(bench: WarningBench) -> None:
    bench.near(400)
    bench.sighting()
    assert bench.commands == [ALARM]
    bench.near(900)
    # By radio he is still near.
    assert bench.commands == [ALARM]
    bench.near(30)
    assert bench.commands == [ALARM, CONTACT]


def test_beacon_warns_where_no_position_is_known(tmp_path: Path) -> None:
    bench = WarningBench(tmp_path)
    bench.sighting()
    assert bench.commands == [ALARM]
    bench.give_up(WarnLoss.REFUSED)
    assert bench.life_of("protected_person_not_warned") == [("Alert", "alarm", "Extreme")]


def test_one_of_two_senders_with_his_key_may_be_his(bench: WarningBench) -> None:
    bench.sighting(BeaconVerdict.CLONED, rssi_dbm=-40)
    assert bench.commands == [ALARM]
    assert bench.life_of("beacon_forged") == [("Alert", "cloned", "Severe")]
    assert [step for step, *_ in bench.life_of("beacon_heard")] == ["Alert"]


@pytest.mark.parametrize("verdict", [BeaconVerdict.FORGED, BeaconVerdict.REPLAYED])
def test_beacon_that_is_not_his_is_told_and_brings_nobody_near(bench: WarningBench, verdict: BeaconVerdict) -> None:
    for _ in range(5):
        bench.sighting(verdict, rssi_dbm=-40)
    assert bench.life_of("beacon_forged") == [("Alert", verdict.name.lower(), "Severe")]
    assert bench.asked == []
    bench.stay(605, 3000)
    assert [step for step, *_ in bench.life_of("beacon_forged")] == ["Alert", "Cancel"]


def test_own_warning_of_the_tag_is_told_with_its_age(bench: WarningBench) -> None:
    bench.tag_event(TagEventKind.OWN_WARNING_STARTED, age_s=500)
    bench.tag_event(TagEventKind.OWN_WARNING_ENDED, age_s=300)
    bench.tag_event(TagEventKind.COVER_LOST, age_s=200)
    assert bench.steps() == ["own_started", "own_ended", "own_cover_lost"]
    assert [data["age_s"] for data in bench.warnings()] == [500, 300, 200]
    # What lies so far back says nothing about now.
    assert bench.asked == []
    bench.tag_event(TagEventKind.OWN_WARNING_STARTED, age_s=5)
    assert bench.commands == [ALARM]
    assert [step for step, *_ in bench.life_of("beacon_heard")] == ["Alert"]


# Her cover


def test_band_that_becomes_unknown_is_lost_cover_and_never_nearness(bench: WarningBench) -> None:
    bench.near(400)
    bench.arrive()
    for _ in range(125):
        bench.wait(1)
        bench.fix("her", 0)
    assert bench.commands[0] == ALARM
    assert bench.commands[-1] == COVER_LOST
    assert STAND_DOWN not in bench.commands
    assert bench.life_of("cover_lost") == [("Alert", "cannot_judge", "Severe")]
    # Known again and far: the alarm is over, she is told once cover has held.
    bench.stay(29, 3000)
    assert bench.commands[-1] == COVER_LOST
    bench.stay(3, 3000)
    assert bench.commands[-1] == STAND_DOWN
    assert [step for step, *_ in bench.life_of("cover_lost")] == ["Alert", "Cancel"]


def test_start_waits_for_positions_before_it_speaks_of_cover(tmp_path: Path) -> None:
    bench = WarningBench(tmp_path)
    bench.wait(119)
    assert bench.asked == []
    bench.wait(2)
    assert bench.commands == [COVER_LOST]
    assert bench.life_of("cover_lost") == [("Alert", "cannot_judge", "Severe")]


def test_gaps_add_up_and_cover_is_back_only_when_all_are_closed(bench: WarningBench) -> None:
    bench.tag_state(battery_pct=9)
    bench.presence(False)
    assert [level for _, level, _ in bench.life_of("cover_lost")] == [
        "battery_critical",
        "tag_silent+battery_critical",
    ]
    assert bench.commands == [COVER_LOST]
    bench.presence(True)
    bench.stay(40, 3000)
    assert bench.active("protected/her").count("cover_lost") == 1
    bench.tag_state(battery_pct=50)
    bench.stay(31, 3000)
    assert bench.commands == [COVER_LOST, STAND_DOWN]


def test_cover_that_comes_and_goes_does_not_buzz(bench: WarningBench) -> None:
    for _ in range(20):
        bench.presence(False)
        bench.stay(5, 3000)
        bench.presence(True)
        bench.stay(5, 3000)
    assert bench.commands == [COVER_LOST]


def test_he_who_comes_near_while_cover_is_lost_is_warned_of(bench: WarningBench) -> None:
    bench.tag_state(battery_pct=5)
    bench.near(900)
    assert bench.commands == [COVER_LOST, (WarnLevel.NOTICE, WarnText.NEARBY)]
    bench.near(3000)
    assert bench.commands[-1] == COVER_LOST


def test_lost_position_of_hers_is_a_gap(tmp_path: Path) -> None:
    config = CONFIG.replace('transport = "ble:C0:DE:00:00:00:01"\ninterval_s = 1\nsilence_buffer_s = 500', "")
    config = config.replace('kind = "smart_tag"\nrole = "protected"', 'kind = "smart_tag"\nrole = "protected"\nX')
    config = config.replace("X", 'transport = "ble:C0:DE:00:00:00:01"\ninterval_s = 1\nsilence_buffer_s = 20')
    bench = WarningBench(tmp_path, config=config)
    bench.near(3000)
    for _ in range(22):
        bench.wait(1)
        bench.fix("tag", 3000)
        bench.tag_state()
    assert bench.life_of("cover_lost") == [("Alert", "gnss_lost", "Severe")]
    assert bench.commands == [COVER_LOST]
    bench.stay(32, 3000)
    assert bench.commands == [COVER_LOST, STAND_DOWN]


# The tag as a device


def test_presence_is_the_drivers_word_and_rest_is_not_silence(bench: WarningBench) -> None:
    bench.tag_state()
    for _ in range(600):
        bench.near(3000)
    assert bench.last_status("protected/her")["comms"] == "up"
    bench.link("her", LinkState.LOST, "the connection broke")
    assert bench.told("protected/her") == []
    bench.presence(False)
    (told,) = bench.of_kind("comms_lost", "protected/her")
    assert told["reason"] == "not heard for 10 s"
    assert bench.last_status("protected/her")["smart_tag"] == "absent"
    bench.tag_state()
    assert [data["msg_type"] for data in bench.of_kind("comms_lost", "protected/her")] == ["Alert", "Cancel"]
    assert bench.last_status("protected/her")["smart_tag"] == "present"


def test_battery_and_firmware_stand_in_her_status(bench: WarningBench) -> None:
    bench.tag_state(battery_pct=15)
    bench.feed("her", DeviceInformation(firmware="2.4.1"))
    status = bench.last_status("protected/her")
    assert (status["battery_pct"], status["firmware"], status["kind"]) == (15, "2.4.1", None)
    assert bench.told("protected/her") == [("Alert", "battery_low")]
    assert bench.of_kind("battery_low", "protected/her")[0]["device"]["battery_pct"] == 15
    bench.feed("her", BatteryLevel(battery_pct=90))
    assert bench.told("protected/her") == [("Alert", "battery_low"), ("Cancel", "battery_low")]


SEPARATE = CONFIG.replace(
    'kind = "smart_tag"\nrole = "protected"\ntransport = "ble:C0:DE:00:00:00:01"',
    'role = "protected"\ntransport = "memory:her"',
)
TRACKER_AND_TAG = SEPARATE.replace('device = "her"', 'device = "her"\n  smart_tag = "st"') + (
    '[[device]]\nid = "st"\nkind = "smart_tag"\nrole = "protected"\ntransport = "ble:C0:DE:00:00:00:01"\n'
)


def test_tracker_and_smart_tag_are_one_person(tmp_path: Path) -> None:
    bench = WarningBench(tmp_path, config=TRACKER_AND_TAG)
    bench.near(3000)
    bench.tag_state(tag="st")
    assert bench.last_status("protected/her")["smart_tag"] == "present"
    assert bench.last_status("protected/her")["smart_tag_id"] == "st"
    assert bench.last_status("protected/st")["smart_tag"] is None
    bench.near(30)
    assert [ask.smart_tag for ask in bench.asked] == ["st"]
    bench.give_up(WarnLoss.OUT_OF_RANGE)
    assert [step for step, *_ in bench.life_of("protected_person_not_warned")] == ["Alert"]
    bench.tag_event(TagEventKind.SOS_PRESSED, tag="st")
    assert [step for step, *_ in bench.life_of("sos")] == ["Alert"]
    # The tag is not asked where it is: no silence about a place that it never told.
    bench.wait(2000)
    assert bench.of_kind("location_lost", "protected/st") == []


def test_without_a_smart_tag_all_works_and_the_state_says_so(tmp_path: Path) -> None:
    bench = WarningBench(tmp_path, config=SEPARATE)
    bench.near(3000, 400, 30, 3000)
    assert bench.asked == []
    assert bench.last_status("protected/her")["smart_tag"] == "none_issued"
    assert bench.on("protected/her/warning") == []
    assert [step for step, *_ in bench.life_of("proximity_breach")] == ["Alert", "Update", "Cancel"]
    assert bench.told("protected/her") == [(step, "proximity_breach") for step in ("Alert", "Update", "Cancel")]


def test_nothing_of_hers_stands_on_the_wearers_side(bench: WarningBench) -> None:
    """Over everything that can happen to her: his side has his position and a band, as ever."""
    bench.tag_event(TagEventKind.SOS_PRESSED)
    bench.near(900, 400, 30)
    bench.arrive()
    bench.acknowledge()
    bench.sighting()
    bench.sighting(BeaconVerdict.CLONED)
    bench.give_up(WarnLoss.NO_ACK)
    bench.stay(100, 30)
    bench.tag_state(battery_pct=4)
    bench.presence(False)
    bench.tag_event(TagEventKind.OWN_WARNING_STARTED, age_s=1)
    bench.wait(700)
    hers = [message for message in bench.messages if message.topic.startswith("em/v1/t/protected/")]
    his = [message for message in bench.messages if message.topic.startswith("em/v1/t/tag/")]
    control = [message for message in bench.messages if message.topic.startswith("em/v1/t/control/")]
    assert len(hers) + len(his) + len(control) == len(bench.messages)
    assert {kind for _, kind in bench.told("protected/her")} >= {"sos", "beacon_heard", "beacon_forged", "cover_lost"}
    assert {kind for _, kind in bench.told()} <= {"proximity_breach", "location_lost", "comms_lost"}
    words = ("smart", "warn", "sos", "cover", "beacon", "acknowledged", "presen", "distance", "bearing")
    for message in his:
        text = message.body.decode()
        assert not any(word in text for word in words), message.topic
    assert {message.topic.split("/")[4] for message in control} == {"her", "tag"}
    assert not any(word in message.body.decode() for message in control for word in ("distance", "bearing"))
    assert {message.topic.rsplit("/", 1)[1] for message in his} <= {"alert", "active", "position", "status"}
