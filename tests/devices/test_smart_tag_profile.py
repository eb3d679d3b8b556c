"""What a tag offers, found by service and handle and never by UUID alone."""

from devices.ble_link import Characteristic
from devices.smart_tag_profile import BUTTON, BUTTON_SERVICE, decode_information, read_profile
from protocols.ble import uuids
from protocols.rejects import RejectReason
from protocols.reports import TagEvent, TagEventKind

READ, NOTIFY, WRITE = frozenset({"read"}), frozenset({"notify"}), frozenset({"write"})


def characteristic(service: str, uuid: str, handle: int, properties: frozenset[str] = READ) -> Characteristic:
    return Characteristic(
        service_uuid=service, service_handle=handle & ~0xF, uuid=uuid, handle=handle, properties=properties
    )


ALERT = characteristic(uuids.IMMEDIATE_ALERT_SERVICE, uuids.ALERT_LEVEL, 0x12, WRITE)
LOSS = characteristic(uuids.LINK_LOSS_SERVICE, uuids.ALERT_LEVEL, 0x22, WRITE | READ)
BATTERY = characteristic(uuids.BATTERY_SERVICE, uuids.BATTERY_LEVEL, 0x32, READ | NOTIFY)
STATE = characteristic(uuids.SMART_TAG_SERVICE, uuids.TAG_STATE, 0x42, READ | NOTIFY)
WARN = characteristic(uuids.SMART_TAG_SERVICE, uuids.TAG_WARN, 0x44, WRITE)
EVENT = characteristic(uuids.SMART_TAG_SERVICE, uuids.TAG_EVENT, 0x46, NOTIFY)


def test_two_alert_levels_are_told_apart_in_any_order() -> None:
    for order in ((ALERT, LOSS), (LOSS, ALERT)):
        profile = read_profile(order)
        assert (profile.immediate_alert, profile.link_loss_alert) == (ALERT, LOSS)
        assert profile.can_warn and not profile.is_smart
        assert profile.describe() == "Proximity tag"
        assert profile.pulse == LOSS, "the only one that can be read"


def test_a_smart_tag_is_felt_by_its_state_and_says_its_events_first() -> None:
    profile = read_profile((ALERT, LOSS, BATTERY, STATE, WARN, EVENT))
    assert profile.is_smart and profile.describe() == "smart tag"
    assert profile.pulse == STATE and profile.warn == WARN
    assert [source.characteristic for source in profile.sources] == [EVENT, STATE, BATTERY]


def test_our_service_without_its_state_is_no_smart_tag() -> None:
    profile = read_profile((WARN, BATTERY))
    assert not profile.is_smart and not profile.can_warn
    assert profile.describe() == "no tag that can warn"


def test_a_characteristic_in_a_foreign_service_is_not_ours() -> None:
    foreign = characteristic(uuids.BATTERY_SERVICE, uuids.TAG_WARN, 0x52, WRITE)
    assert read_profile((foreign, STATE)).warn is None


def test_of_two_alike_the_first_counts() -> None:
    again = characteristic(uuids.BATTERY_SERVICE, uuids.BATTERY_LEVEL, 0x62)
    assert [source.characteristic for source in read_profile((BATTERY, again)).sources] == [BATTERY]


def test_a_key_finders_button_becomes_numbered_events() -> None:
    button = characteristic(BUTTON_SERVICE, BUTTON, 0x72, NOTIFY)
    (source,) = read_profile((ALERT, button)).sources
    presses = [source.decode(b"\x01"), source.decode(b"")]
    assert presses == [TagEvent(sequence=n, kind=TagEventKind.BUTTON, warn_id=None, age_ms=0) for n in (1, 2)]


def test_information_leaves_out_what_was_refused_and_says_so() -> None:
    values = {"model": b"VT-1\x00", "firmware": b"1.\xff", "system_id": b"\x01", "pnp": bytes([1, 2, 0, 3, 0, 4, 0])}
    information, rejects = decode_information(values)
    assert (information.model, information.firmware, information.system_id) == ("VT-1", None, None)
    assert information.pnp is not None and information.pnp.product_version == 4
    assert [reject.reason for reject in rejects] == [RejectReason.BAD_FIELD, RejectReason.CUT_SHORT]
