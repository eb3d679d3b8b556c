"""Incidents: one per cause, kept open for who comes back soon, evidence by id; nothing of hers."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from bridge.incidents import MAX_EVIDENCE
from protocols.mqtt.messages import IncidentEvent, decode
from protocols.reports import Closure, TagEventKind
from tests.bridge.bench import Bench
from tests.bridge.warning_bench import WarningBench

ZONE = 'zones = ["z-ex"]'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, zones=ZONE)


def incidents(bench: Bench, subject: str = "tag") -> list[Mapping]:  # type: ignore[type-arg]
    """Data of the messages of a device's incidents, each read as what the contract says."""
    bodies = [m.body for m in bench.messages if m.topic == f"em/v1/t/control/{subject}/incident"]
    for body in bodies:
        decode(body, IncidentEvent)
    return [json.loads(body)["data"] for body in bodies]


def states(bench: Bench, subject: str = "tag") -> list[str]:
    return [incident["state"] for incident in incidents(bench, subject)]


def test_a_zone_is_one_incident_from_entry_to_its_quiet_end(bench: Bench) -> None:
    bench.fix("tag", 0)
    (opened,) = incidents(bench)
    (alert,) = bench.alerts()
    assert (opened["msg_type"], opened["state"], opened["cause"]) == ("Alert", "opened", "exclusion_zone_entered")
    assert (opened["severity"], opened["urgency"], opened["status"]) == ("Extreme", "Immediate", "Test")
    assert opened["zone"] == {"id": "z-ex", "type": "exclusion", "name": "School"}
    assert opened["evidence"] == [
        {
            "source": "urn:em:t:b:tag:tag",
            "id": alert["id"],
            "sequence": alert["sequence"],
            "kind": "exclusion_zone_entered",
            "msg_type": "Alert",
            "at": alert["time"],
        }
    ]
    assert opened["position"] is not None
    bench.wait(1)
    bench.fix("tag", 500)
    bench.wait(899)
    quiet = incidents(bench)[-1]
    assert (quiet["state"], quiet["urgency"]) == ("updated", "Past")
    bench.wait(2)
    closed = incidents(bench)[-1]
    assert states(bench) == ["opened", "updated", "closed"]
    assert closed["msg_type"] == "Cancel"
    assert closed["closed_at"] is not None
    assert {each["incident_id"] for each in incidents(bench)} == {opened["incident_id"]}


def test_who_comes_back_soon_is_the_same_incident_and_later_a_new_one(bench: Bench) -> None:
    for north_m, wait_s in ((0, 60), (500, 800), (0, 60), (500, 901), (0, 1)):
        bench.fix("tag", north_m)
        bench.wait(wait_s)
    assert states(bench) == ["opened", "updated", "updated", "updated", "closed", "opened"]
    assert [each["occurrences"] for each in incidents(bench)] == [1, 1, 2, 2, 2, 1]
    assert len({each["incident_id"] for each in incidents(bench)}) == 2


def test_with_no_window_each_return_is_an_incident(tmp_path: Path) -> None:
    bench = Bench(tmp_path, zones=ZONE, extra="[policy]\nincident_renotify_s = 0\n")
    for north_m in (0, 500, 0):
        bench.fix("tag", north_m)
        bench.wait(1)
    assert states(bench) == ["opened", "closed", "opened"]


def test_a_message_refers_to_the_first_and_the_newest_before_it(bench: Bench) -> None:
    for north_m in (0, 500, 0, 500):
        bench.fix("tag", north_m)
        bench.wait(1)
    ids = [json.loads(m.body)["id"] for m in bench.messages if m.topic.endswith("/incident")]
    assert [each["references"] for each in incidents(bench)] == [[], [ids[0]], [ids[0], ids[1]], [ids[0], ids[2]]]


def test_both_sides_of_a_pair_are_one_incident_under_the_wearer(tmp_path: Path) -> None:
    bench = WarningBench(tmp_path)
    bench.near(900)
    assert incidents(bench) == []
    for distance_m in (400, 30, 400, 900):
        bench.near(distance_m)
        bench.arrive()
    assert [each["protected_party"]["band"] for each in incidents(bench)] == ["alarm", "contact", "alarm", "pre_alert"]
    assert {each["protected_party"]["ref"] for each in incidents(bench)} == {"her"}
    assert incidents(bench, "her") == []
    bench.near(3000)
    assert incidents(bench)[-1]["protected_party"]["band"] == "clear"
    kinds = {(proof["source"].split(":")[-2], proof["kind"]) for proof in incidents(bench)[-1]["evidence"]}
    assert kinds == {("tag", "proximity_breach"), ("protected", "proximity_breach")}


