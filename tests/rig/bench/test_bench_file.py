"""Bench files: what they say, what is refused and how, and which role plays whom."""

from pathlib import Path

import pytest

from devices.ble_scan import HeardTag, TagKind
from devices.probe import Speaks
from rig.bench.errors import BenchFileError, RoleAbsentError
from rig.bench.from_scan import FoundPort, bench_from_scan
from rig.bench.load import bench_toml, emulated_bench, load_bench, parse_bench
from rig.bench.roles import assign, check_features, person_roles
from rig.bench.schema import BenchFile, CommandPowerTable
from rig.scenario import load_scenario

STORY = Path(__file__).parents[3] / "rig" / "demo" / "story.toml"

DESK = """
[bench]
name = "desk-2"
notes = "by the window"

[devices.offender]
type = "ankle_tag"
transport = "serial:by-serial=FT9XQ2LB?baud=9600"
expect_firmware = "2.4.*"
features = ["gnss", "strap"]

[devices.offender.power]
kind = "command"
on = ["uhubctl", "-l", "{location}", "-a", "on"]
off = ["uhubctl", "-l", "{location}", "-a", "off"]
port_vanishes = true

[devices.victim]
type = "smart_tag"
transport = "emulated:"

[devices.her-receiver]
of = "victim"
type = "gnss_receiver"
transport = "replay:walk.nmea?pace=max"

[broker]
url = "mqtt://127.0.0.1:0"
"""


def parse(text: str, folder: Path = Path()) -> BenchFile:
    return parse_bench(text, name="desk.toml", folder=folder)


@pytest.fixture
def desk(tmp_path: Path) -> BenchFile:
    (tmp_path / "walk.nmea").write_text("$GPRMC\r\n")
    (tmp_path / "desk.toml").write_text(DESK)
    return load_bench(tmp_path / "desk.toml")


def test_a_file_maps_roles_to_hardware_emulators_and_recordings(desk: BenchFile) -> None:
    assert {role: table.kind for role, table in desk.devices.items()} == {
        "offender": "real",
        "victim": "emulated",
        "her-receiver": "replay",
    }
    assert desk.kind == "mixed"
    assert isinstance(desk.devices["offender"].power, CommandPowerTable)
    assert {"gnss", "strap", "power", "ble", "real", "broker_control"} <= desk.features
    assert not {"case", "truth", "virtual_time", "beacon"} & desk.features
    assert check_features(desk, ["gnss", "flash", "case"]) == ["flash", "case"]


def test_what_is_written_reads_the_same(desk: BenchFile, tmp_path: Path) -> None:
    text = bench_toml(desk, about=("first line", ""))
    assert text.startswith("# first line\n#\n")
    assert parse(text, tmp_path) == desk


