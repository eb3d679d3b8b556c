"""The main job on real input: recorded drives over a pseudo-terminal, judged by the bridge and by a small script.

The script below uses pynmea2, shapely and pyproj only; of ours it knows the contract's topics and payloads.
"""

import functools
import gzip
import json
import math
import operator
from collections.abc import Callable
from pathlib import Path

import pynmea2
import pyproj
import pytest
import shapely

from tests.bridge.support import BridgeProcess, Line, line, start_bridge, subscriber
from tests.support import Mosquitto

__all__ = ["line", "start_bridge"]

GEOD = pyproj.Geod(ellps="WGS84")
Fix = tuple[str, float, float]  # time of day "HH:MM:SS.mmm", lat, lon
Event = tuple[str, str]  # message type, time of day


# --- the independent script -------------------------------------------------------------------------------------------


def positions(log: bytes) -> list[Fix]:
    """One position per time of day, in the order of the log: the first valid sentence of each second speaks for it."""
    found: dict[str, Fix] = {}
    for raw in log.splitlines():
        try:
            sentence = pynmea2.parse(raw.decode("ascii"), check=True)
        except (pynmea2.ParseError, UnicodeDecodeError):
            continue
        if not is_position(sentence):
            continue
        moment = sentence.timestamp
        text = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
        found.setdefault(text, (text, sentence.latitude, sentence.longitude))
    return list(found.values())


def is_position(sentence: pynmea2.NMEASentence) -> bool:
    kind = getattr(sentence, "sentence_type", "")
    if kind not in {"RMC", "GGA", "GLL"} or not (sentence.lat and sentence.lon and sentence.timestamp):
        return False
    if kind == "GGA":
        return sentence.gps_qual in {1, 2, 3, 4, 5}
    mode = {"RMC": "mode_indicator", "GLL": "faa_mode"}[kind]
    return sentence.status == "A" and getattr(sentence, mode, "A") not in {"N", "E", "M", "S"}


def inside_test(feature: dict) -> Callable[[float, float], bool]:  # type: ignore[type-arg]
    """Containment on the ellipsoid: distances by Geod, areas in an equidistant projection about their own middle."""
    shape = shapely.geometry.shape(feature["geometry"])
    properties = feature["properties"]
    if shape.geom_type == "Point":
        return lambda lat, lon: GEOD.inv(shape.x, shape.y, lon, lat)[2] <= properties["radius_m"]
    middle = shape.centroid
    to_plane = pyproj.Transformer.from_crs(
        "EPSG:4326", f"+proj=aeqd +lat_0={middle.y} +lon_0={middle.x} +datum=WGS84", always_xy=True
    ).transform
    # The edges are straight in longitude and latitude, so they are cut small before they are projected.
    plane = shapely.transform(shapely.segmentize(shape, 0.0002), to_plane, interleaved=False)
    if shape.geom_type == "LineString":
        return lambda lat, lon: plane.distance(shapely.Point(to_plane(lon, lat))) <= properties["half_width_m"]
    shapely.prepare(plane)
    return lambda lat, lon: bool(plane.covers(shapely.Point(to_plane(lon, lat))))


def expected_events(feature: dict, fixes: list[Fix]) -> list[Event]:  # type: ignore[type-arg]
    """What a reader should be told about one zone: the first known state counts, then every crossing."""
    inside = inside_test(feature)
    alarming_side = feature["properties"]["purpose"] == "exclusion"
    events: list[Event] = []
    raised = False
    for moment, lat, lon in fixes:
        alarm = inside(lat, lon) == alarming_side
        if alarm != raised:
            events.append(("Alert" if alarm else "Cancel", moment))
            raised = alarm
    return events


# --- zones laid across the route --------------------------------------------------------------------------------------


