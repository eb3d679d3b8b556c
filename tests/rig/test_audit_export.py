"""The pack for a court: made from real records of a bridge, repeatable, and refused where it must not be."""

import csv
import io
import json
import shutil
import sqlite3
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner, Result

from bridge.orders.book import saved_change
from bridge.publisher import Lane, Message
from protocols.mqtt.commands import Order
from protocols.mqtt.messages import AlertEvent, PositionEvent, decode
from protocols.mqtt.times import utc_text
from rig.cli.audit import command
from tests.bridge.bench import T0_UTC_NS, S
from tests.rig.audit_scene import Fate, Scene

FROM, UNTIL = utc_text(T0_UTC_NS), utc_text(T0_UTC_NS + 700 * S)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = Scene(tmp_path_factory.mktemp("scene"))
    scene.play()
    found = scene.bench.alerts()[0]["id"]
    scene.bench.pipeline.acknowledge(found, "sergeant-7", scene.bench.clock.utc_ns())
    scene.deliver(Fate(sendings=2))
    scene.end()
    return scene.folder


@pytest.fixture
def records(played: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(played, tmp_path / "records"))


def export(records: Path, out: Path, *options: str, tag: str = "tag", start: str = FROM, end: str = UNTIL) -> Result:
    arguments = ["export", str(records / "bridge.toml"), "--tag", tag, "--from", start, "--to", end, "--out", str(out)]
    return CliRunner().invoke(command, [*arguments, *options])


def at(second: int) -> str:
    return utc_text(T0_UTC_NS + second * S)


def table(out: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / name).read_text())))


