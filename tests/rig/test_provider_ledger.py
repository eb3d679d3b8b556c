"""What the check says of messages that came: each fault is found, named, and nothing else is."""

import dataclasses
from collections.abc import Iterator

import msgspec
import pytest
from msgspec.structs import replace

from protocols.mqtt import messages as m
from protocols.mqtt.times import utc_ns
from rig.cli.exit_codes import ExitCode
from rig.provider.check.client import Came
from rig.provider.check.findings import Finding, Verdict, exit_code, render, whole_verdict
from rig.provider.check.ledger import Ledger
from rig.provider.check.made_up import MadeUp, make_up
from rig.provider.check.told import find_all

NOW_UTC_NS = 1_790_000_000_000_000_000
ROOT = "em/v1/demo"


def made_up() -> list[MadeUp]:
    return list(make_up(ROOT, "demo", "b-1", "run", NOW_UTC_NS))


def came(message: MadeUp, *, body: bytes | None = None, topic: str | None = None, retain: bool | None = None) -> Came:
    return Came(
        topic=topic or message.topic,
        body=message.body if body is None else body,
        retain=message.retain if retain is None else retain,
        is_duplicate=False,
        properties=dict(message.properties),
        content_type=m.CONTENT_TYPE,
        t_mono_ns=5_000_000_000,
        t_utc_ns=NOW_UTC_NS + 50_000_000,
    )


def judge(*arrivals: Came, max_latency_s: float = 1_000.0, heartbeat_s: float = 10.0) -> dict[str, Finding]:
    ledger = Ledger()
    for each in arrivals:
        ledger.take(each)
    found = find_all(ledger, heartbeat_s=heartbeat_s, max_latency_s=max_latency_s, now_mono_ns=6_000_000_000)
    return {finding.check: finding for finding in found}


def first_alert() -> MadeUp:
    return next(each for each in made_up() if each.topic.startswith(f"{ROOT}/tag/") and each.topic.endswith("/alert"))


def changed(message: MadeUp, **values: object) -> bytes:
    tree = msgspec.json.decode(message.body)
    tree.update(values)
    return msgspec.json.encode(tree)


def test_everything_that_a_bridge_sends_is_right() -> None:
    """Also what is allowed and awkward: a second sending, a field of a later version, two in the wrong order."""
    found = judge(*(came(each) for each in made_up()))
    # The last sample says that the bridge is gone, after its heartbeat.
    wrong = {check: finding for check, finding in found.items() if finding.verdict is not Verdict.PASS}
    assert set(wrong) == {"heartbeat"}, wrong
    assert "1 came after a newer one" in found["order"].told
    assert "1 came again with the same id" in found["duplicates"].told


def test_nothing_is_right_where_nothing_came() -> None:
    found = judge()
    assert {finding.verdict for finding in found.values()} == {Verdict.UNSET}
    assert exit_code(found.values()) is ExitCode.BENCH_BROKEN
    assert "root" in found["schema"].next_step


def test_messages_of_others_are_passed_over() -> None:
    message = first_alert()
    ledger = Ledger()
    for topic in ("somebody/else", f"{ROOT}/bridge/b-1/receipt", f"{ROOT}/tag/t1/picture"):
        ledger.take(came(message, topic=topic))
    assert ledger.strangers == 3 and not ledger.schema.bad


@pytest.mark.parametrize(
    ("check", "said", "body"),
    [
        ("schema", "JSON is malformed|Input data was truncated", b'{"specversion":"1.0"'),
        ("schema", "missing required field", b"{}"),
        ("schema", "at most 16384", b"x" * 20_000),
        ("schema", "kind", None),
    ],
)
def test_a_body_that_cannot_be_read_is_told_with_its_place(check: str, said: str, body: bytes | None) -> None:
    message = first_alert()
    if body is None:
        tree = msgspec.json.decode(message.body)
        tree["data"]["kind"] = "x_unheard_of"
        body = msgspec.json.encode(tree)
    finding = judge(came(message, body=body))[check]
    assert finding.verdict is Verdict.FAIL
    assert any(part in finding.examples[0] for part in said.split("|")), finding


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("subject", "tag/another", "subject: expected tag/"),
        ("type", "org.example.em.position.v1", "ends in .alert.v1"),
        ("time", "2026-11-22T20:30:59", "RFC 3339 with an offset"),
        ("source", "", "must not be empty"),
    ],
)
def test_an_envelope_that_does_not_fit_its_topic_is_told(name: str, value: str, said: str) -> None:
    message = first_alert()
    finding = judge(came(message, body=changed(message, **{name: value})))["envelope"]
    assert finding.verdict is Verdict.FAIL and said in finding.examples[0]


@pytest.mark.parametrize(("name", "value"), [("sequence", "42"), ("specversion", "0.3")])
def test_a_field_in_another_form_is_told(name: str, value: str) -> None:
    message = first_alert()
    found = judge(came(message, body=changed(message, **{name: value})))
    assert Verdict.FAIL in {found["schema"].verdict, found["envelope"].verdict}


def test_properties_that_contradict_the_body_are_told() -> None:
    message = first_alert()
    other = msgspec.json.decode(message.body)["id"][:-1] + "Z"
    arrival = came(message, body=changed(message, id=other))
    finding = judge(arrival)["properties"]
    assert finding.verdict is Verdict.FAIL and "user property id" in finding.examples[0]


@pytest.mark.parametrize("name", ["distance_m", "bearing_deg", "proximity"])
def test_where_she_is_must_not_stand_on_the_wearers_side(name: str) -> None:
    message = first_alert()
    tree = msgspec.json.decode(message.body)
    tree["data"]["protected_party"] = {"ref": "pp-17", "band": "alarm", name: 212}
    finding = judge(came(message, body=msgspec.json.encode(tree)))["privacy"]
    assert finding.verdict is Verdict.FAIL and name in finding.examples[0]


