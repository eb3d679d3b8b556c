"""What a provider may send unsigned: taken apart, or refused with a reason; never an exception."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt.inbound import (
    MAX_INBOUND_BYTES,
    MAX_SEQUENCE,
    Canary,
    ProviderStatus,
    Receipt,
    ReceiptState,
    encode_canary,
    read_canary,
    read_provider_status,
    read_receipt,
)
from protocols.mqtt.refusal import MAX_DETAIL, Refusal, RefusalReason, clip_detail

SOURCE = "urn:em:a:b:tag:t"


def receipt(**fields: object) -> bytes:
    return json.dumps({"source": SOURCE, **fields}).encode()


@pytest.mark.parametrize("upto", ["00000000000000000042", "42", 42])
def test_receipt_up_to_a_number(upto: object) -> None:
    assert read_receipt(receipt(upto=upto)) == Receipt(source=SOURCE, upto=42)


def test_receipt_of_one_event() -> None:
    read = read_receipt(receipt(id="X", state="rejected", at="2026-01-01T00:00:00Z", by="desk-3"))
    assert isinstance(read, Receipt)
    assert read.is_rejected
    assert (read.event_id, read.upto, read.at, read.by) == ("X", None, "2026-01-01T00:00:00Z", "desk-3")


def test_receipt_of_both_and_of_a_later_version() -> None:
    read = read_receipt(receipt(id="X", upto="7", tag="4711", colour="green"))
    assert read == Receipt(source=SOURCE, upto=7, event_id="X", state=ReceiptState.RECEIVED)


@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        (b"", RefusalReason.NOT_JSON, "truncated"),
        (b"\xff\xfe", RefusalReason.NOT_JSON, ""),
        (b'{"source": "\xff", "upto": 1}', RefusalReason.NOT_JSON, ""),
        (b"[" * 4000, RefusalReason.INVALID_FIELD, "got `array`"),
        (b'{"x": ' + b"[" * 4000, RefusalReason.NOT_JSON, "recursion"),
        (b"[]", RefusalReason.INVALID_FIELD, "Expected `object`, got `array`"),
        (b'{"upto": 1}', RefusalReason.INVALID_FIELD, "missing required field `source`"),
        (receipt(), RefusalReason.INVALID_FIELD, "expected upto, id or both; got neither"),
        (receipt(upto=-1), RefusalReason.INVALID_FIELD, ">= 0"),
        (receipt(upto="-1"), RefusalReason.INVALID_FIELD, "matching regex"),
        (receipt(upto="1\n"), RefusalReason.INVALID_FIELD, "matching regex"),
        (receipt(upto="٣"), RefusalReason.INVALID_FIELD, "matching regex"),
        (receipt(upto=1.5), RefusalReason.INVALID_FIELD, "got `float`"),
        (receipt(upto=True), RefusalReason.INVALID_FIELD, "got `bool`"),
        (receipt(upto="9" * 20), RefusalReason.INVALID_FIELD, "beyond every sequence number"),
        (receipt(upto=MAX_SEQUENCE + 1), RefusalReason.INVALID_FIELD, "$.upto"),
        (receipt(id=""), RefusalReason.INVALID_FIELD, "$.id"),
        (receipt(id="x" * 200), RefusalReason.INVALID_FIELD, "$.id"),
        (receipt(id="x", state="seen"), RefusalReason.INVALID_FIELD, "Invalid enum value 'seen'"),
        (receipt(id="x", by="y" * MAX_INBOUND_BYTES), RefusalReason.TOO_LARGE, "expected at most 4096 bytes, got"),
    ],
)
def test_receipts_that_are_none(body: bytes, reason: RefusalReason, detail: str) -> None:
    read = read_receipt(body)
    assert isinstance(read, Refusal)
    assert read.reason is reason
    assert detail in read.detail


def test_provider_says_whether_it_listens() -> None:
    assert read_provider_status(b'{"state":"online","at":"now"}') == ProviderStatus(is_online=True, at="now")
    assert read_provider_status(b'{"state":"offline","reason":"will"}') == ProviderStatus(
        is_online=False, reason="will"
    )


def test_status_that_was_taken_away_means_nobody_listens() -> None:
    read = read_provider_status(b"")
    assert isinstance(read, ProviderStatus)
    assert not read.is_online


@pytest.mark.parametrize("body", [b"online", b"{}", b'{"state":"Online"}', b'"online"'])
def test_status_in_other_words_is_refused(body: bytes) -> None:
    assert isinstance(read_provider_status(body), Refusal)


@given(st.text(min_size=1, max_size=64), st.integers(0, MAX_SEQUENCE))
def test_canary_comes_back_as_it_was(epoch: str, number: int) -> None:
    canary = Canary(epoch=epoch, number=number)
    assert read_canary(encode_canary(canary)) == canary


@pytest.mark.parametrize("body", [b"", b"{}", b'{"epoch":"","number":1}', b'{"epoch":"E","number":-1}'])
def test_canary_of_somebody_else_is_refused(body: bytes) -> None:
    assert isinstance(read_canary(body), Refusal)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_never_raise(body: bytes) -> None:
    for read in (read_receipt, read_provider_status, read_canary):
        assert read(body) is not None


def test_detail_is_one_line_that_can_be_shown() -> None:
    assert clip_detail("a\nb\x1b[31m") == "a�b�[31m"
    assert len(clip_detail("x" * 10_000)) == MAX_DETAIL
