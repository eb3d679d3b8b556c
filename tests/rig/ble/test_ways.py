"""True distances for the radio: two people of a scenario, and what her tag makes of his coming."""

import math
from pathlib import Path

import pytest

from devices.clock import SystemClock
from rig.ble.path_loss import RADIO_PROFILES, mean_dbm
from rig.ble.session import AirPlan, EmulatedAir
from rig.ble.session_words import AirReady, AirWord, TagWord
from rig.ble.ways import way_between, way_set
from rig.emulator.track import Track, Waypoint
from rig.local_frame import LocalFrame
from rig.scenario import load_scenario
from tests.ble_support import until

FRAME = LocalFrame(51.0, -6.5)
STORY = """
title = "He comes to her"
about = "a wearer walks up to the protected person"
seed = 4
duration_s = 120.0
origin = { lat_deg = 51.0, lon_deg = -6.5 }

[[person]]
device = "his"
role = "wearer"
waypoint = [{ at_m = [600.0, 0.0], t_s = 0.0 }, { at_m = [4.0, 0.0], t_s = 30.0 }]

[[person]]
device = "hers"
role = "protected"
smart_tag = { id = "st-1", acknowledges_after_s = 4.0 }
waypoint = [{ at_m = [0.0, 0.0], t_s = 0.0 }]

[[order]]
id = "order-1"
wearer = "his"
protected = [{ device = "hers", contact_m = 10.0, alarm_m = 100.0, pre_alert_m = 300.0 }]
"""


def test_the_way_between_two_tracks_is_their_distance_and_what_both_moved() -> None:
    one = Track(FRAME, [Waypoint(t_s=0, east_m=0, north_m=0), Waypoint(t_s=10, east_m=30, north_m=0)])
    other = Track(FRAME, [Waypoint(t_s=0, east_m=0, north_m=40)])
    now_s = 0.0
    where = way_between(one, other, lambda: now_s)
    assert (where().distance_m, where().moved_m) == (40.0, 0.0)
    for now_s in (2.5, 5.0, 7.5, 10.0):
        way = where()
        assert way.distance_m == pytest.approx(math.hypot(3 * now_s, 40))
        assert way.moved_m == pytest.approx(3 * now_s)


def test_a_distance_that_is_set_is_moved_to() -> None:
    distance_m = 500.0
    where = way_set(lambda: distance_m)
    assert where().moved_m == 0.0
    distance_m = 3.0
    assert (where().distance_m, where().moved_m, where().moved_m) == (3.0, 497.0, 497.0)


async def test_he_comes_and_her_tag_warns_her_by_itself_at_the_strength_of_the_true_distance(tmp_path: Path) -> None:
    (tmp_path / "story.toml").write_text(STORY)
    words: list[AirWord] = []
    plan = AirPlan(
        keys=tmp_path / "keys",
        scenario=load_scenario(tmp_path / "story.toml"),
        speed=20.0,
        radio_profile="free_space",
        seed=1,
    )

    def felt() -> list[TagWord]:
        return [word for word in words if isinstance(word, TagWord) and word.felt == "nearby"]

    async with EmulatedAir(plan, SystemClock(), words.append) as air:
        ready = next(word for word in words if isinstance(word, AirReady))
        assert [tag.name for tag in ready.tags] == ["st-1"]
        assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["his.key", "st-1.key"]
        await until(lambda: any(word.level == "alarm" for word in felt()), "an alarm of her own tag")
        await until(
            lambda: any(isinstance(word, TagWord) and word.mode == "acknowledged" for word in words), "her press"
        )
        tag = air._victims["st-1"]
        assert tag.firmware.own.active
    profile = RADIO_PROFILES["free_space"]
    assert mean_dbm(profile, 600) < profile.sensitivity_dbm < mean_dbm(profile, 10)
    first = felt()[0]
    # beyond the radio's reach she is left in peace: at 70 m it is at the receiver's sensitivity
    assert first.t_s > (600 - 90) / 596 * 30
