"""What the page's slider needs to know, as JSON that stands in the page."""

import itertools
import json
import math
from typing import Any, Final

from rig.report.map import SIGMAS_95, extent
from rig.report.model import Report
from rig.report.style import person_color
from rig.truth.verdict import Verdict

_STALE_INTERVALS: Final = 3.0
"""A fix older than so many usual distances between fixes is called old."""


def moving_json(report: Report) -> str:
    """Write the columns that the script looks up at each step of the slider."""
    east, north = extent(report)
    data: dict[str, Any] = {
        "duration_s": round(report.duration_s, 3),
        "start_ms": report.start_utc_ns // 1_000_000,
        "extent": [*(_r(v) for v in east), *(_r(v) for v in north)],
        "people": [
            {
                "name": person.name,
                "device": person.device,
                "color": person_color(report, person.device),
                # names of two who stand together are not printed over each other
                "lift": 28 if person.wearer else -12,
                "t": [_r(p[0]) for p in person.truth],
                "x": [_r(p[1]) for p in person.truth],
                "y": [_r(p[2]) for p in person.truth],
                "fix_t": [_r(f.t_s) for f in person.fixes],
                "fix_x": [_r(f.east_m) for f in person.fixes],
                "fix_y": [_r(f.north_m) for f in person.fixes],
                "fix_w": [_r(2 * SIGMAS_95 * f.major_m) for f in person.fixes],
                "fix_h": [_r(2 * SIGMAS_95 * f.minor_m) for f in person.fixes],
                "fix_a": [_r(f.angle_rad) for f in person.fixes],
                "fix_s": [_r(math.hypot(f.major_m, f.minor_m) / math.sqrt(2)) for f in person.fixes],
                "stale_s": _r(_stale_s([f.t_s for f in person.fixes])),
            }
            for person in report.people
        ],
        "pairs": [
            {"wearer": pair.wearer, "protected": pair.protected, "rings": [list(ring) for ring in pair.rings]}
            for pair in report.pairs
        ],
        "alerts": [
            {
                "n": a.number,
                "t": _r(a.t_s),
                "lane": a.lane,
                "text": f"{a.name} · {a.phase}",
                "open": a.phase != "cleared",
                "bad": a.verdict in {Verdict.FAIL, Verdict.ERROR},
                "on_map": a.on_map,
            }
            for a in report.alerts
        ],
        "happened": [{"text": h.text, "from": _r(h.from_s), "to": _r(h.to_s)} for h in report.happened],
        "felt": [
            {"text": f"{s.lane}: {s.text}", "from": _r(s.from_s), "to": _r(s.to_s)}
            for s in report.states
            if s.lane.endswith("warns her")
        ],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # nothing in it may end the element that holds it
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _stale_s(times_s: list[float]) -> float:
    steps = sorted(b - a for a, b in itertools.pairwise(times_s))
    return _STALE_INTERVALS * steps[len(steps) // 2] if steps else 0.0


def _r(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
