"""Wearer and protected person: bands, unknown, and the privacy wall."""

import json
import re
from pathlib import Path

import pytest

from tests.bridge.bench import LAT, METRE_DEG, Bench

BREACH = "proximity_breach"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    # No zones: only the pair is judged.
    return Bench(tmp_path, zones="zones = []")


def bands(bench: Bench, side: str = "tag/tag") -> list[tuple[str, str]]:
    field = "protected_party" if side.startswith("tag") else "proximity"
    return [(d["msg_type"], d[field]["band"]) for d in bench.of_kind(BREACH, side)]


def approach(bench: Bench, *distances_m: float) -> None:
    bench.fix("her", 0)
    for distance_m in distances_m:
        bench.wait(1)
        bench.fix("her", 0)
        bench.fix("tag", distance_m)


def test_bands_rise_and_clear(bench: Bench) -> None:
    approach(bench, 2000, 900, 400, 300, 30, 700, 2000)
    expected = [
        ("Alert", "pre_alert"),
        ("Update", "alarm"),
        ("Update", "contact"),
        ("Update", "pre_alert"),
        ("Cancel", "clear"),
    ]
    assert bands(bench) == expected
    assert bands(bench, "protected/her") == expected
    severities = [d["severity"] for d in bench.of_kind(BREACH)]
    assert severities == ["Moderate", "Extreme", "Extreme", "Moderate", "Moderate"]


def test_first_known_nearness_is_an_alert(bench: Bench) -> None:
    approach(bench, 30)
    assert bands(bench) == [("Alert", "contact")]


def test_she_may_be_the_one_who_moves(bench: Bench) -> None:
    bench.fix("tag", 2000)
    bench.fix("her", 0)
    bench.fix("her", 1900)
    assert bands(bench) == [("Alert", "alarm")]
    assert bench.alerts()[0]["data"]["trace"]["device_id"] == "her"


def test_her_side_has_distance_and_bearing(bench: Bench) -> None:
    approach(bench, 400)
    near = bench.of_kind(BREACH, "protected/her")[0]["proximity"]
    assert near["wearer"] == "tag"
    assert near["distance_m"] == pytest.approx(400, rel=0.005)
    assert near["bearing_deg"] == pytest.approx(0.0, abs=0.5)
    assert bench.last_status("protected/her")["pairs"] == [near]


def test_unknown_is_published_as_a_state_and_never_as_clear(bench: Bench) -> None:
    assert bench.told() == []
    approach(bench, 400)
    assert bench.last_status()["pairs"] == [{"ref": "her", "band": "alarm"}]
    for _ in range(130):
        bench.wait(1)
        bench.fix("tag", 400)
    # Her position is too old now; his alert is not over.
    assert bench.last_status()["pairs"] == [{"ref": "her", "band": "unknown"}]
    assert bands(bench) == [("Alert", "alarm"), ("Update", "unknown")]
    assert bench.of_kind(BREACH)[-1]["certainty"] == "Unknown"
    assert BREACH in bench.active()
    bench.fix("her", 0)
    assert bands(bench)[-1] == ("Update", "alarm")


def test_unknown_from_the_start_raises_nothing_and_says_so(bench: Bench) -> None:
    bench.fix("tag", 0)
    assert bands(bench) == []
    assert bench.last_status()["pairs"] == [{"ref": "her", "band": "unknown"}]


def test_clear_pair_that_becomes_unknown_says_so(bench: Bench) -> None:
    approach(bench, 3000)
    assert bench.last_status()["pairs"] == [{"ref": "her", "band": "clear"}]
    bench.wait(121)
    assert bench.last_status()["pairs"] == [{"ref": "her", "band": "unknown"}]
    assert bands(bench) == []


def test_stored_positions_bring_nobody_nearer(bench: Bench) -> None:
    bench.fix("her", 0)
    bench.fix("tag", 3000)
    bench.wait(5)
    bench.fix("tag", 10, t_s=3, stored=True)
    assert bands(bench) == []


