"""Configurations with smart tags: who is warned through what, and secrets that only their owner reads."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.config.load import load_config
from bridge.drivers import check_drivers, find_beacon_keys, find_ble_target
from bridge.errors import ConfigError
from bridge.plan import make_plan
from bridge.warning.hearing import DEFAULT_CALIBRATION
from devices.clock import SystemClock
from devices.rssi_file import to_file, write_calibration
from rig.cli.check_config import command as check_config

KEY = "00112233445566778899aabbccddeeff"
BASE = """
[[device]]
id = "tag"
transport = "memory:tag"
[[device]]
id = "her"
kind = "smart_tag"
role = "protected"
transport = "ble:rolling?key_file=her.key&adapter=hci0"
[[order]]
id = "o"
wearer = "tag"
beacon_key_file = "beacon.key"
  [[order.protected]]
  device = "her"
"""
TAG_KEY = "order[0].protected[0].smart_tag"
TRACKER = '[[device]]\nid = "gps"\nrole = "protected"\ntransport = "memory:gps"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("her.key", "beacon.key"):
        (tmp_path / name).write_text(KEY + "\n")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    (folder / "bridge.toml").write_text(text)
    return folder / "bridge.toml"


def problems(folder: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        check(write(folder, text))
    return [(problem.path, problem.message) for problem in caught.value.problems]


def check(file: Path) -> None:
    loaded = load_config(file)
    check_drivers(loaded, make_plan(loaded), SystemClock())


def test_smart_tag_is_tied_to_its_person_and_gets_the_key_of_his_beacon(folder: Path) -> None:
    loaded = load_config(write(folder, BASE))
    plan = make_plan(loaded)
    (charge,) = plan.charges
    assert (charge.person, charge.smart_tag, charge.wearers, charge.beacon_wearer) == ("her", "her", ("tag",), "tag")
    assert plan.unwarnable == ()
    assert find_beacon_keys(loaded, plan) == {"her": bytes.fromhex(KEY)}
    target = find_ble_target(loaded, loaded.config.device[1])
    assert target.key == bytes.fromhex(KEY)
    assert target.adapter == "hci0"
    assert KEY not in repr(target)


@pytest.mark.parametrize("name", ["her.key", "beacon.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_secret_that_others_may_read_is_refused_with_the_mend(folder: Path, name: str, mode: int) -> None:
    (folder / name).chmod(mode)
    ((path, message),) = problems(folder, BASE)
    assert path == ("device[1].transport" if name == "her.key" else "order[0].beacon_key_file")
    assert f"mode {mode:04o}" in message
    assert f"Next: chmod 600 {folder / name}" in message


@pytest.mark.parametrize("text", ["", "00" * 16, "zz" * 16, KEY + "00", KEY[2:], "\u00e9" * 32])
def test_beacon_key_that_is_none_is_refused_without_quoting_it(folder: Path, text: str) -> None:
    (folder / "beacon.key").write_text(text)
    ((path, message),) = problems(folder, BASE)
    assert path == "order[0].beacon_key_file"
    assert "expected 32 hexadecimal digits" in message
    assert not text.strip() or text.strip() not in message


def test_missing_secret_says_what_to_do(folder: Path) -> None:
    (folder / "beacon.key").unlink()
    ((path, message),) = problems(folder, BASE)
    assert path == "order[0].beacon_key_file"
    assert "chmod 600" in message
    (folder / "her.key").unlink()
    ((path, message),) = problems(folder, BASE)
    assert path == "device[1].transport"
    assert "her.key: No such file" in message


@pytest.mark.parametrize(
    ("old", "new", "path", "part"),
    [
        ('role = "protected"\n', "", "device[1].role", 'Next: add role = "protected"'),
        ("ble:rolling?key_file=her.key&adapter=hci0", "memory:her", "device[1].transport", "reached by Bluetooth"),
        ('kind = "smart_tag"\n', "", "device[1].transport", 'Next: add kind = "smart_tag"'),
        ("rolling?", "roling?", "device[1].transport", "did you mean 'rolling'"),
        ("adapter=hci0", "adaptor=hci0", "device[1].transport", "did you mean 'adapter'"),
        ("key_file=her.key&", "", "device[1].transport", "Next: add key_file=PATH"),
        (
            'device = "her"',
            'device = "her"\nsmart_tag = "hr"',
            "order[0].protected[0].smart_tag",
            "Did you mean 'her'?",
        ),
        (
            'device = "her"',
            'device = "her"\nsmart_tag = "tag"',
            "order[0].protected[0].smart_tag",
            "device 'tag' has kind 'ankle_tag'",
        ),
        ("beacon_key_file", "beacon_keyfile", "order[0].beacon_keyfile", "Did you mean 'beacon_key_file'?"),
    ],
)
def test_mistake_is_told_with_its_place(folder: Path, old: str, new: str, path: str, part: str) -> None:
    assert old in BASE
    found = problems(folder, BASE.replace(old, new, 1))
    assert any(place == path and part in message for place, message in found), found


def test_a_tag_is_one_persons_and_a_person_has_one(folder: Path) -> None:
    shared = BASE + TRACKER + '[[order]]\nid = "p"\nwearer = "tag"\n[[order.protected]]\ndevice = "gps"\n'
    found = problems(folder, shared + 'smart_tag = "her"\n')
    assert found == [
        ("order[1].protected[0].smart_tag", "smart tag 'her' warns 'her' already; a tag is one person's"),
    ]
    other = '[[device]]\nid = "st"\nkind = "smart_tag"\nrole = "protected"\ntransport = "ble:C0:DE:00:00:00:02"\n'
    wearer = '[[device]]\nid = "tag-2"\ntransport = "memory:tag2"\n'
    second = '[[order]]\nid = "p"\nwearer = "tag-2"\n[[order.protected]]\ndevice = "her"\nsmart_tag = "st"\n'
    found = problems(folder, BASE + other + wearer + second)
    assert found == [
        ("order[1].protected[0].smart_tag", "'her' is warned through 'her' in another order; one is enough"),
    ]


def test_a_tag_listens_for_one_beacon(folder: Path) -> None:
    wearer = '[[device]]\nid = "tag-2"\ntransport = "memory:tag2"\n'
    second = (
        '[[order]]\nid = "p"\nwearer = "tag-2"\nbeacon_key_file = "beacon.key"\n[[order.protected]]\ndevice = "her"\n'
    )
    ((path, message),) = problems(folder, BASE + wearer + second)
    assert path == "order[1].beacon_key_file"
    assert "listens for the beacon of 'tag' already" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("confirm_limit_s", "0"),
        ("repeat_s", "1e9"),
        ("max_repeats", "-1"),
        ("beacon_log_ratio", "nan"),
        ("beacon_within_m", "60"),
        ("alarm_pattern", '"loud"'),
    ],
)
def test_policy_values_are_bounded(folder: Path, key: str, value: str) -> None:
    ((path, _),) = problems(folder, BASE + f"[warning]\n{key} = {value}\n")
    assert path == f"warning.{key}"


def test_check_config_shows_smart_tags_warns_loudly_and_keeps_secrets(folder: Path) -> None:
    file = write(folder, BASE)
    done = CliRunner().invoke(check_config, [str(file)])
    assert done.exit_code == 0, done.output
    assert "smart tags: 1" in done.output
    assert KEY not in done.output
    assert "nobody warns her" not in done.output
    file = write(folder, BASE.replace('device = "her"', 'device = "gps"') + TRACKER)
    done = CliRunner().invoke(check_config, [str(file), "--json"])
    assert done.exit_code == 0, done.output
    warnings = json.loads(done.stdout)["warnings"]
    assert "no smart tag was issued to protected person 'gps': nobody warns her" in warnings
    assert any("has a beacon key but no smart tag" in warning for warning in warnings)
    assert KEY not in done.output


def test_check_config_refuses_a_readable_secret(folder: Path) -> None:
    (folder / "her.key").chmod(0o644)
    done = CliRunner().invoke(check_config, [str(write(folder, BASE))])
    assert done.exit_code == 2
    assert "chmod 600" in done.output
    assert KEY not in done.output


def test_rings_without_a_margin_are_warned_about(folder: Path) -> None:
    done = CliRunner().invoke(check_config, [str(write(folder, BASE))])
    assert "policy.exit_margin_m is 0" in done.stderr
    secured = BASE.replace("&adapter=hci0", "&pair=mitm")
    done = CliRunner().invoke(check_config, [str(write(folder, secured + "[policy]\nexit_margin_m = 15\n"))])
    assert "warning" not in done.stderr


def test_a_beacon_key_that_no_link_may_carry_is_warned_about(folder: Path) -> None:
    for transport in ("ble:rolling?key_file=her.key", "ble:C0:DE:00:00:00:01?pair=mitm"):
        text = BASE.replace("ble:rolling?key_file=her.key&adapter=hci0", transport)
        done = CliRunner().invoke(check_config, [str(write(folder, text))])
        assert "smart tag 'her' is not given the key of the beacon of 'tag'" in done.stderr


def calibrate(folder: Path, *, tag: str = "tag", receiver: str = "her") -> str:
    made = replace(DEFAULT_CALIBRATION, reference_dbm=-80.0, n_samples=100, n_places=5)
    content = to_file(made, tag=tag, receiver=receiver, made_utc="2026-01-01T00:00:00Z")
    write_calibration(folder / "pair.json", content)
    return BASE + '  beacon_calibration_file = "pair.json"\n'


def test_her_tag_weighs_the_beacon_by_its_own_calibration(folder: Path) -> None:
    (charge,) = make_plan(load_config(write(folder, calibrate(folder)))).charges
    assert charge.calibration.reference_dbm == -80.0
    (charge,) = make_plan(load_config(write(folder, BASE))).charges
    assert charge.calibration == DEFAULT_CALIBRATION


def test_calibration_that_is_not_of_this_pair_is_refused(folder: Path) -> None:
    ((path, message),) = problems(folder, calibrate(folder, receiver="hci0"))
    assert path == "order[0].protected[0].beacon_calibration_file"
    assert "expected 'tag' at 'her'. Next: tagrig calibrate rssi --tag tag --receiver her" in message
    text = calibrate(folder)
    (folder / "pair.json").write_text("{}")
    ((path, message),) = problems(folder, text)
    assert path == "order[0].protected[0].beacon_calibration_file"
    assert "tagrig calibrate rssi" in message


def test_calibration_without_a_smart_tag_is_refused(folder: Path) -> None:
    text = calibrate(folder).replace('device = "her"', 'device = "gps"') + TRACKER
    assert problems(folder, text) == [
        ("order[0].protected[0].beacon_calibration_file", "is of a smart tag; this person has none")
    ]