def alerts(*numbers: int) -> Iterator[Came]:
    message = first_alert()
    event = m.decode(message.body, m.AlertEvent)
    for number in numbers:
        body = m.encode(replace(event, sequence=f"{number:020d}", id=f"{number:026d}"))
        yield came(message, body=body)


def test_a_gap_is_told_with_its_numbers() -> None:
    found = judge(*alerts(40, 41, 44, 45))
    assert found["gaps"].verdict is Verdict.FAIL
    assert "2 numbers missing among 4 events of 1 streams" in found["gaps"].told
    assert "42, 43" in found["gaps"].examples[0]
    assert "max_queued_messages 0" in found["gaps"].next_step


def test_a_gap_that_is_filled_later_is_disorder_and_no_gap() -> None:
    found = judge(*alerts(1, 3, 2))
    assert found["gaps"].verdict is Verdict.PASS and "1 came after a newer one" in found["order"].told


def test_one_id_with_two_contents_and_one_number_with_two_ids_are_told() -> None:
    message = first_alert()
    tree = msgspec.json.decode(message.body)
    tree["data"]["reason"] = "something else"
    other = judge(came(message), came(message, body=msgspec.json.encode(tree)))["duplicates"]
    assert other.verdict is Verdict.FAIL and "another content" in other.examples[0]
    twice = judge(came(message), came(message, body=changed(message, id="0" * 26)))["duplicates"]
    assert twice.verdict is Verdict.FAIL and "given twice" in twice.told


def test_states_that_the_broker_does_not_keep_are_told() -> None:
    state = next(each for each in made_up() if each.topic.endswith("/active"))
    assert judge(came(state, retain=False))["retained"].verdict is Verdict.FAIL
    assert judge(came(state, retain=False), came(state))["retained"].verdict is Verdict.PASS


def test_a_state_that_is_taken_away_is_missed_by_nobody() -> None:
    state = next(each for each in made_up() if each.topic.endswith("/active"))
    found = judge(came(state, retain=False), came(state, body=b"", retain=False), online(), came(first_alert()))
    assert found["retained"].verdict is Verdict.PASS and "1 of 1 states" in found["retained"].told
    gone = dataclasses.replace(online(), body=b"")
    assert "no bridge told of itself" in judge(online(), beat(5), gone)["heartbeat"].told


def test_without_mqtt_5_nothing_is_said_of_its_properties() -> None:
    plain = dataclasses.replace(came(first_alert()), properties=None, content_type=None)
    assert judge(plain)["properties"].verdict is Verdict.UNSET


def beat(t_s: float, **changes: object) -> Came:
    message = next(each for each in made_up() if each.topic.endswith("/heartbeat"))
    tree = msgspec.json.decode(message.body)
    tree["data"].update(disk="ok", canary="ok", provider="online", durable=True)
    tree["data"]["outbox"].update(rejected=0, unheard_alerts=0)
    tree["data"].update(changes)
    return dataclasses.replace(came(message, body=msgspec.json.encode(tree)), t_mono_ns=int(t_s * 1e9))


def online() -> Came:
    message = next(each for each in made_up() if each.topic.endswith("/bridge/b-1/status"))
    return came(message)


def test_a_bridge_that_falls_silent_is_told_and_one_that_beats_is_not() -> None:
    assert judge(online(), beat(1), beat(3), beat(5), heartbeat_s=2)["heartbeat"].verdict is Verdict.PASS
    silent = judge(online(), beat(0), beat(0.5), heartbeat_s=2)["heartbeat"]
    assert silent.verdict is Verdict.FAIL and "was silent for 6 s; expected one in 2 s" in silent.told
    assert "no heartbeat came" in judge(online())["heartbeat"].told
    assert "no status" in judge(beat(5))["heartbeat"].told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"canary": "never"}, "canary"),
        ({"disk": "full"}, "its disk is full"),
        ({"provider": "offline"}, "every consumer"),
        ({"durable": False}, "in memory"),
    ],
)
def test_what_a_bridge_complains_of_is_passed_on(changes: dict[str, object], said: str) -> None:
    assert judge(online(), beat(5))["bridge"].verdict is Verdict.PASS
    finding = judge(online(), beat(5, **changes))["bridge"]
    assert finding.verdict is Verdict.FAIL and said in finding.examples[0]


def test_latency_is_told_only_where_the_clocks_allow_it() -> None:
    message = first_alert()
    late_s = (NOW_UTC_NS - utc_ns(msgspec.json.decode(message.body)["time"])) / 1e9
    assert judge(came(message), max_latency_s=late_s + 1)["latency"].verdict is Verdict.PASS
    assert judge(came(message), max_latency_s=late_s - 1)["latency"].verdict is Verdict.FAIL
    early = changed(message, time="2026-12-31T00:00:00.000Z")
    finding = judge(came(message, body=early))["latency"]
    assert finding.verdict is Verdict.ERROR and "clocks disagree" in finding.told


def test_the_worst_finding_decides_and_is_shown_with_what_to_do() -> None:
    fine = Finding(check="a", verdict=Verdict.PASS, told="fine")
    bad = Finding(check="b", verdict=Verdict.FAIL, told="not fine", next_step="mend it", examples=("here",))
    unset = Finding(check="c", verdict=Verdict.UNSET, told="nothing came")
    assert whole_verdict([fine, unset]) is Verdict.PASS and exit_code([fine, unset]) is ExitCode.OK
    assert exit_code([fine, bad, unset]) is ExitCode.VERDICT_FAIL
    assert whole_verdict([]) is Verdict.UNSET
    assert render([bad]).splitlines()[0].startswith("FAIL") and render([bad]).endswith("Next: mend it")
