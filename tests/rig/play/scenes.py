"""Short scenarios for tests of the bench, on open water."""

from pathlib import Path

from rig.scenario import Scenario, load_scenario

ZONE = """
title = "Into a zone and out"
seed = 5
duration_s = 60

[origin]
lat_deg = 51.0
lon_deg = -6.5

[[zone]]
id = "z-park"
name = "Park"
purpose = "exclusion"
centre_m = [60, 0]
radius_m = 25

[[person]]
device = "tag-1"
role = "wearer"
waypoint = [{ at_m = [0, 0] }, { at_m = [60, 0], speed_mps = 3, wait_s = 5 }, { at_m = [0, 0], speed_mps = 3 }]

[[order]]
id = "order-1"
wearer = "tag-1"
"""

RING = """
title = "Into her ring and out"
seed = 3
duration_s = 70

[origin]
lat_deg = 51.0
lon_deg = -6.5

[[person]]
device = "tag-1"
role = "wearer"
waypoint = [{ at_m = [200, 0] }, { at_m = [40, 0], speed_mps = 5, wait_s = 5 }, { at_m = [200, 0], speed_mps = 6 }]
beacon = {}

[[person]]
device = "pp-1"
role = "protected"
waypoint = [{ at_m = [0, 0] }]
smart_tag = { id = "st-1", acknowledges_after_s = 4 }

[[order]]
id = "order-1"
wearer = "tag-1"
protected = [{ device = "pp-1", contact_m = 20, alarm_m = 80, pre_alert_m = 140 }]
"""


def scene(folder: Path, text: str, more: str = "") -> Scenario:
    """Read a scenario, with more tables at its end."""
    path = folder / "scene.toml"
    path.write_text(text + more)
    return load_scenario(path)


def fault(fault_id: str, at_s: float, lasts_s: float | None = None, device: str | None = None, **options: float) -> str:
    """Write one fault as a table."""
    lines = ["", "[[fault]]", f'id = "{fault_id}"', f"at_s = {at_s}"]
    if lasts_s is not None:
        lines.append(f"lasts_s = {lasts_s}")
    if device is not None:
        lines.append(f'device = "{device}"')
    if options:
        lines.append(f"with = {{ {', '.join(f'{key} = {value}' for key, value in options.items())} }}")
    return "\n".join(lines) + "\n"