OFFENDER = '[bench]\nname = "d"\n[devices.offender]\ntype = "ankle_tag"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "desk.toml: bench: missing"),
        ("[bench", "desk.toml: not TOML"),
        ('[bench]\nname = "d"\nlease = 3', "desk.toml: bench.lease: unknown key; did you mean 'lease_s'? Known:"),
        ('[bench]\nname = "d"\nqqqq = 3', "desk.toml: bench.qqqq: unknown key. Known: name,"),
        (OFFENDER + 'transport = "emulated:"\nfeatures = ["qqqq"]', "features: 'qqqq' is not known. Known: "),
        ('[bench]\nname = "d"\nlease_s = "3"', "desk.toml: bench.lease_s: Expected `float`, got `str`"),
        ('[bench]\nname = "d"\nlease_s = inf', "desk.toml: bench.lease_s: Expected `float` <= 3600"),
        ('[bench]\nname = "d"\n[device.x]', "desk.toml: device: unknown key; did you mean 'devices'?"),
        ('[bench]\nname = "d"\n[devices.Offender]', "devices.Offender: 'Offender' is no role"),
        (OFFENDER, "desk.toml: devices.offender: Object missing required field `transport`"),
        (OFFENDER + 'transport = "emulated:"\nfirmware = "1"', "devices.offender.firmware: unknown key; did you mean"),
        (OFFENDER + 'transport = "/dev/ttyUSB0"', "devices.offender.transport: '/dev/ttyUSB0': a path alone"),
        (OFFENDER + 'transport = "seriel:/dev/ttyUSB0"', "did you mean 'serial'?"),
        (OFFENDER + 'transport = "serial:/dev/ttyUSB0?bad=1"', "unknown option 'bad'; did you mean 'baud'?"),
        (
            OFFENDER + 'transport = "replay:none.nmea"',
            "devices.offender.transport: 'replay:none.nmea': there is no file",
        ),
        (OFFENDER + 'transport = "ble:C0:DE:00:00:00:01"', "a device of type ankle_tag is read from a line"),
        (OFFENDER + 'transport = "memory:x"', "lives in one process only"),
        (OFFENDER + 'transport = "emulated:ble"', "expected emulated: and nothing behind it"),
        (OFFENDER + 'transport = "emulated:"\nexpect_firmware = "1"', "expect_firmware is for hardware"),
        (
            OFFENDER + 'transport = "emulated:"\nfeatures = ["gns"]',
            "devices.offender.features: 'gns' is not known; did you",
        ),
        (
            OFFENDER + 'transport = "emulated:"\npower = {kind = "manual"}',
            "devices.offender.power: emulated devices have",
        ),
        (OFFENDER + 'transport = "pty:/x"\npower = {kind = "relay"}', "power.kind: expected one of serial, command"),
        (
            OFFENDER + 'transport = "pty:/x"\npower = {kind = "serial"}',
            "devices.offender.power: Object missing required",
        ),
        (
            OFFENDER + 'transport = "pty:/x"\npower = {kind = "command", on = ["a", "{usb}"], off = ["b"]}',
            "devices.offender.power.on: '{usb}': unknown field 'usb'. Known: location, port, role, serial",
        ),
        (OFFENDER + 'transport = "serial:/x"\npower = {kind = "emulated"}', "emulated power makes the port"),
        (OFFENDER + 'transport = "pty:/x"\nflash = {kind = "smp", image = "no.bin"}', "flash.image: there is no file"),
        ('[bench]\nname = "d"\n[devices.victim]\ntype = "smart_tag"\ntransport = "serial:/x"', "reached by Bluetooth"),
        ('[bench]\nname = "d"\n[devices.victim]\ntype = "smart_tag"\ntransport = "ble:rolling"', "add key_file=PATH"),
        ('[bench]\nname = "d"\n[broker]\nurl = "http://x"', "broker.url: 'http://x': each run has a broker of its own"),
        (
            OFFENDER + 'transport = "pty:/x"\n[devices.offender-2]\ntype = "ankle_tag"\ntransport = "pty:/x?flush=yes"',
            "devices.offender-2.transport: pty:/x is that of devices.offender",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(BenchFileError) as caught:
        parse(text)
    assert told in str(caught.value)


def test_a_file_that_is_not_there_names_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(BenchFileError, match="tagrig scan --write"):
        load_bench(tmp_path / "none.toml")


def test_roles_of_a_scenario_are_found_by_order_and_by_of() -> None:
    scenario = load_scenario(STORY)
    wearers = [p for p in scenario.person if p.role == "wearer"]
    roles = person_roles(scenario)
    assert roles["offender"] is wearers[0]
    victim = roles["victim"]
    bench = parse(
        '[bench]\nname = "d"\n[devices.victim]\ntype = "smart_tag"\ntransport = "ble:C0:DE:00:00:00:01"\n'
        '[devices.her-receiver]\nof = "victim"\ntype = "gnss_receiver"\ntransport = "serial:/dev/ttyUSB7"\n'
        '[devices.offender]\ntype = "ankle_tag"\ntransport = "emulated:"\n'
    )
    assigned = {each.device: (each.role, each.person, each.kind) for each in assign(bench, scenario)}
    assert assigned[wearers[0].device] == ("offender", "offender", "emulated")
    assert assigned[victim.device] == ("her-receiver", "victim", "real")
    assert victim.smart_tag is not None
    assert assigned[victim.smart_tag.id] == ("victim", "victim", "real")


def test_a_role_that_a_bench_has_not_is_named_or_emulated() -> None:
    scenario = load_scenario(STORY)
    bench = parse(OFFENDER + 'transport = "emulated:"')
    with pytest.raises(RoleAbsentError, match=r"of victim\. Next: add a table with"):
        assign(bench, scenario)
    everything = assign(emulated_bench(), scenario)
    assert {each.kind for each in everything} == {"emulated"}
    assert len(everything) == len(scenario.person) + sum(p.smart_tag is not None for p in scenario.person)
    assert {"truth", "virtual_time", "gnss", "warning"} <= emulated_bench().features


def test_a_scan_gives_a_first_file() -> None:
    ports = [
        FoundPort(spec="serial:by-serial=A?baud=9600", speaks=Speaks.TAG, firmware="2.4.1", notes="FTDI"),
        FoundPort(spec="serial:/dev/ttyUSB1?baud=4800", speaks=Speaks.NMEA),
        FoundPort(spec="serial:/dev/ttyUSB2?baud=4800", speaks=Speaks.SILENT),
        FoundPort(spec="serial:by-serial=B?baud=9600", speaks=Speaks.TAG, firmware=""),
    ]

    def heard(kind: TagKind, spec: str | None) -> HeardTag:
        return HeardTag(
            address="C0:DE:00:00:00:01",
            kind=kind,
            name="her's",
            rssi_dbm=-60,
            rssi_low_dbm=None,
            rssi_high_dbm=None,
            n_reports=1,
            spec=spec,
        )

    tags = [heard(TagKind.BEACON, None), heard(TagKind.SMART_TAG, "ble:C0:DE:00:00:00:01")]
    file = bench_from_scan("desk", ports, tags)
    assert {role: (table.of, table.transport, table.expect_firmware) for role, table in file.devices.items()} == {
        "offender": (None, "serial:by-serial=A?baud=9600", "2.4.1"),
        "offender-2": (None, "serial:by-serial=B?baud=9600", None),
        "victim-receiver": ("victim", "serial:/dev/ttyUSB1?baud=4800", None),
        "victim": (None, "ble:C0:DE:00:00:00:01", None),
    }
    assert parse(bench_toml(file)) == file