def test_no_wearer_side_message_holds_what_would_find_her(bench: Bench) -> None:
    """Over all messages of a long approach, as text: neither her coordinates nor the distance nor the bearing."""
    for n in range(60):
        bench.wait(1)
        bench.fix("her", 7.0 + 0.1 * n)
        bench.fix("tag", 2000 - 40.0 * n)
        bench.status("her", battery_pct=77)
        bench.status("tag")
    bench.wait(300)
    her_side = [m for m in bench.messages if m.topic.startswith("em/v1/t/protected/her/")]
    his_side = [m for m in bench.messages if m.topic.startswith("em/v1/t/tag/tag/")]
    control = [m for m in bench.messages if m.topic == "em/v1/t/control/tag/incident"]
    assert len(her_side) + len(his_side) + len(control) == len(bench.messages)
    assert len(control) > 1
    assert len(her_side) > 60
    her_latitudes = {repr(LAT + (7.0 + 0.1 * n) * METRE_DEG)[:11] for n in range(60)}
    distances = {
        str(json.loads(m.body)["data"]["proximity"]["distance_m"]) for m in her_side if b'"proximity":{' in m.body
    }
    assert distances
    for message in (*his_side, *control):
        text = message.body.decode()
        assert not any(latitude in text for latitude in her_latitudes)
        assert "distance" not in text
        assert "bearing" not in text
        assert not any(re.search(rf"[:\[,]{re.escape(d)}[,\]}}]", text) for d in distances - {"None"})
        assert "77" not in json.dumps(json.loads(text)["data"].get("device", {}))


def test_contact_in_the_middle_of_one_turn_is_told(bench: Bench) -> None:
    approach(bench, 5000)
    bench.wait(1)
    bench.feed("tag", *[bench.make_fix(m, t_s=2 + 0.1 * n) for n, m in enumerate((3000, 30, 20, 3000))])
    assert bands(bench) == [("Alert", "contact"), ("Cancel", "clear")]
    assert bands(bench, "protected/her") == bands(bench)
    (told, _) = bench.of_kind(BREACH, "protected/her")
    assert told["proximity"]["distance_m"] == pytest.approx(30, rel=0.01)


def test_the_newest_position_of_a_turn_counts_not_the_last_to_arrive(bench: Bench) -> None:
    approach(bench, 5000)
    bench.wait(5)
    bench.feed("tag", bench.make_fix(30, t_s=4), bench.make_fix(5000, t_s=3))
    assert bands(bench) == [("Alert", "contact")]
    assert bench.last_status()["pairs"] == [{"ref": "her", "band": "contact"}]
    newest, _ = bench.on("tag/tag/position")[-2:]
    assert bench.last_status()["last_fix_at"] == newest["data"]["position"]["properties"]["time"]


OTHER_CASE = """
[[device]]
id = "tag-2"
transport = "memory:tag2"
[[device]]
id = "her-2"
role = "protected"
transport = "memory:her2"
[[order]]
id = "o2"
wearer = "tag-2"
zones = []
  [[order.protected]]
  device = "her-2"
"""


def test_an_alert_never_names_a_person_of_another_case(tmp_path: Path) -> None:
    bench = Bench(tmp_path, zones="zones = []", extra=OTHER_CASE)
    bench.fix("her", 0)
    bench.fix("her-2", 50_000)
    bench.pipeline.process(
        [
            bench.event("tag", bench.make_fix(100)),
            bench.event("tag-2", bench.make_fix(50_100)),
            bench.event("her-2", bench.make_fix(50_000, t_s=1)),
        ]
    )
    # One pair grows too old in the moment in which the other moves.
    bench.wait(119)
    bench.clock._mono_ns += 2_000_000_000
    bench.fix("her-2", 50_000)
    bench.wait(1)
    assert bands(bench) == [("Alert", "alarm"), ("Update", "unknown")]
    for side, own in (("tag/tag", {"tag", "her"}), ("tag/tag-2", {"tag-2", "her-2"})):
        told = bench.of_kind(BREACH, side)
        assert told
        assert {data["trace"]["device_id"] for data in told} <= own
        other = {"tag", "her", "tag-2", "her-2"} - own
        bodies = [m.body.decode() for m in bench.messages if m.topic.startswith(f"em/v1/t/{side}/")]
        assert not any(f'"{name}"' in body for name in other for body in bodies)
