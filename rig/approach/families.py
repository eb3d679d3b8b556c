"""The seven families. The trial's own seven scenarios are not public: these are ours, after what it says went wrong.

In each, five runs draw geometry, speeds, report intervals and the time of what happens on the way.
"""

import random
from typing import Final

from rig.approach.draw import Drawn, Family
from rig.approach.ground import START_S, STAY_S, Ground, Rings, protected, scenario, way_s, wearer
from rig.scenario.tables import BrokerOutageTable, EventTable, SurroundingsTable

INTERVALS_S: Final = (1.0, 5.0, 15.0, 60.0)
"""Report intervals of tags in use, seconds: from live tracking to a point a minute."""

SPARSE_S: Final = 60.0
"""A point a minute, seconds: what tags give while nothing happens."""


def _foot_rings(rng: random.Random) -> Rings:
    """Rings that a walk of some minutes leads through."""
    return Rings(contact_m=20.0, alarm_m=round(rng.uniform(100.0, 180.0)))


def _way_in(rng: random.Random, from_m: float, to_m: float) -> list[tuple[float, float]]:
    """Draw a way with a bend, that ends so far from the origin."""
    bend = (rng.uniform(0.4, 0.7) * from_m, rng.uniform(-0.2, 0.2) * from_m)
    side = rng.uniform(-0.7, 0.7)
    return [(from_m, 0.0), bend, (to_m, side * to_m)]


def on_foot(rng: random.Random, number: int) -> Drawn:
    """He walks towards her; she stands."""
    ground, rings = Ground(rng), _foot_rings(rng)
    interval_s, speed_mps = rng.choice(INTERVALS_S), rng.uniform(1.1, 2.0)
    way = _way_in(rng, rings.pre_alert_m + rng.uniform(60.0, 160.0), rng.uniform(3.0, 12.0))
    return Drawn(
        about=f"{speed_mps:.1f} m/s, a fix every {interval_s:g} s",
        scenario=scenario(
            ground,
            f"On foot towards her, run {number}",
            wearer(ground.walk(way, speed_mps, stay_s=STAY_S), interval_s=interval_s),
            protected(ground.stand(0.0), interval_s=interval_s),
            rings,
            duration_s=way_s(way, speed_mps) + STAY_S,
        ),
    )


def she_walks_to_him(rng: random.Random, number: int) -> Drawn:
    """He stands; she walks into him and does not know it."""
    ground, rings = Ground(rng), _foot_rings(rng)
    interval_s, speed_mps = rng.choice(INTERVALS_S), rng.uniform(1.1, 1.7)
    way = _way_in(rng, rings.pre_alert_m + rng.uniform(60.0, 160.0), rng.uniform(3.0, 12.0))
    return Drawn(
        about=f"she goes {speed_mps:.1f} m/s, a fix every {interval_s:g} s",
        scenario=scenario(
            ground,
            f"She walks towards him, run {number}",
            wearer(ground.stand(0.0), interval_s=interval_s),
            protected(ground.walk(way, speed_mps, stay_s=STAY_S), interval_s=interval_s),
            rings,
            duration_s=way_s(way, speed_mps) + STAY_S,
        ),
    )


def by_car(rng: random.Random, number: int) -> Drawn:
    """He drives through the ring, and on; tags report once a minute."""
    ground, rings = Ground(rng), Rings(contact_m=50.0, alarm_m=500.0)
    speed_mps = 13.0 + (number - 1) * 4.5
    offset_m, from_m = rng.uniform(5.0, 200.0), rng.uniform(5_000.0, 6_500.0)
    way = [(-from_m, offset_m), (2_500.0, offset_m)]
    return Drawn(
        about=f"{speed_mps:.1f} m/s past her at {offset_m:.0f} m, a fix every {SPARSE_S:g} s",
        scenario=scenario(
            ground,
            f"By car through the ring, run {number}",
            wearer(ground.walk(way, speed_mps, stay_s=STAY_S), interval_s=SPARSE_S, profile="in_car"),
            protected(ground.stand(0.0), interval_s=SPARSE_S),
            rings,
            duration_s=way_s(way, speed_mps) + STAY_S,
        ),
    )


def both_in_town(rng: random.Random, number: int) -> Drawn:
    """Both walk through streets; houses throw their positions about, and to one side."""
    ground, rings = Ground(rng), Rings(contact_m=50.0, alarm_m=round(rng.uniform(230.0, 280.0)))
    interval_s, speed_mps = rng.choice(INTERVALS_S[:3]), rng.uniform(1.1, 1.6)
    from_m = rings.pre_alert_m + rng.uniform(40.0, 100.0)
    # He comes round a corner; she comes towards him, more slowly, and waits where they meet.
    his_way = [(0.6 * from_m, 0.8 * from_m), (0.0, 0.8 * from_m), (0.0, rng.uniform(2.0, 8.0))]
    his_s = way_s(his_way, speed_mps)
    hers = 0.4 * from_m
    her_way = [(-hers, 0.0), (0.0, 0.0)]
    duration_s = his_s + 90.0
    return Drawn(
        about=f"urban, {speed_mps:.1f} m/s, a fix every {interval_s:g} s",
        scenario=scenario(
            ground,
            f"Both in town, run {number}",
            wearer(ground.walk(his_way, speed_mps, stay_s=90.0), interval_s=interval_s, profile="urban"),
            protected(
                ground.walk(her_way, hers / (his_s - START_S), stay_s=90.0), interval_s=interval_s, profile="urban"
            ),
            rings,
            duration_s=duration_s,
        ),
    )


