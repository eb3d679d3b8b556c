"""Values written by hand and what they decode to, as JSON: a change of any decoder shows as a change of a golden."""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from protocols.ble.ad import parse_ad
from protocols.ble.adverts import decode_beacon, decode_tag_advert
from protocols.ble.gatt import (
    decode_alert_level,
    decode_battery_level,
    decode_current_time,
    decode_ln_feature,
    decode_location_and_speed,
    decode_pnp_id,
    decode_position_quality,
    decode_system_id,
    decode_text,
    decode_tx_power,
)
from protocols.ble.smart_tag import (
    decode_sighting,
    decode_tag_event,
    decode_tag_keys,
    decode_tag_state,
    decode_warn,
)
from protocols.rejects import RejectReason
from protocols.reports import BeaconVerdict, TagEventKind, TagMode

ROOT = Path(__file__).parents[3]
CAPTURES = ROOT / "fixtures" / "captures" / "ble"
GOLDENS = ROOT / "tests" / "golden" / "ble"

DECODERS: dict[str, Callable[[bytes], object]] = {
    "ad": parse_ad,
    "alert_level": decode_alert_level,
    "battery_level": decode_battery_level,
    "beacon": decode_beacon,
    "current_time": decode_current_time,
    "ln_feature": decode_ln_feature,
    "location_and_speed": decode_location_and_speed,
    "pnp_id": decode_pnp_id,
    "position_quality": decode_position_quality,
    "sighting": decode_sighting,
    "system_id": decode_system_id,
    "tag_advert": decode_tag_advert,
    "tag_event": decode_tag_event,
    "tag_keys": decode_tag_keys,
    "tag_state": decode_tag_state,
    "text": decode_text,
    "tx_power": decode_tx_power,
    "warn": decode_warn,
}


def as_json(value: object) -> object:
    """Plain values for JSON: octets in hex, enumerations by name, records with their type."""
    if isinstance(value, Enum):
        return value.name if value.name is not None else int(value.value)
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value):
        return {
            "type": type(value).__name__,
            **{field.name: as_json(getattr(value, field.name)) for field in fields(value)},
        }
    if hasattr(value, "items"):
        return {str(key): as_json(row) for key, row in value.items()}
    if isinstance(value, tuple):
        return [as_json(row) for row in value]
    return value


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


NAMES = sorted(path.stem for path in CAPTURES.glob("*.jsonl"))


def decoded(name: str) -> list[object]:
    return [
        as_json(DECODERS[str(row["kind"])](bytes.fromhex(str(row["hex"])))) for row in rows(CAPTURES / f"{name}.jsonl")
    ]


def test_every_capture_has_a_golden_and_the_other_way_round() -> None:
    assert set(NAMES) == {path.stem for path in GOLDENS.glob("*.jsonl")}


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    expected = [json.dumps(row) for row in rows(GOLDENS / f"{name}.jsonl")]
    assert [json.dumps(row) for row in decoded(name)] == expected


def test_every_decoder_has_a_value_and_a_reject_among_the_goldens() -> None:
    kinds = {(row["kind"], is_reject) for row, is_reject in all_rows()}
    assert kinds == {(kind, is_reject) for kind in DECODERS for is_reject in (False, True)}


def all_rows() -> list[tuple[dict[str, object], bool]]:
    return [
        (row, isinstance(golden, dict) and golden.get("type") == "Reject")
        for name in NAMES
        for row, golden in zip(rows(CAPTURES / f"{name}.jsonl"), rows(GOLDENS / f"{name}.jsonl"), strict=True)
    ]


def test_every_mode_kind_and_verdict_is_among_the_goldens() -> None:
    text = "\n".join(path.read_text() for path in GOLDENS.glob("*.jsonl"))
    for enum in (TagMode, TagEventKind, BeaconVerdict):
        assert all(f'"{member.name}"' in text for member in enum)


def test_the_reasons_of_ble_are_among_the_goldens() -> None:
    goldens = [golden for name in NAMES for golden in rows(GOLDENS / f"{name}.jsonl")]
    reasons = {golden["reason"] for golden in goldens if isinstance(golden, dict) and golden.get("type") == "Reject"}
    own = {RejectReason.CUT_SHORT, RejectReason.RESERVED, RejectReason.UNKNOWN_VALUE}
    assert own | {RejectReason.OVERLONG, RejectReason.BAD_FIELD} == {RejectReason[str(name)] for name in reasons}
