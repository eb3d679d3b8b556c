"""What a person may get wrong in a configuration, and what he is told."""

import json
from pathlib import Path

import pytest

from bridge.broker_access import mqtt_settings, path_settings, plain_endpoints
from bridge.commands.room import find_provider_key
from bridge.config import load_config
from bridge.config.check_broker import url_problems
from bridge.config.sources import Override, override_from_option, overrides_from_environment, scan_lines
from bridge.errors import ConfigError
from bridge.plan import make_plan
from tests.bridge.bench import ZONES

GOOD = """
[bridge]
agency = "a"

[broker]
url = "mqtt://127.0.0.1:1883"

[zones]
file = "zones.geojson"

[[device]]
id = "tag-1"
transport = "memory:a"

[[device]]
id = "pp-1"
role = "protected"
transport = "memory:b"

[[order]]
id = "o-1"
wearer = "tag-1"
zones = [
  "z-ex",   # a comment with ] in it
  "z-in",
]
  [[order.protected]]
  device = "pp-1"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "zones.geojson").write_text(json.dumps(ZONES))
    path = tmp_path / "bridge.toml"
    path.write_text(GOOD)
    return path


def use(file: Path, overrides: tuple[Override, ...], *, plan: bool) -> None:
    loaded = load_config(file, overrides=overrides)
    if plan:
        make_plan(loaded)


def problems(file: Path, old: str = "", new: str = "", *overrides: Override, plan: bool = False) -> list[str]:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        use(file, overrides, plan=plan)
    return [str(p).replace(str(file.parent), "") for p in caught.value.problems]


def test_good_file_is_good_and_each_value_knows_where_it_came_from(file: Path) -> None:
    loaded = load_config(file, overrides=[override_from_option("policy.exit_margin_m=5")])
    find = loaded.sources.find
    assert loaded.config.policy.exit_margin_m == 5
    assert find(("bridge", "agency")) == f"{file}:3"
    assert find(("device", 1, "role")) == f"{file}:17"
    assert find(("order", 0, "protected", 0, "device")) == f"{file}:28"
    assert find(("policy", "exit_margin_m")) == "--set policy.exit_margin_m"
    assert find(("bridge", "id")) is None
    plan = make_plan(loaded)
    assert (len(plan.pairs), len(plan.zone_refs), len(plan.devices)) == (1, 2, 2)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("agency", "agancy", ":3: bridge.agancy: unknown key 'agancy'. Did you mean 'agency'?"),
        ("[broker]", "[brocker]", ":5: brocker: unknown key 'brocker'. Did you mean 'broker'?"),
        (
            'transport = "memory:a"',
            'transport = "memory:a"\ninterval_ms = 500',
            ":14: device[0].interval_ms: unknown key 'interval_ms'; the unit is part of the name. "
            "Next: give the value as 'interval_s'",
        ),
        (
            'transport = "memory:a"',
            'transport = "memory:a"\ninterval_s = "10 s"',
            ":14: device[0].interval_s: Expected `float`, got `str` '10 s'. "
            "Next: write the number alone; it is in seconds",
        ),
        (
            'transport = "memory:a"',
            'transport = "memory:a"\ninterval_s = 0',
            ":14: device[0].interval_s: Expected `float` >= 0.01, got 0",
        ),
        *(
            (
                "[zones]",
                f"[policy]\n{key} = {value}\n[zones]",
                f":9: policy.{key}: Expected `float` {bound}, got {value}",
            )
            for key, value, bound in [
                ("exit_margin_m", "inf", "<= 10000.0"),
                ("exit_margin_m", "nan", ">= 0.0"),
                ("heartbeat_interval_s", "1e-09", ">= 0.1"),
                ("status_interval_s", "inf", "<= 86400.0"),
                ("max_position_age_s", "nan", ">= 0.1"),
            ]
        ),
        (
            'transport = "memory:a"',
            'transport = "memory:a"\ninterval_s = inf',
            ":14: device[0].interval_s: Expected `float` <= 604800.0, got inf",
        ),
        (
            'transport = "memory:a"',
            'transport = "memory:a"\nsilence_buffer_s = -inf',
            ":14: device[0].silence_buffer_s: Expected `float` >= 0.01, got -inf",
        ),
        (
            'device = "pp-1"',
            'device = "pp-1"\n  pre_alert_m = inf',
            ":29: order[0].protected[0].pre_alert_m: Expected `float` <= 100000.0, got inf",
        ),
        (
            'agency = "a"',
            f'agency = "a"\nevent_type_prefix = "{"x" * 17_000}"',
            ":4: bridge.event_type_prefix: Expected `str` of length <= 128, got 'xxx",
        ),
        ("mqtt://127.0.0.1", "mqtt://broker..example", ":6: broker.url: 'broker..example' is not a host; expected"),
        ("mqtt://127.0.0.1", f"mqtt://{'a' * 70}.example", "is not a host; expected labels of 1 to 63"),
        ("mqtt://127.0.0.1", "mqtt://-", ":6: broker.url: '-' is not a host"),
        ("mqtt://127.0.0.1", "mqtt://[::1", ":6: broker.url: cannot be read: Invalid IPv6 URL"),
        (
            'role = "protected"',
            'role = "victim"',
            ":17: device[1].role: expected one of 'wearer', 'protected', got 'victim'",
        ),
        ('transport = "memory:a"', "", ":11: device[0]: the key 'transport' is missing"),
        ('id = "tag-1"', 'id = "tag.1"', ":12: device[0].id: 'tag.1' stands in topics; expected 1 to 64 letters"),
        ('id = "pp-1"', 'id = "tag-1"', ":16: device[1].id: 'tag-1' is the id of device[0] too; ids are unique"),
        ('"memory:b"', '"memory:a"', ":18: device[1].transport: 'memory:a' is read by 'tag-1' already"),
        (
            'wearer = "tag-1"',
            'wearer = "tag-2"',
            ":22: order[0].wearer: there is no device 'tag-2'. Did you mean 'tag-1'?",
        ),
        ('wearer = "tag-1"', 'wearer = "pp-1"', ":22: order[0].wearer: device 'pp-1' does not have role 'wearer'"),
        (
            'device = "pp-1"',
            'device = "pp-1"\n  alarm_m = 10',
            ":29: order[0].protected[0].alarm_m: rings must grow: contact_m <= alarm_m <= pre_alert_m, got 50, 10",
        ),
        ("mqtt://", "mqtt//", ":6: broker.url: expected mqtt://host:port"),
        ("mqtt://127", "mqqt://127", "Did you mean mqtt://?"),
        ("mqtt://127", "mqtt://u:p@127", ":6: broker.url: holds a user or password"),
        (":1883", ":99999", ":6: broker.url: the port is not a number below 65536"),
        ("[zones]", "[zones]\nfile2 = 1", ":9: zones.file2: unknown key 'file2'. Did you mean 'file'?"),
        ("[bridge]", "bridge = 1\n[x]", "bridge: expected a table, got 1"),
        ('agency = "a"', "agency = [", "not valid TOML"),
    ],
)
def test_mistakes_are_named_with_their_place(file: Path, old: str, new: str, expected: str) -> None:
    found = problems(file, old, new)
    assert any(expected in each for each in found), found


def test_all_mistakes_are_named_at_once(file: Path) -> None:
    text = file.read_text().replace("agency", "agancy").replace("wearer =", "waerer =").replace("role =", "rule =")
    file.write_text(text)
    assert len(problems(file)) == 4


def test_zone_that_is_not_in_the_file(file: Path) -> None:
    found = problems(file, '"z-in"', '"z-inn"', plan=True)
    assert found == ["/bridge.toml:23: order[0].zones[1]: zone 'z-inn' is not in zones.geojson. Did you mean 'z-in'?"]


def test_bad_zone_is_named_with_ring_and_vertex(file: Path) -> None:
    bowtie = [[[0.0, 0.0], [0.1, 0.1], [0.1, 0.0], [0.0, 0.1], [0.0, 0.0]]]
    bad = json.loads(json.dumps(ZONES))
    bad["features"][0]["geometry"] = {"type": "Polygon", "coordinates": bowtie}
    del bad["features"][0]["properties"]["radius_m"]
    (file.parent / "zones.geojson").write_text(json.dumps(bad))
    (found,) = problems(file, plan=True)
    assert "zone 'z-ex'" in found
    assert "/bridge.toml:9" in found
    assert "ring" in found
    assert "vertex" in found


def test_zone_name_that_would_not_fit_into_an_alert(file: Path) -> None:
    long = json.loads(json.dumps(ZONES))
    long["features"][0]["properties"]["name"] = "x" * 300
    (file.parent / "zones.geojson").write_text(json.dumps(long))
    (found,) = problems(file, plan=True)
    assert "zone 'z-ex': its id or name is longer than 256 characters" in found


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "broker.example.", "bröker.example", "a_b-c.d"])
def test_hosts_that_can_be_looked_up(host: str) -> None:
    assert url_problems(f"mqtt://{host}:1883") == []


def test_device_in_more_pairs_than_fit_its_status(file: Path) -> None:
    text = file.read_text()
    for n in range(70):
        text += f'  [[order.protected]]\n  device = "p{n}"\n'
    devices = "".join(f'[[device]]\nid = "p{n}"\nrole = "protected"\ntransport = "memory:{n}"\n' for n in range(70))
    file.write_text(text.replace("[[order]]", f"{devices}[[order]]", 1))
    (found,) = problems(file)
    assert "device 'tag-1' stands in 71 pairs; expected at most 64" in found


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('ca_file = "junk"', "broker.ca_file: {folder}/junk holds no certificate authority in PEM"),
        ('cert_file = "junk"\nkey_file = "junk"', "broker.cert_file: {folder}/junk and {folder}/junk are not a certif"),
        ('username = "u"\npassword_file = "junk"', "broker.password_file: {folder}/junk is not UTF-8 text (byte 0)"),
        ('ca_file = "nothing"', "broker.ca_file: {folder}/nothing cannot be read"),
    ],
)
def test_files_that_do_not_hold_what_they_should(file: Path, lines: str, expected: str) -> None:
    (file.parent / "junk").write_bytes(b"\xff\xfe junk")
    file.write_text(file.read_text().replace('url = "mqtt://127.0.0.1:1883"', f'url = "mqtts://localhost"\n{lines}'))
    loaded = load_config(file)
    assert loaded.config.broker.url is not None
    with pytest.raises(ConfigError) as caught:
        mqtt_settings(loaded, loaded.config.broker.url, {})
    assert expected.format(folder=file.parent) in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            'url = "mqtt://broker.example"',
            ":6: broker.url: mqtt://broker.example is not encrypted: positions and calls",
        ),
        ('url = "mqtt://[2001:db8::1]:1883"', "broker.url: mqtt://[2001:db8::1]:1883 is not encrypted"),
        (
            'url = "mqtts://a.example"\nsecond_urls = ["mqtt://10.1.2.3"]',
            ":7: broker.second_urls[0]: mqtt://10.1.2.3 is not encrypted",
        ),
        (
            'url = "mqtts://a.example"\nmore_urls = ["mqtts://b.example", "mqtts://u@c.example"]',
            ":7: broker.more_urls[1]: holds a user or password",
        ),
        ('url = "mqtts://a.example"\nverify = false', ":7: broker.verify: mqtts://a.example is not on this machine"),
        (
            'url = "mqtts://localhost"\nsecond_urls = ["mqtts://b.example"]\nverify = false',
            "broker.verify: mqtts://b.example is not on this machine",
        ),
        (
            'url = "mqtts://a.example"\nmore_urls = ["mqtts://A.example:8883"]',
            "broker.more_urls[0]: mqtts://A.example:8883 is named as url too",
        ),
        (
            'url = "mqtts://a.example"\nsecond_urls = ["mqtts://a.example"]',
            "broker.second_urls[0]: mqtts://a.example is named as url too",
        ),
        (
            'url = "mqtts://a.example"\nmore_urls = ["mqtt://b.example"]\nallow_plain = true',
            "broker.more_urls: one path is encrypted at all its endpoints, or at none",
        ),
        ('more_urls = ["mqtts://b.example"]', "broker.more_urls: are further endpoints of broker.url. Next: name"),
        (
            f'url = "mqtts://a.example"\nmore_urls = {[f"mqtts://n{n}.example" for n in range(16)]}',
            "broker.more_urls: expected at most 16 endpoints, got 17",
        ),
        ('url = "mqtt://localhost"\nca_file = "ca.pem"', "broker.ca_file: is for TLS only"),
    ],
)
def test_ways_to_a_broker_that_are_refused(file: Path, lines: str, expected: str) -> None:
    found = problems(file, 'url = "mqtt://127.0.0.1:1883"', lines)
    assert any(expected in each for each in found), found


def test_paths_have_the_endpoints_in_their_order_and_sessions_of_their_own(file: Path) -> None:
    lines = (
        'url = "mqtt://a.example"\nmore_urls = ["mqtt://b.example:1884"]\nsecond_urls = ["mqtts://localhost"]\n'
        'verify = false\nallow_plain = true\nusername = "u"'
    )
    text = file.read_text().replace('url = "mqtt://127.0.0.1:1883"', lines)
    file.write_text(text.replace('agency = "a"', 'agency = "a"\npartition = "2/8"'))
    main, second = path_settings(load_config(file), {"TAGRIG_BROKER_PASSWORD": "secret"})
    assert [each.url for each in main.endpoints] == ["mqtt://a.example:1883", "mqtt://b.example:1884"]
    assert [each.url for each in second.endpoints] == ["mqtts://localhost:8883"]
    assert {each.client_id for each in main.endpoints} == {"tagrig-bridge-1-2of8"}
    assert second.endpoints[0].client_id == "tagrig-bridge-1-2of8-second"
    assert {each.password for each in (*main.endpoints, *second.endpoints)} == {"secret"}
    assert second.endpoints[0].tls is not None
    assert not second.endpoints[0].tls.verify
    assert plain_endpoints((main, second)) == ("mqtt://a.example:1883", "mqtt://b.example:1884")


@pytest.mark.parametrize(("engine", "version"), [("nats", "3.1.1"), ("mosquitto", "5")])
def test_embedded_broker_is_spoken_to_as_it_can(file: Path, engine: str, version: str) -> None:
    file.write_text(file.read_text().replace('url = "mqtt://127.0.0.1:1883"', f'embedded = "{engine}"'))
    (main,) = path_settings(load_config(file), {}, "mqtt://127.0.0.1:4000")
    assert [(each.port, each.version) for each in main.endpoints] == [(4000, version)]


@pytest.mark.parametrize(
    ("partition", "expected"),
    [
        ("9/8", "bridge.partition: expected a part of how many, such as 2/8, got '9/8'"),
        ("1-8", "bridge.partition: expected a part of how many, such as 2/8"),
        ("0/8", "bridge.partition: expected a part of how many, such as 2/8"),
    ],
)
def test_parts_that_are_none(file: Path, partition: str, expected: str) -> None:
    found = problems(file, 'agency = "a"', f'agency = "a"\npartition = "{partition}"')
    assert any(expected in each for each in found), found


def test_a_number_out_of_range_in_an_override_is_told_as_a_number(file: Path) -> None:
    (found,) = problems(file, "", "", override_from_option("outbox.retention_days=-1"))
    assert "`float` >= 0.01, got -1" in found
    (found,) = problems(file, "", "", override_from_option("commands.window_s=0"))
    assert "`float` >= 1.0, got 0" in found and "unit" not in found
    (found,) = problems(file, "", "", override_from_option("broker.second_urls=mqtts://h"))
    assert 'in brackets, ["mqtts://h"]' in found


def test_name_that_is_too_long_with_its_part(file: Path) -> None:
    (found,) = problems(file, 'agency = "a"', f'agency = "a"\npartition = "1/2"\nid = "{"x" * 62}"')
    assert f"bridge.id: with its part it is '{'x' * 62}-1of2'; expected 1 to 64 letters" in found


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "key.pem: No such file"), (b"junk", "expected an Ed25519 public key in PEM")],
)
def test_key_of_the_provider_that_cannot_be_used(file: Path, content: bytes | None, expected: str) -> None:
    if content is not None:
        (file.parent / "key.pem").write_bytes(content)
    file.write_text(file.read_text() + '[commands]\nprovider_key_file = "key.pem"\n')
    with pytest.raises(ConfigError, match=expected) as caught:
        find_provider_key(load_config(file))
    assert f"{file}:" in str(caught.value)
    assert "commands.provider_key_file" in str(caught.value)


def test_missing_files(file: Path, tmp_path: Path) -> None:
    assert "cannot be read (No such file" in problems(file, "zones.geojson", "zone.geojson", plan=True)[0]
    with pytest.raises(ConfigError, match=r"nothing\.toml: cannot be read: No such file"):
        load_config(tmp_path / "nothing.toml")


def test_environment_and_set_override_in_this_order(file: Path) -> None:
    environment = {
        "TAGRIG_BROKER__URL": "mqtts://10.0.0.1",
        "TAGRIG_BROKER_PASSWORD": "x",
        "TAGRIG_CORPUS": "y",
        "PATH": "z",
    }
    overrides = overrides_from_environment(environment)
    loaded = load_config(file, overrides=overrides)
    assert loaded.config.broker.url == "mqtts://10.0.0.1"
    assert loaded.sources.find(("broker", "url")) == "TAGRIG_BROKER__URL"
    loaded = load_config(file, overrides=[*overrides, override_from_option("broker.url=mqtts://10.0.0.2")])
    assert loaded.config.broker.url == "mqtts://10.0.0.2"


def test_override_of_a_device_by_id_or_place(file: Path) -> None:
    for path in ("device.pp-1.interval_s", "device.1.interval_s"):
        loaded = load_config(file, overrides=[override_from_option(f"{path}=5")])
        assert loaded.config.device[1].interval_s == 5
    (found,) = problems(file, "", "", override_from_option("device.pp-2.interval_s=5"))
    assert found.startswith("--set device.pp-2.interval_s: device.pp-2.interval_s: no entry 'pp-2'")


def test_override_with_text_that_looks_like_a_number(file: Path) -> None:
    loaded = load_config(
        file, overrides=[override_from_option("broker.mqtt_version=5"), override_from_option("bridge.id=7")]
    )
    assert (loaded.config.broker.mqtt_version, loaded.config.bridge.id) == ("5", "7")


def test_unknown_override_is_refused_where_it_stands(file: Path) -> None:
    assert problems(file, "", "", override_from_option("broker.uri=x")) == [
        "--set broker.uri: broker.uri: unknown key 'uri'. Did you mean 'url'?"
    ]
    with pytest.raises(ConfigError, match="expected key=value"):
        override_from_option("broker.url")


def test_without_orders_every_wearer_has_every_zone(file: Path) -> None:
    text = file.read_text()
    file.write_text(text[: text.index("[[order]]")])
    plan = make_plan(load_config(file))
    assert plan.assigned is not None
    assert plan.assigned.owner_idx.tolist() == [0, 0]


def test_lines_of_odd_but_valid_toml() -> None:
    text = '"quoted key" = 1\na.b = 2\n[c]\nlong = """\nx = 1\n[d]\n"""\ny = 3\n[[e]]\n[[e]]\nz = { w = 1 }\n'
    lines = scan_lines(text)
    assert lines[("quoted key",)] == 1
    assert lines[("a", "b")] == 2
    assert lines[("c", "y")] == 8
    assert ("d",) not in lines
    assert lines[("e", 1, "z")] == 11