def indoors(rng: random.Random, number: int) -> Drawn:
    """Under concrete no satellite is heard: what is left is his beacon and her smart tag."""
    ground, rings = Ground(rng), Rings(contact_m=20.0, alarm_m=round(rng.uniform(60.0, 90.0)))
    speed_mps, inside = rng.uniform(1.0, 1.4), "car_park" if number <= 3 else "indoor"
    from_m = rings.pre_alert_m + rng.uniform(90.0, 140.0)
    outside_m = rng.uniform(20.0, 40.0)
    way = [(from_m, 0.0), (rng.uniform(0.3, 0.6) * from_m, rng.uniform(-20.0, 20.0)), (rng.uniform(1.0, 2.5), 0.0)]
    in_s = START_S + outside_m / speed_mps
    she_in_s = rng.uniform(START_S, in_s)
    stay_s = 75.0
    return Drawn(
        about=f"{inside.replace('_', ' ')}, {speed_mps:.1f} m/s, satellites lost {from_m - outside_m:.0f} m away",
        scenario=scenario(
            ground,
            f"Indoors, Bluetooth only, run {number}",
            wearer(
                ground.walk(way, speed_mps, stay_s=stay_s),
                interval_s=1.0,
                beacon=True,
                surroundings=[SurroundingsTable(at_s=round(in_s, 1), profile=inside)],
            ),
            protected(
                ground.stand(0.0),
                interval_s=1.0,
                surroundings=[SurroundingsTable(at_s=round(she_in_s, 1), profile="car_park")],
            ),
            rings,
            duration_s=way_s(way, speed_mps) + stay_s,
        ),
    )


def tag_fails(rng: random.Random, number: int) -> Drawn:
    """His tag dies, is jammed or is shielded on the way; he walks on."""
    ground, rings = Ground(rng), _foot_rings(rng)
    speed_mps = rng.uniform(1.1, 1.6)
    interval_s = rng.choice((1.0, 5.0))
    from_m = rings.pre_alert_m + rng.uniform(80.0, 160.0)
    way = [(from_m, 0.0), (rng.uniform(3.0, 8.0), 0.0)]
    # Outside of all rings in three runs, within the pre-alert ring in two.
    within = number in {3, 5}
    at_m = rng.uniform(rings.alarm_m + 40.0, rings.pre_alert_m - 30.0) if within else rings.pre_alert_m + 40.0
    at_s = round(START_S + (from_m - at_m) / speed_mps, 1)
    events = {
        1: [EventTable(at_s=round(at_s - 15.0, 1), do="battery", value=7), EventTable(at_s=at_s, do="power_off")],
        2: [EventTable(at_s=at_s, do="jam", value=3)],
        3: [EventTable(at_s=at_s, do="shield_on")],
        4: [EventTable(at_s=at_s, do="shield_on")],
        5: [EventTable(at_s=round(at_s - 15.0, 1), do="battery", value=4), EventTable(at_s=at_s, do="power_off")],
    }[number]
    what = {1: "battery dead", 2: "jammed", 3: "shielded", 4: "shielded", 5: "battery dead"}[number]
    return Drawn(
        about=f"{what} {at_m:.0f} m away, {'within' if within else 'outside of'} the pre-alert ring",
        scenario=scenario(
            ground,
            f"His tag fails on the way, run {number}",
            wearer(ground.walk(way, speed_mps, stay_s=75.0), interval_s=interval_s, beacon=True, event=events),
            protected(ground.stand(0.0), interval_s=interval_s),
            rings,
            duration_s=way_s(way, speed_mps) + 75.0,
        ),
    )


def cover_lost(rng: random.Random, number: int) -> Drawn:
    """Lose what carries the news: the broker, the mobile network of either, her smart tag."""
    ground, rings = Ground(rng), _foot_rings(rng)
    speed_mps, interval_s = rng.uniform(1.1, 1.6), rng.choice((1.0, 5.0))
    from_m = rings.pre_alert_m + rng.uniform(80.0, 140.0)
    way = [(from_m, 0.0), (rng.uniform(3.0, 8.0), 0.0)]
    at_m = rings.pre_alert_m + rng.uniform(25.0, 40.0)
    at_s = round(START_S + (from_m - at_m) / speed_mps, 1)
    end_s = way_s(way, speed_mps) + STAY_S
    alarm_s = START_S + (from_m - rings.alarm_m) / speed_mps
    lasts_s = round(alarm_s - at_s + rng.uniform(20.0, 60.0), 1)
    outage = [EventTable(at_s=at_s, do="outage")]
    about = {
        1: f"broker down for {lasts_s:.0f} s",
        2: "his tag has no network",
        3: "her smart tag is gone",
        4: "her tag has no network",
        5: f"broker down for {lasts_s:.0f} s",
    }[number]
    outages = [BrokerOutageTable(at_s=at_s, lasts_s=lasts_s)] if number in {1, 5} else []
    return Drawn(
        about=about,
        scenario=scenario(
            ground,
            f"Cover lost on the way, run {number}",
            wearer(
                ground.walk(way, speed_mps, stay_s=STAY_S + 30.0),
                interval_s=interval_s,
                beacon=True,
                event=outage if number == 2 else [],
            ),
            protected(
                ground.stand(0.0), interval_s=interval_s, has_tag=number != 3, event=outage if number == 4 else []
            ),
            rings,
            duration_s=end_s + 30.0,
            broker_outage=outages,
        ),
    )


FAMILIES: Final[dict[str, Family]] = {
    "on_foot": on_foot,
    "she_walks_to_him": she_walks_to_him,
    "by_car": by_car,
    "both_in_town": both_in_town,
    "indoors": indoors,
    "tag_fails": tag_fails,
    "cover_lost": cover_lost,
}
"""Families by name, in the order of the table."""