def test_a_beacon_and_a_warning_that_does_not_arrive_belong_to_the_pair(tmp_path: Path) -> None:
    bench = WarningBench(tmp_path)
    bench.sighting()
    bench.wait(6)
    (first, *_) = incidents(bench)
    assert first["cause"] == "beacon_heard"
    assert {proof["kind"] for proof in incidents(bench)[-1]["evidence"]} == {
        "beacon_heard",
        "protected_person_not_warned",
    }
    assert first["position"] is None


def test_a_call_for_help_stands_under_her_reference(tmp_path: Path) -> None:
    bench = WarningBench(tmp_path)
    bench.tag_event(TagEventKind.SOS_PRESSED)
    assert [(each["cause"], each["tag"]) for each in incidents(bench, "her")] == [("sos", "her")]


def test_strap_and_case_are_one_incident(bench: Bench) -> None:
    bench.status(strap=Closure.OPEN)
    bench.wait(1)
    bench.status(strap=Closure.OPEN, case=Closure.OPEN)
    assert states(bench) == ["opened", "updated"]
    assert incidents(bench)[-1]["reason"] == "strap open; case open"


def test_what_is_not_extreme_or_told_late_opens_none(bench: Bench) -> None:
    bench.status(battery_pct=3)
    bench.fix("tag", 500, t_s=100)
    bench.fix("tag", 0, t_s=50, stored=True)
    bench.wait(60)
    assert {kind for _, kind in bench.told()} == {
        "battery_low",
        "battery_critical",
        "exclusion_zone_entered",
        "comms_lost",
        "location_lost",
    }
    assert incidents(bench) == []


def test_evidence_is_bounded_and_says_how_much_is_left_out(bench: Bench) -> None:
    for n in range(2 * MAX_EVIDENCE):
        bench.fix("tag", 500 * (n % 2))
        bench.wait(1)
    last = incidents(bench)[-1]
    assert len(last["evidence"]) == MAX_EVIDENCE
    assert last["evidence_left_out"] == MAX_EVIDENCE
    alerts = bench.alerts()
    assert [proof["id"] for proof in last["evidence"]] == [alerts[0]["id"], *(a["id"] for a in alerts[17:])]


def test_taking_up_an_alert_is_noted_once_and_kept(bench: Bench, tmp_path: Path) -> None:
    bench.fix("tag", 0)
    event_id = bench.alerts()[0]["id"]
    found = bench.pipeline.acknowledge(event_id, "sergeant-7", bench.clock.utc_ns())
    assert found == incidents(bench)[0]["incident_id"]
    assert bench.pipeline.acknowledge(event_id, "another", bench.clock.utc_ns()) is None
    assert bench.pipeline.acknowledge("unknown", "another", bench.clock.utc_ns()) is None
    assert incidents(bench)[-1]["acknowledged_by"] == "sergeant-7"
    after = Bench(tmp_path, zones=ZONE, epoch="SECOND", after=bench)
    after.fix("tag", 500)
    assert incidents(after)[-1]["acknowledged_by"] == "sergeant-7"


def test_an_incident_goes_on_over_a_restart_and_its_quiet_time_too(bench: Bench, tmp_path: Path) -> None:
    bench.fix("tag", 0)
    bench.wait(1)
    bench.fix("tag", 500)
    after = Bench(tmp_path, zones=ZONE, epoch="SECOND", after=bench, down_s=600)
    assert incidents(after) == []
    after.wait(250)
    after.fix("tag", 0)
    assert incidents(after)[-1]["occurrences"] == 2
    assert incidents(after)[-1]["incident_id"] == incidents(bench)[0]["incident_id"]
    after.fix("tag", 500)
    third = Bench(tmp_path, zones=ZONE, epoch="THIRD", after=after, down_s=86_400)
    third.wait(1)
    assert states(third) == ["closed"]
    kept = third.pipeline.incidents.find(incidents(bench)[0]["incident_id"])
    assert kept is not None
    assert kept.event is not None
    assert kept.event.data.state == "closed"


def test_closed_incidents_are_forgotten_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.incidents.MAX_CLOSED", 3)
    bench = Bench(tmp_path, zones=ZONE, extra="[policy]\nincident_renotify_s = 0\n")
    for n in range(12):
        bench.fix("tag", 500 * (n % 2))
        bench.wait(1)
    kept, _ = bench.on_disk()
    assert len([key for _, key in kept if key.startswith("incident/")]) == 3
    found = [bench.pipeline.incidents.find(each["incident_id"]) for each in incidents(bench)[::2]]
    assert [each is not None for each in found] == [False, False, False, True, True, True]


def test_leaving_an_inclusion_zone_and_misuse_of_the_equipment_are_emergencies_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path, zones='zones = ["z-in"]')
    bench.fix("tag", 5000)
    assert [each["cause"] for each in incidents(bench)] == ["inclusion_zone_left"]
    bench.status("tag", shielded=True)
    assert [each["cause"] for each in incidents(bench)] == ["inclusion_zone_left", "shielding_suspected"]
    bench.status("tag", shielded=True, battery_pct=5)
    assert len(incidents(bench)) == 2
