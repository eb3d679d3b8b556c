"""Values that no story can have are refused with file and key; each of them once ended in a PASS or in a traceback."""

from pathlib import Path

import pytest

from rig.errors import ScenarioError
from rig.scenario import load_scenario

STORY = """
title = "He comes near"
duration_s = 100
origin = { lat_deg = 51.0, lon_deg = -6.5 }

[[zone]]
id = "z-park"
purpose = "exclusion"
centre_m = [60, 0]
radius_m = 25

[[zone]]
id = "z-road"
purpose = "exclusion"
line_m = [[0, 90], [90, 90]]
half_width_m = 10

[[person]]
device = "tag-1"
role = "wearer"
battery_pct = 83
waypoint = [{ at_m = [0, 0], wait_s = 6 }, { at_m = [120, 0], speed_mps = 1.6 }]
event = [{ at_s = 90, do = "strap_cut" }]
beacon = { key = "key-1" }

[[person]]
device = "pp-1"
role = "protected"
waypoint = [{ at_m = [300, 0] }]
smart_tag = { id = "st-1", acknowledges_after_s = 4 }

[[order]]
id = "order-1"
wearer = "tag-1"
protected = [{ device = "pp-1", contact_m = 20, alarm_m = 80, pre_alert_m = 140 }]

[[fault]]
id = "gnss.jump"
at_s = 30
device = "tag-1"

[[broker_outage]]
at_s = 40
lasts_s = 500
"""


def written(folder: Path, old: str = "", new: str = "") -> Path:
    assert old in STORY
    path = folder / "story.toml"
    path.write_text(STORY.replace(old, new, 1))
    return path


def test_the_story_itself_is_one_and_its_outage_may_outlast_it(tmp_path: Path) -> None:
    assert load_scenario(written(tmp_path)).broker_outage[0].lasts_s == 500


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("at_m = [120, 0]", "at_m = [nan, 0]", "person 'tag-1': waypoint 1: at_m: expected metres"),
        ("at_m = [120, 0]", "at_m = [0, inf]", "waypoint 1: at_m"),
        ("at_m = [120, 0]", "at_m = [1e8, 0]", "at most 6378137 from the origin, got [100000000.0, 0.0]"),
        ("wait_s = 6", "wait_s = nan", "waypoint 0: wait_s: expected seconds, 0 or more, got nan"),
        ("wait_s = 6", "wait_s = inf", "waypoint 0: wait_s"),
        ("wait_s = 6", "wait_s = -6", "waypoint 0: wait_s: expected seconds, 0 or more, got -6.0"),
        ("speed_mps = 1.6", "t_s = nan", "waypoint 1: t_s: expected seconds of the scenario, got nan"),
        ("speed_mps = 1.6", "t_s = inf", "waypoint 1: t_s"),
        ("speed_mps = 1.6", "speed_mps = 1.6, t_s = 50", "t_s 50 and speed_mps 1.6 both say when"),
        ("speed_mps = 1.6", "speed_mps = inf", "speed_mps must be above 0, got inf"),
        ("speed_mps = 1.6", "speed_mps = 1e-320", "it is never reached"),
        ("battery_pct = 83", "battery_pct = 500", "person 'tag-1': battery_pct: expected 0 to 100, got 500"),
        ("battery_pct = 83", "battery_pct = -1", "battery_pct"),
        ("battery_pct = 83", "battery_pct = nan", "battery_pct"),
        ("battery_pct = 83", "interval_s = inf", "interval_s: expected 0.01 to 604800, got inf"),
        (
            "after_s = 4",
            "after_s = nan",
            "person 'pp-1': smart_tag.acknowledges_after_s: expected 0 s or more, got nan",
        ),
        ("after_s = 4", "after_s = -8", "smart_tag.acknowledges_after_s"),
        ('device = "tag-1"', 'device = ""', "person.device '': expected 1 to 64 letters, digits, '-' or '_'"),
        ('device = "tag-1"', 'device = "../../x"', "person.device '../../x'"),
        ('device = "tag-1"', 'device = "täg"', "person.device 'täg'"),
        ('id = "st-1"', 'id = "../st 1"', "person.smart_tag.id '../st 1'"),
        ('key = "key-1"', 'key = "../key"', "person.beacon.key '../key'"),
        ('id = "z-park"', 'id = ""', "zone.id '': expected 1 to 128 characters, got 0"),
        ('id = "order-1"', 'id = ""', "order.id '': expected 1 to 128 characters"),
        ('role = "wearer"', 'role = "offender"', "Invalid enum value 'offender' - at `$.person[0].role`"),
        ('wearer = "tag-1"', 'wearer = "pp-1"', "wearer: device 'pp-1' has the role protected. Expected one of role"),
        ('[{ device = "pp-1"', '[{ device = "tag-1"', "protected.device: device 'tag-1' has the role wearer"),
        ("pre_alert_m = 140", "pre_alert_m = inf", "pre_alert_m of 'pp-1': expected 1 to 100000, got inf"),
        ("contact_m = 20", "contact_m = 0.1", "contact_m of 'pp-1': expected 1 to 100000, got 0.1"),
        ("radius_m = 25", "radius_m = nan", "zone 'z-park': radius_m: expected above 0 and at most 200000 m, got nan"),
        ("radius_m = 25", "radius_m = 0", "zone 'z-park': radius_m"),
        ("radius_m = 25", "radius_m = -5", "zone 'z-park': radius_m"),
        ("radius_m = 25", "radius_m = 1e9", "zone 'z-park': radius_m"),
        ("centre_m = [60, 0]", "centre_m = [nan, 0]", "zone 'z-park': centre_m"),
        ("half_width_m = 10", "half_width_m = nan", "zone 'z-road': half_width_m"),
        ("half_width_m = 10", "half_width_m = 0", "zone 'z-road': half_width_m"),
        ("[90, 90]]", "[inf, 90]]", "zone 'z-road': line_m"),
        ("at_s = 90", "at_s = 100.5", "event[0] 'strap_cut': at_s 100.5 lies after the end, duration_s 100"),
        ("at_s = 30", "at_s = 1e9", "fault 'gnss.jump': at_s 1e+09 lies after the end, duration_s 100"),
        ("at_s = 30", "lasts_s = inf\nat_s = 30", "fault 'gnss.jump' at 30 s: expected lasts_s above 0, got inf"),
        ("at_s = 40", "at_s = 101", "broker_outage: at_s 101 lies after the end"),
        ("lasts_s = 500", "lasts_s = inf", "broker_outage at_s 40, lasts_s inf"),
        ("lasts_s = 500", "lasts_s = nan", "broker_outage at_s 40, lasts_s nan"),
        ("duration_s = 100", "duration_s = 1e12", "at most 2678400 (31 days), got 1e+12"),
        ("duration_s = 100", "duration_s = inf", "at most 2678400 (31 days), got inf"),
        (
            'event = [{ at_s = 90, do = "strap_cut" }]',
            'event = [{ at_s = nan, do = "profile", value = "urban" }]',
            "event 'profile': its time must be 0 s or later, got nan",
        ),
        (
            'event = [{ at_s = 90, do = "strap_cut" }]',
            'surroundings = [{ at_s = nan, profile = "urban" }]',
            "person 'tag-1': surroundings[0]: at_s: expected 0 or later, got nan",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_file_and_key(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = written(tmp_path, old, new)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