def test_the_pack_answers_what_a_witness_is_asked(records: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    run = export(records, out)
    assert run.exit_code == 0, run.output
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    (capture,) = (records / "captures").iterdir()
    assert names == {
        "statement.html",
        "points.csv",
        "events.csv",
        "messages.jsonl",
        "disclosures.csv",
        "map.svg",
        "custody.html",
        "manifest.json",
        f"originals/{capture.name}",
    }
    statement = (out / "statement.html").read_text()
    for question, answer in (
        ("Was the strap opened or cut?", "yes, once"),
        ("Was the body (case) of the device opened?", "none recorded"),
        ("Was an exclusion zone entered?", "yes, once"),
        ("Was an inclusion zone left?", "none recorded"),
        ("Was the device not heard, or without a position?", "yes, 2 times"),
        ("Was a curfew kept?", "not monitored"),
    ):
        assert f"<td>{question}</td><td>{answer}</td>" in statement, question
    assert "<td>Median interval between points</td><td>10 s</td>" in statement
    assert "<td>Longest interval</td><td>130 s</td>" in statement
    assert "Disclosure log of b: whole" in statement
    assert "http" not in statement.replace("http://www.w3.org", "")


def test_each_point_has_its_time_satellites_battery_and_tamper_state(records: Path, tmp_path: Path) -> None:
    export(records, tmp_path / "pack")
    points = table(tmp_path / "pack", "points.csv")
    assert len(points) == 48
    assert {point["satellites"] for point in points} == {"9"}
    assert {point["battery_pct"] for point in points} == {"66"}
    assert {point["in_capture"] for point in points} == {"yes"}
    assert all(point["delivered_utc"] and point["event_id"] for point in points)
    # A cycle's status comes behind its fix: the state is as of the cycle before.
    opened = [point["time_utc"] for point in points if point["strap"] == "open"]
    assert (opened[0], opened[-1]) == (at(200), at(250))
    assert [point["sequence"] for point in points] == [f"{n:020d}" for n in range(1, 49)]


def test_events_have_event_received_and_acted_time(records: Path, tmp_path: Path) -> None:
    export(records, tmp_path / "pack")
    events = table(tmp_path / "pack", "events.csv")
    assert sorted((event["detected_utc"], event["step"], event["kind"]) for event in events) == [
        (at(120), "Alert", "exclusion_zone_entered"),
        (at(200), "Alert", "strap_tamper"),
        (at(260), "Cancel", "strap_tamper"),
        (at(301), "Alert", "comms_lost"),
        (at(301), "Alert", "location_lost"),
        (at(420), "Cancel", "comms_lost"),
        (at(420), "Cancel", "location_lost"),
    ]
    first = events[0]
    assert first["occurred_utc"] <= first["detected_utc"] <= first["kept_utc"] <= first["broker_took_utc"]
    assert (first["receipt"], first["acknowledged_by"], first["about"]) == ("received", "sergeant-7", "School")
    assert first["acknowledged_utc"]


def test_the_messages_themselves_are_in_it_and_the_tables_follow_from_them(records: Path, tmp_path: Path) -> None:
    export(records, tmp_path / "pack")
    bodies = (tmp_path / "pack" / "messages.jsonl").read_bytes().splitlines()
    alerts = [decode(body, AlertEvent) for body in bodies if b".alert.v1" in body]
    positions = [decode(body, PositionEvent) for body in bodies if b".position.v1" in body]
    assert {event.id for event in alerts} == {row["event_id"] for row in table(tmp_path / "pack", "events.csv")}
    assert {event.id for event in positions} == {row["event_id"] for row in table(tmp_path / "pack", "points.csv")}


def test_disclosures_agree_with_what_was_kept(records: Path, tmp_path: Path) -> None:
    export(records, tmp_path / "pack")
    rows = table(tmp_path / "pack", "disclosures.csv")
    assert {row["to"] for row in rows} == {"mqtts://provider.example:8883"}
    assert {row["purpose"] for row in rows} == {"supervision of a court order"}
    assert not any("/protected/" in row["topic"] for row in rows)
    statement = (tmp_path / "pack" / "statement.html").read_text()
    kept = len(table(tmp_path / "pack", "points.csv")) + len(table(tmp_path / "pack", "events.csv"))
    agree = int(statement.partition(" logged disclosures have")[0].rpartition(">")[2])
    assert agree >= kept
    assert "kept here; 0 have another" in statement


def test_no_pack_of_a_wearer_holds_where_she_was(records: Path, tmp_path: Path) -> None:
    export(records, tmp_path / "pack")
    hers = f"{51.0 + 3000 / 111_200:.4f}"
    for path in (tmp_path / "pack").rglob("*"):
        if path.is_file() and path.parent.name != "originals":
            text = path.read_text()
            assert hers not in text, path.name
            assert "protected:her" not in text, path.name


def test_the_same_records_give_the_same_pack(records: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert export(records, tmp_path / name).exit_code == 0
    one, two = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    assert [str(name) for name in one if one[name] != two[name]] == ["manifest.json"]


def test_a_pack_is_verified_by_its_manifest(records: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    export(records, out)
    assert CliRunner().invoke(command, ["verify", str(out)]).exit_code == 0
    (out / "points.csv").write_bytes((out / "points.csv").read_bytes().replace(b",9,", b",4,", 1))
    (out / "map.svg").unlink()
    (out / "more.txt").write_text("x")
    run = CliRunner().invoke(command, ["verify", str(out), "--json"])
    assert run.exit_code == 1
    wrong = json.loads(run.output)["wrong"]
    assert [each.partition(":")[0] for each in sorted(wrong)] == ["map.svg", "more.txt", "points.csv"]


def test_the_map_is_a_picture_of_all_points_with_the_zone(records: Path, tmp_path: Path) -> None:
    export(records, tmp_path / "pack")
    root = ElementTree.fromstring((tmp_path / "pack" / "map.svg").read_bytes())
    tag = "{http://www.w3.org/2000/svg}"
    circles = [each for each in root.iter(f"{tag}circle") if each.get("r") == "2"]
    assert len(circles) == 48
    for each in circles:
        assert 0 <= float(each.get("cx", "-1")) <= 1000
        assert 0 <= float(each.get("cy", "-1")) <= 700
    texts = [each.text or "" for each in root.iter(f"{tag}text")]
    assert "exclusion zone School" in texts
    assert len(list(root.iter(f"{tag}polyline"))) == 2, "broken at the gap"


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (UNTIL, FROM, "expected the start before the end"),
        (FROM, FROM, "expected the start before the end"),
        ("2026-11-22", UNTIL, "no time with an offset"),
        (FROM, "tomorrow", "no time with an offset"),
    ],
)
def test_a_period_that_is_none_is_refused(records: Path, tmp_path: Path, start: str, end: str, why: str) -> None:
    run = export(records, tmp_path / "pack", start=start, end=end)
    assert run.exit_code == 2
    assert why in run.output
    assert not (tmp_path / "pack").exists()


def test_what_must_not_be_made_is_refused(records: Path, tmp_path: Path) -> None:
    hers = export(records, tmp_path / "hers", tag="her")
    assert (hers.exit_code, "protected person's device" in hers.output) == (2, True)
    assert export(records, tmp_path / "hers", "--protected-person", tag="her").exit_code == 0
    nobody = export(records, tmp_path / "nobody", tag="nobody")
    assert (nobody.exit_code, "nothing is recorded" in nobody.output) == (2, True)
    again = export(records, tmp_path / "hers")
    assert (again.exit_code, "is not empty" in again.output) == (2, True)
    missing = export(records, tmp_path / "x", "--captures", str(tmp_path / "nowhere"))
    assert (missing.exit_code, "no such folder" in missing.output) == (2, True)


def test_a_broken_log_is_told_in_the_statement_and_by_the_exit_code(records: Path, tmp_path: Path) -> None:
    (log,) = (records / "disclosures").glob("*.jsonl")
    log.write_bytes(log.read_bytes().replace(b'"n":50,', b'"n":51,', 1))
    run = export(records, tmp_path / "pack")
    assert run.exit_code == 1
    assert "BROKEN" in (tmp_path / "pack" / "statement.html").read_text()
    assert ":50:" in run.output


def test_a_message_that_was_changed_after_it_was_sent_is_counted(records: Path, tmp_path: Path) -> None:
    db = sqlite3.connect(records / "outbox" / "outbox.sqlite3")
    number, body = db.execute("SELECT number, body FROM row WHERE topic LIKE '%/tag/alert' ORDER BY number").fetchone()
    db.execute("UPDATE row SET body = ? WHERE number = ?", (body.replace(b'"Extreme"', b'"Minor"'), number))
    db.commit()
    db.close()
    run = export(records, tmp_path / "pack")
    assert run.exit_code == 1
    assert "kept here; 1 have another" in (tmp_path / "pack" / "statement.html").read_text()


def test_points_outside_the_time_of_an_order_are_not_released(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    order = msgspec.convert(
        {
            "id": "o-1",
            "version": 1,
            "wearer": "tag",
            "valid_from": FROM,
            "valid_until": utc_text(T0_UTC_NS + 100 * S),
            "zones": {
                "type": "FeatureCollection",
                "features": [
                    {
                        "type": "Feature",
                        "id": "z-loaded",
                        "properties": {"purpose": "exclusion", "radius_m": 50},
                        "geometry": {"type": "Point", "coordinates": [-6.5, 51.0]},
                    }
                ],
            },
            "protected": [],
        },
        Order,
        strict=False,
    )
    saves = saved_change(None, order)
    kept = Message(
        topic="t/x/status", body=b"", lane=Lane.ALERT, owner="", event_id="e", source="s", sequence=1, saves=saves
    )
    scene.outbox.write([kept], 0)
    scene.play()
    scene.end()
    assert export(tmp_path, tmp_path / "pack").exit_code == 0
    assert len(table(tmp_path / "pack", "points.csv")) == 10
    assert "exclusion zone z-loaded" in (tmp_path / "pack" / "map.svg").read_text()
    later = ("--from", utc_text(T0_UTC_NS + 200 * S), "--to", UNTIL)
    assert export(tmp_path, tmp_path / "later", *later).exit_code == 0
    assert "z-loaded" not in (tmp_path / "later" / "map.svg").read_text()
    assert "38 points lie outside the time of every order" in (tmp_path / "pack" / "statement.html").read_text()
    assert export(tmp_path, tmp_path / "whole", "--whole-period").exit_code == 0
    assert len(table(tmp_path / "whole", "points.csv")) == 48


def test_it_reads_the_outbox_of_a_bridge_that_runs(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for _ in range(20):
        scene.report(north_m=20, strap_open=False)
        scene.bench.wait(10)
        scene.deliver()
    assert export(tmp_path, tmp_path / "one").exit_code == 0
    assert len(table(tmp_path / "one", "points.csv")) == 20
    scene.report(north_m=20, strap_open=False)
    scene.bench.wait(10)
    scene.deliver()
    assert export(tmp_path, tmp_path / "two").exit_code == 0
    assert len(table(tmp_path / "two", "points.csv")) == 21
    scene.end()
