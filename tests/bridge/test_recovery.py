"""A restart: what was raised stays raised under its ids, and ends when it is over; numbers go on."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from bridge.config.load import load_config
from bridge.identity import make_identity
from bridge.publisher import Lane, Saved
from bridge.recovery import read_kept
from devices.clock import SystemClock
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.reports import BeaconVerdict, Closure, TagEventKind
from tests.bridge import warning_bench
from tests.bridge.bench import CONFIG, Bench
from tests.bridge.warning_bench import WarningBench


def ids(bench: Bench, kind: str, side: str = "tag/tag") -> set[str]:
    return {alert["alert_id"] for alert in bench.of_kind(kind, side)}


def test_a_raised_alert_is_not_raised_again_and_its_cancel_names_it(tmp_path: Path) -> None:
    before = Bench(tmp_path)
    before.fix("tag", 0)
    before.status("tag", strap=Closure.OPEN)
    assert before.told() == [("Alert", "exclusion_zone_entered"), ("Alert", "strap_tamper")]
    zone, strap = ids(before, "exclusion_zone_entered"), ids(before, "strap_tamper")

    after = Bench(tmp_path, epoch="SECOND", after=before, down_s=30)
    assert after.told() == []
    assert sorted(after.active()) == ["exclusion_zone_entered", "strap_tamper"]
    after.fix("tag", 0)
    after.status("tag", strap=Closure.OPEN)
    assert after.told() == []
    after.wait(1)
    after.fix("tag", 500)
    after.status("tag")
    assert after.told() == [("Cancel", "exclusion_zone_entered"), ("Cancel", "strap_tamper")]
    assert ids(after, "exclusion_zone_entered") == zone
    assert ids(after, "strap_tamper") == strap
    assert after.of_kind("strap_tamper")[0]["references"] == [*strap]
    assert after.active() == []
    kept, _ = after.on_disk()
    assert not [key for _, key in kept if key.startswith("ledger/")]


def test_sequences_go_on_over_three_starts_without_gaps_and_no_id_comes_twice(tmp_path: Path) -> None:
    heard: dict[str, list[int]] = defaultdict(list)
    seen: set[str] = set()
    bench: Bench | None = None
    for start in range(3):
        bench = Bench(tmp_path, epoch=f"EPOCH-{start}", after=bench)
        for north_m in (0, 500, 0):
            bench.wait(1)
            bench.fix("tag", north_m)
            bench.fix("her", north_m + 200)
        for message in bench.messages:
            heard[message.source].append(message.sequence)
            assert message.event_id not in seen
            seen.add(message.event_id)
    assert len(heard) > 6
    for source, numbers in heard.items():
        assert numbers == list(range(1, len(numbers) + 1)), source


def test_a_snapshot_of_every_device_is_published_at_a_start(tmp_path: Path) -> None:
    after = Bench(tmp_path, epoch="SECOND", after=Bench(tmp_path))
    assert [m.topic for m in after.messages] == ["em/v1/t/tag/tag/active", "em/v1/t/protected/her/active"]
    assert all(m.lane is Lane.STATE and m.retain for m in after.messages)
    assert after.active() == []


def test_the_exit_margin_counts_from_where_he_was(tmp_path: Path) -> None:
    """Inside before, five metres outside after: with a margin of 15 he has not left."""
    margin = "[policy]\nexit_margin_m = 15\n"
    before = Bench(tmp_path, extra=margin)
    before.fix("tag", 0)
    after = Bench(tmp_path, extra=margin, epoch="SECOND", after=before)
    after.fix("tag", 105)
    assert after.told() == []
    after.wait(1)
    after.fix("tag", 130)
    assert after.told() == [("Cancel", "exclusion_zone_entered")]


def test_a_tag_that_was_silent_and_is_heard_again(tmp_path: Path) -> None:
    before = Bench(tmp_path)
    before.fix("tag", 500)
    before.wait(60)
    assert before.told() == [("Alert", "comms_lost"), ("Alert", "location_lost")]
    after = Bench(tmp_path, epoch="SECOND", after=before, down_s=5)
    after.wait(60)
    assert after.told() == []
    assert after.last_status()["comms"] == "lost"
    after.fix("tag", 500)
    assert after.told() == [("Cancel", "comms_lost"), ("Cancel", "location_lost")]
    assert ids(after, "comms_lost") == ids(before, "comms_lost")


def test_a_pair_that_was_near_stays_near_until_both_are_heard(tmp_path: Path) -> None:
    before = Bench(tmp_path)
    before.fix("her", 0)
    before.fix("tag", 300)
    after = Bench(tmp_path, epoch="SECOND", after=before, down_s=10)
    after.fix("tag", 300)
    assert after.told() == after.told("protected/her") == []
    after.fix("her", 0)
    assert after.told() == after.told("protected/her") == []
    after.wait(1)
    after.fix("tag", 3000)
    assert ("Cancel", "proximity_breach") in after.told()
    assert ids(after, "proximity_breach") == ids(before, "proximity_breach")


def test_a_pair_of_which_one_is_not_heard_again_becomes_unknown_not_clear(tmp_path: Path) -> None:
    before = Bench(tmp_path)
    before.fix("her", 0)
    before.fix("tag", 300)
    after = Bench(tmp_path, epoch="SECOND", after=before)
    for _ in range(13):
        after.fix("tag", 300)
        after.wait(10)
    for side, name in (("tag/tag", "his"), ("protected/her", "hers")):
        found = after.of_kind("proximity_breach", side)
        assert [alert["msg_type"] for alert in found] == ["Update"], name
    assert after.of_kind("proximity_breach")[0]["protected_party"] == {"ref": "her", "band": "unknown"}
    after.fix("her", 0)
    assert [alert["msg_type"] for alert in after.of_kind("proximity_breach")] == ["Update", "Update"]


def test_a_late_run_that_was_open_is_closed(tmp_path: Path) -> None:
    before = Bench(tmp_path, zones='zones = ["z-ex"]')
    before.fix("tag", 500, t_s=100)
    before.fix("tag", 0, t_s=50, stored=True)
    assert before.told() == [("Alert", "exclusion_zone_entered")]
    after = Bench(tmp_path, zones='zones = ["z-ex"]', epoch="SECOND", after=before)
    assert after.told() == [("Cancel", "exclusion_zone_entered")]
    assert after.of_kind("exclusion_zone_entered")[0]["late"]
    assert ids(after, "exclusion_zone_entered") == ids(before, "exclusion_zone_entered")


def test_memory_of_before_the_restart_is_late_and_ends_nothing(tmp_path: Path) -> None:
    before = Bench(tmp_path, zones='zones = ["z-ex"]')
    before.fix("tag", 0, t_s=100)
    after = Bench(tmp_path, zones='zones = ["z-ex"]', epoch="SECOND", after=before, down_s=300)
    after.fix("tag", 500, t_s=50, stored=True)
    after.status("tag", strap=Closure.OPEN, t_s=50, stored=True)
    assert after.told() == [("Alert", "strap_tamper")]
    assert after.of_kind("strap_tamper")[0]["late"]
    after.fix("tag", 500, t_s=200, stored=True)
    assert after.told()[-1] == ("Cancel", "exclusion_zone_entered")


def test_a_receiver_that_begins_anew_in_the_past_is_live(tmp_path: Path) -> None:
    """A log that is replayed again must be judged again."""
    before = Bench(tmp_path, zones='zones = ["z-ex"]')
    before.fix("tag", 500, t_s=1000)
    after = Bench(tmp_path, zones='zones = ["z-ex"]', epoch="SECOND", after=before)
    after.fix("tag", 0, t_s=10)
    assert after.told() == [("Alert", "exclusion_zone_entered")]
    assert not after.of_kind("exclusion_zone_entered")[0]["late"]


def test_how_far_a_receiver_has_come_is_kept_once_a_minute(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for second in range(0, 181, 5):
        bench.fix("tag", 500, t_s=second)
    kept = [saved for message in bench.messages for saved in message.saves if saved.key == "progress/newest"]
    assert len(kept) == 4


def test_what_is_not_ordered_any_more_is_cancelled_as_withdrawn(tmp_path: Path) -> None:
    before = Bench(tmp_path)
    before.fix("her", 0)
    before.fix("tag", 0)
    after = Bench(tmp_path, zones='zones = ["z-in"]', epoch="SECOND", after=before)
    found = after.of_kind("exclusion_zone_entered")
    assert [(alert["msg_type"], alert["reason"]) for alert in found] == [("Cancel", "order withdrawn")]
    assert after.of_kind("proximity_breach") == []


def test_alerts_of_a_device_that_is_gone_are_cancelled_on_its_own_topic(tmp_path: Path) -> None:
    before = Bench(tmp_path)
    before.status("her", strap=Closure.OPEN)
    alone = CONFIG[: CONFIG.index('[[device]]\nid = "her"')]
    after = Bench(tmp_path, config=alone, epoch="SECOND", after=before)
    (cancel,) = after.alerts("protected/her")
    assert cancel["data"]["msg_type"] == "Cancel"
    assert "not configured" in cancel["data"]["reason"]
    assert cancel["sequence"] == "00000000000000000002"
    assert after.active("protected/her") == []


def test_what_was_kept_and_cannot_be_read_is_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    kept = read_kept(
        [
            Saved(owner="tag", key="ledger/sos/live/", value=b"{}"),
            Saved(owner="tag", key="incident/x", value=b"\x00"),
            Saved(owner="", key="order/1", value=b"not ours"),
            Saved(owner="tag", key="ledger/gone", value=None),
            Saved(owner="tag", key="progress/newest", value=b"soon"),
        ]
    )
    assert (kept.alerts, kept.incidents, kept.progress) == ((), (), {})
    assert caplog.text.count("cannot be read") == 3


@pytest.mark.parametrize("crash_after", range(8))
def test_a_crash_after_any_message_leaves_no_second_alert_and_no_lost_end(tmp_path: Path, crash_after: int) -> None:
    """Each message is committed with what it changed: cut anywhere, the two starts together tell one story."""
    before = Bench(tmp_path, zones='zones = ["z-ex"]')
    before.fix("tag", 0)
    before.wait(1)
    before.fix("tag", 500)
    assert len(before.messages) == 9
    after = Bench(tmp_path, zones='zones = ["z-ex"]', epoch="SECOND", after=before, crash_after=crash_after)
    after.wait(1)
    after.fix("tag", 500)
    told = [json.loads(m.body) for m in (*before.messages[:crash_after], *after.messages) if m.topic.endswith("/alert")]
    steps = [event["data"]["msg_type"] for event in told]
    assert steps in ([], ["Alert", "Cancel"])
    assert len({event["data"]["alert_id"] for event in told}) == len(steps) // 2
    incidents = [
        json.loads(m.body) for m in (*before.messages[:crash_after], *after.messages) if m.topic.endswith("/incident")
    ]
    assert len({event["data"]["incident_id"] for event in incidents}) == len(steps) // 2
    assert [event["sequence"] for event in incidents] == [f"{n + 1:020d}" for n in range(len(incidents))]


# Her


def test_only_her_own_hand_ends_a_call(tmp_path: Path) -> None:
    before = WarningBench(tmp_path)
    before.tag_event(TagEventKind.SOS_PRESSED)
    after = WarningBench(tmp_path, epoch="SECOND", after=before, down_s=3600)
    assert after.asked == []
    after.presence(True)
    after.tag_state(sos=False)
    after.tag_state(sos=True)
    after.stay(5, 3000)
    assert after.told("protected/her") == []
    assert after.last_status("protected/her")["sos"] is True
    after.tag_event(TagEventKind.SOS_CANCELLED)
    assert after.told("protected/her") == [("Cancel", "sos")]
    assert ids(after, "sos", "protected/her") == ids(before, "sos", "protected/her")


def test_a_call_of_somebody_who_is_not_configured_any_more_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = WarningBench(tmp_path)
    before.tag_event(TagEventKind.SOS_PRESSED)
    config = warning_bench.CONFIG
    alone = config[: config.index('[[device]]\nid = "her"')]
    after = WarningBench(tmp_path, config=alone, epoch="SECOND", after=before)
    assert after.alerts("protected/her") == []
    assert "the call stays" in caplog.text
    third = WarningBench(tmp_path, epoch="THIRD", after=after)
    third.tag_event(TagEventKind.SOS_CANCELLED)
    assert third.told("protected/her") == [("Cancel", "sos")]


def test_cover_that_was_lost_comes_back_and_she_is_told_again_meanwhile(tmp_path: Path) -> None:
    before = WarningBench(tmp_path)
    before.presence(True)
    before.near(3000)
    before.presence(False)
    assert before.told("protected/her")[-1] == ("Alert", "comms_lost")
    assert before.of_kind("cover_lost", "protected/her")[-1]["level"] == "tag_silent"
    after = WarningBench(tmp_path, epoch="SECOND", after=before)
    assert [(ask.command.level, ask.command.text) for ask in after.asked] == [(WarnLevel.NOTICE, WarnText.COVER_LOST)]
    assert after.told("protected/her") == []
    after.presence(True)
    after.stay(40, 3000)
    assert after.told("protected/her") == [("Cancel", "comms_lost"), ("Cancel", "cover_lost")]
    assert after.asked[-1].command.level is WarnLevel.STAND_DOWN


def test_cover_lost_for_want_of_a_band_ends_when_the_band_is_known(tmp_path: Path) -> None:
    before = WarningBench(tmp_path)
    before.presence(True)
    before.wait(130)
    assert before.of_kind("cover_lost", "protected/her")[-1]["level"] == "cannot_judge"
    after = WarningBench(tmp_path, epoch="SECOND", after=before)
    after.presence(True)
    after.wait(200)
    assert after.told("protected/her") == []
    after.stay(40, 3000)
    assert after.told("protected/her") == [("Cancel", "cover_lost")]


def test_cover_that_was_about_to_count_as_back_does(tmp_path: Path) -> None:
    before = WarningBench(tmp_path)
    before.presence(True)
    before.near(3000)
    before.wait(502)
    assert "gnss_lost" in before.of_kind("cover_lost", "protected/her")[-1]["level"]
    before.near(3000)
    assert ("Cancel", "location_lost") in before.told("protected/her")
    assert ("Cancel", "cover_lost") not in before.told("protected/her")
    after = WarningBench(tmp_path, epoch="SECOND", after=before)
    after.presence(True)
    after.stay(40, 3000)
    assert after.told("protected/her") == [("Cancel", "cover_lost")]


def test_she_is_warned_anew_of_a_beacon_that_is_heard_anew(tmp_path: Path) -> None:
    before = WarningBench(tmp_path)
    before.sighting()
    assert ("Alert", "beacon_heard") in before.told("protected/her")
    after = WarningBench(tmp_path, epoch="SECOND", after=before)
    assert after.asked == []
    after.sighting()
    assert after.asked[-1].command.level is WarnLevel.ALARM
    assert after.told("protected/her") == []
    after.wait(61)
    assert ("Cancel", "beacon_heard") in after.told("protected/her")
    assert ids(after, "beacon_heard", "protected/her") == ids(before, "beacon_heard", "protected/her")


def test_a_beacon_that_is_not_heard_any_more_ends_its_alert(tmp_path: Path) -> None:
    before = WarningBench(tmp_path)
    before.sighting()
    before.sighting(BeaconVerdict.FORGED)
    after = WarningBench(tmp_path, epoch="SECOND", after=before, down_s=7200)
    after.wait(601)
    ended = [step for step in after.told("protected/her") if step[1].startswith("beacon")]
    assert ended == [("Cancel", "beacon_heard"), ("Cancel", "beacon_forged")]


def test_not_warned_is_over_when_there_is_nothing_to_warn_of(tmp_path: Path) -> None:
    before = WarningBench(tmp_path)
    before.presence(True)
    before.near(300)
    before.wait(6)
    assert ("Alert", "protected_person_not_warned") in before.told("protected/her")
    after = WarningBench(tmp_path, epoch="SECOND", after=before)
    after.presence(True)
    assert after.told("protected/her") == []
    after.near(3000)
    assert ("Cancel", "protected_person_not_warned") in after.told("protected/her")


def test_her_tag_that_is_gone_is_lost_already(tmp_path: Path) -> None:
    before = WarningBench(tmp_path)
    before.presence(True)
    before.presence(False)
    after = WarningBench(tmp_path, epoch="SECOND", after=before)
    assert after.pipeline.views[1].smart_tag == "absent"
    after.presence(False)
    assert after.told("protected/her") == []
    after.presence(True)
    assert after.last_status("protected/her")["smart_tag"] == "present"
    assert after.told("protected/her") == [("Cancel", "comms_lost")]


# Identity


def test_a_part_has_a_name_of_its_own_and_devices_keep_their_sources(tmp_path: Path) -> None:
    text = '[bridge]\nid = "b"\npartition = "2/8"\n[[device]]\nid = "tag"\ntransport = "memory:tag"\n'
    (tmp_path / "bridge.toml").write_text(text)
    identity = make_identity(load_config(tmp_path / "bridge.toml"), SystemClock(), "E")
    assert (identity.bridge_id, identity.origin, identity.durable) == ("b-2of8", "b", True)
