"""Payloads: stable bytes, readers that tolerate more, and a privacy wall made of types."""

import json
import typing

import msgspec
import pytest

from protocols.mqtt import messages as m
from protocols.mqtt.samples import samples
from protocols.mqtt.severity import gravity_of


def alert(**changed: object) -> m.AlertEvent:
    fields: dict[str, object] = {
        "alert_id": "A",
        "msg_type": m.MsgType.ALERT,
        "status": "Test",
        "references": (),
        "kind": m.AlertKind.STRAP_TAMPER,
        "severity": "Extreme",
        "urgency": "Immediate",
        "certainty": "Observed",
        "state": "raised",
        "occurred_at": "2026-01-01T00:00:00.000Z",
        "detected_at": "2026-01-01T00:00:00.000Z",
        "enqueued_at": "2026-01-01T00:00:00.000Z",
        "clock": "unknown",
        "late": False,
        "stored": False,
        "level": None,
        "reason": "strap open",
        "position": None,
        "device": m.DeviceState(battery_pct=71, strap="open", case="closed"),
        "delivery": m.Delivery(attempt=1, durable=False, epoch="E"),
        "trace": m.Trace(
            boot_id="b", device_id="t", rx_mono_ns=1, decoded_mono_ns=2, judged_mono_ns=3, submitted_mono_ns=4
        ),
        "zone": None,
        "protected_party": None,
    }
    return m.AlertEvent(
        specversion="1.0",
        id="I",
        source="urn:em:a:b:tag:t",
        type="org.example.em.alert.v1",
        subject="tag/t",
        time="2026-01-01T00:00:00.000Z",
        datacontenttype="application/json",
        sequence="1".zfill(20),
        priority="alert",
        data=m.AlertData(**{**fields, **changed}),  # type: ignore[arg-type]
    )


def test_encoding_is_stable_and_goes_there_and_back() -> None:
    body = m.encode(alert())
    assert body == m.encode(alert())
    assert m.decode(body, m.AlertEvent) == alert()
    assert list(json.loads(body))[:4] == ["specversion", "id", "source", "type"]


def test_readers_ignore_fields_of_later_bridges() -> None:
    tree = json.loads(m.encode(alert()))
    tree["new"] = tree["data"]["new"] = 1
    assert m.decode(json.dumps(tree).encode(), m.AlertEvent) == alert()


def test_readers_refuse_what_breaks_the_contract() -> None:
    tree = json.loads(m.encode(alert()))
    tree["data"]["kind"] = "made_up"
    with pytest.raises(msgspec.ValidationError, match=r"made_up.*\$\.data\.kind"):
        m.decode(json.dumps(tree).encode(), m.AlertEvent)


def test_another_attempt_changes_its_number_and_nothing_else() -> None:
    body = m.encode(alert())
    again = m.decode(m.with_attempt(body, m.AlertEvent, 3), m.AlertEvent)
    assert again.data.delivery.attempt == 3
    assert m.with_attempt(m.encode(again), m.AlertEvent, 1) == body


def test_word_about_the_disk_changes_nothing_else() -> None:
    body = m.encode(alert())
    again = m.decode(m.with_delivery(body, m.AlertEvent, durable=True), m.AlertEvent)
    assert again.data.delivery == m.Delivery(attempt=1, durable=True, epoch="E")
    assert m.with_delivery(m.encode(again), m.AlertEvent, durable=False) == body
    assert m.with_delivery(body, m.AlertEvent) == body


@pytest.mark.parametrize("name", sorted(m.DELIVERED))
def test_every_event_that_is_sent_until_delivered_can_be_counted_up(name: str) -> None:
    kind = m.DELIVERED[name]
    sample = next(each for each in samples() if type(each.event) is kind)
    again = m.decode(m.with_delivery(sample.body, kind, attempt=7, durable=False), kind)
    assert again.data.delivery.attempt == 7
    assert not again.data.delivery.durable
    assert sample.event is not None
    assert (again.id, again.sequence) == (sample.event.id, sample.event.sequence)


def test_body_at_the_limit_goes_out_as_it_is() -> None:
    room = m.MAX_PAYLOAD_BYTES - len(m.encode(alert(reason="")))
    body = m.encode(alert(reason="x" * room))
    assert len(body) == m.MAX_PAYLOAD_BYTES
    assert m.with_attempt(body, m.AlertEvent, 10) == body, "one digit more would be too long"


def test_too_large_a_body_is_refused() -> None:
    with pytest.raises(m.PayloadTooLargeError, match="at most 16384"):
        m.encode(alert(reason="x" * 20_000))


def test_every_kind_and_band_has_a_gravity() -> None:
    for kind in m.AlertKind:
        assert gravity_of(kind).severity
    for band in m.BandName:
        assert gravity_of(m.AlertKind.PROXIMITY_BREACH, band).severity


def test_warning_that_did_not_arrive_is_as_grave_as_its_level() -> None:
    kind = m.AlertKind.PROTECTED_PERSON_NOT_WARNED
    assert [gravity_of(kind, None, level).severity for level in ("notice", "alarm", "contact")] == [
        "Severe",
        "Extreme",
        "Extreme",
    ]
    # Her ring says nothing here: what counts is what she should have been told.
    assert gravity_of(kind, m.BandName.CONTACT, "notice").severity == "Severe"


def names_within(kind: object, seen: set[object]) -> set[str]:
    """All field names that a type can hold, at any depth."""
    if kind in seen:
        return set()
    seen.add(kind)
    found: set[str] = set()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            found |= {field.name} | names_within(field.type, seen)
    for argument in typing.get_args(kind):
        found |= names_within(argument, seen)
    return found


def test_no_wearer_side_type_has_a_place_for_distance_or_bearing() -> None:
    wearer_side = names_within(m.WearerEvent | m.ControlEvent, set())
    assert not {name for name in wearer_side if "distance" in name or "bearing" in name or "separation" in name}
    assert not {"protected_position", "proximity"} & wearer_side
    assert {"distance_m", "bearing_deg"} <= names_within(m.ProtectedEvent, set())


def test_no_wearer_side_type_has_a_place_for_her_tag() -> None:
    wearer_side = names_within(m.WearerEvent, set())
    hers = {"smart_tag", "smart_tag_id", "sos", "warning", "warn_id", "acknowledged_mono_ns"}
    assert not hers & wearer_side
    assert hers <= names_within(m.ProtectedEvent, set())


def test_a_warning_has_no_place_for_a_position_or_a_distance() -> None:
    names = names_within(m.WarningEvent, set())
    assert not {name for name in names if any(word in name for word in ("position", "distance", "bearing", "coord"))}


def test_what_a_wearer_side_reader_learns_about_her_is_a_reference_and_a_band() -> None:
    for kind in (m.PartyBand, m.WearerPair):
        assert [field.name for field in msgspec.structs.fields(kind)] == ["ref", "band"]