def zones_across(fixes: list[Fix]) -> list[dict]:  # type: ignore[type-arg]
    """Zones of every kind, sized and placed by the route's own box."""
    lats, lons = [f[1] for f in fixes], [f[2] for f in fixes]
    south, north, west, east = min(lats), max(lats), min(lons), max(lons)
    lat_at = functools.partial(blend, south, north)
    lon_at = functools.partial(blend, west, east)
    across_m = GEOD.inv(west, south, east, north)[2]

    def box(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
        a, b, c, d = lon_at(x0), lat_at(y0), lon_at(x1), lat_at(y1)
        return [[a, b], [c, b], [c, d], [a, d], [a, b]]

    def zone(zone_id: str, kind: str, coordinates: object, purpose: str = "exclusion", **more: float) -> dict:  # type: ignore[type-arg]
        return {
            "type": "Feature",
            "id": zone_id,
            "properties": {"purpose": purpose, "name": zone_id, **more},
            "geometry": {"type": kind, "coordinates": coordinates},
        }

    third, middle = fixes[len(fixes) // 3], fixes[len(fixes) // 2]
    hole = box(0.42, 0.42, 0.58, 0.58)[::-1]
    return [
        zone("ring", "Polygon", [box(0.25, 0.2, 0.75, 0.8), hole]),
        zone("halves", "MultiPolygon", [[box(-0.05, -0.05, 0.2, 1.05)], [box(0.8, -0.05, 1.05, 1.05)]]),
        zone("circle", "Point", [third[2], third[1]], radius_m=across_m / 20),
        zone("start", "Point", [fixes[0][2], fixes[0][1]], radius_m=across_m / 40),
        zone(
            "corridor",
            "LineString",
            [[lon_at(-0.1), lat_at(0.3)], [middle[2], middle[1]], [lon_at(1.1), lat_at(0.6)]],
            half_width_m=across_m / 60,
        ),
        zone("home", "Polygon", [box(0.1, -0.1, 0.9, 0.66)], "inclusion"),
        zone("elsewhere", "Polygon", [box(1.5, 1.5, 1.6, 1.6)], "inclusion"),
    ]


def blend(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


# --- the runs ---------------------------------------------------------------------------------------------------------

LOGS = {
    # name: (file, lowest number of crossings that make the comparison worth something)
    "drive": ("nmea/long/mtv-ublox-f9k.part1.nmea.gz", 20),
    "sail": ("nmea/long/signalk-plaka.log.gz", 10),
    "descent": ("nmea/long/aerorust-descent.log.gz", 8),
}


@pytest.mark.long
@pytest.mark.corpus
@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("name", LOGS)
def test_alerts_equal_those_of_an_independent_script(
    name: str,
    corpus: Path,
    tmp_path: Path,
    mosquitto: Mosquitto,
    line: Line,
    start_bridge: Callable[..., BridgeProcess],
) -> None:
    file, least = LOGS[name]
    log = gzip.decompress((corpus / file).read_bytes())
    fixes = positions(log)
    zones = zones_across(fixes)
    expected = {zone["id"]: expected_events(zone, fixes) for zone in zones}
    assert sum(map(len, expected.values())) >= least, "the zones hardly meet the route"

    (tmp_path / "zones.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": zones}))
    (tmp_path / "bridge.toml").write_text(
        f'[broker]\nurl = "{mosquitto.url}"\n[zones]\nfile = "zones.geojson"\n'
        f'[[device]]\nid = "t"\nkind = "gnss_receiver"\ntransport = "{line.spec}"\n'
    )
    with subscriber(mosquitto.host, mosquitto.port, topic="em/v1/demo/tag/t/#") as provider:
        bridge = start_bridge("--config", "bridge.toml")
        bridge.wait_link("t", "up")
        line.write(log)
        last, topic = fixes[-1][0], "em/v1/demo/tag/t/position"
        provider.wait_for(
            lambda: topic in provider.latest and fix_time(provider.latest[topic].json["data"]["position"]) == last,
            within_s=60,
            what="the last fix of the log at the subscriber",
        )
        assert bridge.stop() == 0, bridge.log

    alerts = [a for a in provider.alerts() if a["data"]["zone"] is not None]
    got: dict[str, list[Event]] = {zone["id"]: [] for zone in zones}
    for alert in alerts:
        data = alert["data"]
        assert data["occurred_at"] == data["position"]["properties"]["time"]
        got[data["zone"]["id"]].append((data["msg_type"], fix_time(data["position"])))
    assert got == expected

    numbers = [int(a["sequence"]) for a in provider.alerts()]
    assert numbers == list(range(1, len(numbers) + 1)), "gapless, in order, no duplicate"
    # Every position of the log was published or was dropped by name; none was invented.
    told = {fix_time(m.json["data"]["position"]): place(m.json) for m in provider.on("/position")}
    truth = {moment: (lat, lon) for moment, lat, lon in fixes}
    assert set(told) <= set(truth)
    assert all(math.dist(told[t], truth[t]) < 1e-9 for t in told)
    dropped = bridge.named("stopped")[0]["positions_dropped"]
    assert len(told) + dropped >= len(truth)


def fix_time(position: dict) -> str:  # type: ignore[type-arg]
    return position["properties"]["time"][11:23]  # type: ignore[no-any-return]


def place(message: dict) -> tuple[float, float]:  # type: ignore[type-arg]
    lon, lat = operator.itemgetter(0, 1)(message["data"]["position"]["geometry"]["coordinates"])
    return lat, lon
