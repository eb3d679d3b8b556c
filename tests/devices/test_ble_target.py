"""Targets of Bluetooth tags: what is understood, and what a wrong one is told."""

from pathlib import Path

import pytest

from devices.ble_target import BleTarget, Pairing, parse_ble_target
from devices.errors import TransportSpecError

KEY = bytes(range(16))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tag.key").write_text(KEY.hex() + "\n")
    (tmp_path / "tag.passkey").write_text("004711\n")
    return tmp_path


def test_fixed_address(folder: Path) -> None:
    target = parse_ble_target("ble:c0:de:00:00:00:01?adapter=hci1", folder=folder)
    assert target == BleTarget(
        text="ble:c0:de:00:00:00:01?adapter=hci1", address="C0:DE:00:00:00:01", adapter="hci1", pair=Pairing.NONE
    )


def test_rolling_with_passkey(folder: Path) -> None:
    target = parse_ble_target("ble:rolling?key_file=tag.key&pair=mitm&passkey_file=tag.passkey", folder=folder)
    assert (target.address, target.key, target.adapter) == (None, KEY, None)
    assert (target.pair, target.passkey) == (Pairing.MITM, 4711)


def test_secrets_are_not_shown(folder: Path) -> None:
    target = parse_ble_target("ble:rolling?key_file=tag.key&pair=mitm&passkey_file=tag.passkey", folder=folder)
    assert "4711" not in repr(target)
    assert repr(KEY) not in repr(target)


def test_a_new_tag_has_an_address_and_the_key_it_will_be_given(folder: Path) -> None:
    target = parse_ble_target("ble:C0:DE:00:00:00:01?key_file=tag.key", folder=folder)
    assert (target.address, target.key) == ("C0:DE:00:00:00:01", KEY)


def test_remote_adapter(folder: Path) -> None:
    target = parse_ble_target("ble:C0:DE:00:00:00:01?adapter=esphome://192.0.2.7:6053", folder=folder)
    assert target.adapter == "esphome://192.0.2.7:6053"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ble:rolling", "key_file"),
        ("ble:roling?key_file=tag.key", "did you mean 'rolling'"),
        ("ble:C0:DE:00:00:01", "six bytes"),
        ("ble:rolling?key_file=absent.key", "absent.key: No such file"),
        ("ble:rolling?key_file=tag.key&pair=maybe", "expected one of none, bond, mitm"),
        ("ble:rolling?key_file=tag.key&passkey_file=tag.passkey", "pair=mitm"),
        ("ble:rolling?key_file=tag.key&adapter=usb0", "expected hci0"),
        ("ble:rolling?key_file=tag.key&adapter=esphome://host", "host:port"),
        ("ble:rolling?key_file=tag.key&pair=mitm&adapter=esphome://192.0.2.7:6053", "whoever answers"),
        ("ble:rolling?key_file=tag.key&adaptor=hci0", "did you mean 'adapter'"),
        ("bel:rolling?key_file=tag.key", "did you mean 'ble'"),
    ],
)
def test_wrong_targets_say_what_is_wrong(folder: Path, text: str, says: str) -> None:
    with pytest.raises(TransportSpecError, match=says):
        parse_ble_target(text, folder=folder)


@pytest.mark.parametrize(
    ("content", "says"), [("00ff", "2 bytes, expected 16"), ("keykey", "hexadecimal"), ("ü", "text")]
)
def test_wrong_key_files_are_refused_without_quoting_them(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "tag.key").write_text(content)
    with pytest.raises(TransportSpecError, match=says) as caught:
        parse_ble_target("ble:rolling?key_file=tag.key", folder=tmp_path)
    assert content not in str(caught.value)


@pytest.mark.parametrize("content", ["4711", "0047111", "abcdef"])
def test_wrong_passkeys_are_refused_without_quoting_them(folder: Path, content: str) -> None:
    (folder / "tag.passkey").write_text(content)
    with pytest.raises(TransportSpecError, match="six decimal digits") as caught:
        parse_ble_target("ble:rolling?key_file=tag.key&pair=mitm&passkey_file=tag.passkey", folder=folder)
    assert content not in str(caught.value).replace("tag.passkey", "")
