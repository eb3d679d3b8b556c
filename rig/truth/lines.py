"""The lines of a scenario, edges of zones and rings round people: what is owed of each, and what was received."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from protocols.mqtt.messages import AlertKind, BandName
from rig.runs.record import AlertSeen
from rig.scenario import OrderTable, ProtectedTable, Scenario
from rig.truth.excuses import Excuses
from rig.truth.expectation import JudgePolicy
from rig.truth.expectation import Side as Wall
from rig.truth.looks import PairLook, Seen, pair_looks, ring_looks, zone_looks
from rig.truth.passes import Passing, Unseen, pair_passings, unseen_stays
from rig.truth.planar import QuickZone
from rig.truth.reports import TagTime
from rig.truth.spans import Side, Span, Turn, find_spans

LEVEL: Final[Mapping[BandName, int]] = {
    BandName.CLEAR: 0,
    BandName.PRE_ALERT: 1,
    BandName.ALARM: 2,
    BandName.CONTACT: 3,
}
"""How near a band is; UNKNOWN has no place among them: it neither raises nor clears."""

LINE_KINDS: Final = frozenset(
    {AlertKind.EXCLUSION_ZONE_ENTERED, AlertKind.INCLUSION_ZONE_LEFT, AlertKind.PROXIMITY_BREACH}
)
"""Alerts about lines; all others are about devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineKey:
    """Which alert a line is told by. ``about``: the other one of a pair; ``band``: its ring."""

    kind: AlertKind
    side: Wall
    subject: str
    zone_id: str | None = None
    about: str | None = None
    band: BandName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line, to one side of the wall.

    Attributes
    ----------
    name : str
        For people: the zone's name, or the ring.
    on_side : Side
        Where the alert is on.
    spans : tuple of Span
    passings : tuple of Passing
        Stays within it between two reports.
    unseen : tuple of Unseen
        Stays on the wrong side of a zone's edge that no report shows.
    """

    key: LineKey
    name: str
    on_side: Side
    spans: tuple[Span, ...]
    passings: tuple[Passing, ...] = ()
    unseen: tuple[Unseen, ...] = ()


def zone_lines(scenario: Scenario, seen: Mapping[str, Seen], policy: JudgePolicy) -> Iterator[Line]:
    """Find all zones of all orders."""
    features = scenario.zones_geojson()["features"]
    done: set[tuple[str, str]] = set()
    for order in scenario.order:
        for feature in features:
            zone_id = feature["id"]
            if (order.zones is not None and zone_id not in order.zones) or (order.wearer, zone_id) in done:
                continue
            done.add((order.wearer, zone_id))
            exclusion = feature["properties"]["purpose"] == "exclusion"
            his, margin_m = seen[order.wearer], policy.exit_margin_m
            looks = list(
                zone_looks(
                    QuickZone(feature, ()).signed_distance_m, his, duration_s=scenario.duration_s, margin_m=margin_m
                )
            )
            spans = find_spans(looks, exit_margin_m=margin_m, begins=Side.OUT if exclusion else Side.IN)
            yield Line(
                key=LineKey(
                    kind=AlertKind.EXCLUSION_ZONE_ENTERED if exclusion else AlertKind.INCLUSION_ZONE_LEFT,
                    side="tag",
                    subject=order.wearer,
                    zone_id=zone_id,
                ),
                name=str(feature["properties"].get("name") or zone_id),
                on_side=Side.IN if exclusion else Side.OUT,
                spans=tuple(spans),
                unseen=tuple(unseen_stays(looks, his, inward=exclusion, margin_m=margin_m)),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A wearer and a protected person with everything that was so between them."""

    order: OrderTable
    ring: ProtectedTable
    looks: tuple[PairLook, ...]
    passings: Mapping[BandName, tuple[Passing, ...]]
    spans: Mapping[BandName, tuple[Span, ...]]

    def lines(self) -> Iterator[Line]:
        """All rings, to both sides of the wall."""
        for band, radius_m in rings_of(self.ring):
            for side, subject, about in (
                ("tag", self.order.wearer, self.ring.device),
                ("protected", self.ring.device, self.order.wearer),
            ):
                yield Line(
                    key=LineKey(
                        kind=AlertKind.PROXIMITY_BREACH,
                        side="tag" if side == "tag" else "protected",
                        subject=subject,
                        about=about,
                        band=band,
                    ),
                    name=f"{radius_m:g} m",
                    on_side=Side.IN,
                    spans=self.spans[band],
                    passings=self.passings[band],
                )


def rings_of(ring: ProtectedTable) -> tuple[tuple[BandName, float], ...]:
    """Bands and radii, the widest first."""
    return (
        (BandName.PRE_ALERT, ring.pre_alert_m),
        (BandName.ALARM, ring.alarm_m),
        (BandName.CONTACT, ring.contact_m),
    )


def find_pairs(scenario: Scenario, seen: Mapping[str, Seen], policy: JudgePolicy) -> list[Pair]:
    """Find all pairs of all orders; of a pair that stands twice, the widest rings are a pair of their own."""
    found = []
    for order in scenario.order:
        for ring in order.protected:
            his, hers = seen[order.wearer], seen[ring.device]
            looks = pair_looks(his, hers, duration_s=scenario.duration_s, max_age_s=policy.max_position_age_s)
            spans, passings = {}, {}
            # a pass through an inner ring is one through the rings around it, too
            unsure_s: set[float] = set()
            for band, radius_m in reversed(rings_of(ring)):
                passings[band] = tuple(pair_passings(his, hers, looks, radius_m))
                unsure_s |= {each.seen_s for each in passings[band]}
                found_spans = find_spans(
                    ring_looks(looks, radius_m, unsure_s=unsure_s), exit_margin_m=policy.exit_margin_m
                )
                spans[band] = tuple(found_spans)
            found.append(Pair(order=order, ring=ring, looks=tuple(looks), spans=spans, passings=passings))
    return found


def turns_of(
    key: LineKey, alerts: Sequence[AlertSeen], *, time: TagTime, excuses: Excuses
) -> tuple[list[Turn], list[AlertSeen]]:
    """Reduce what was received to the changes of one line; also return repetitions that say nothing new.

    Late alerts tell of the past and are left out.
    """
    turns: list[Turn] = []
    again: list[AlertSeen] = []
    on = False
    for seen in _about(key, alerts):
        now = _is_on(key, seen)
        if now is None:
            continue
        if now is on:
            if seen.msg_type == "Alert" and key.band in {None, BandName.PRE_ALERT}:
                again.append(seen)
            continue
        on = now
        t_s = seen.alert.t_s
        waited = any(from_s <= t_s <= until_s for from_s, until_s in excuses.cuts)
        said_s = time.t_s(seen.trace.judged_mono_ns) if waited else t_s
        turns.append(Turn(t_s=t_s, said_s=said_s, on=on, index=seen.index))
    return turns, again


def _about(key: LineKey, alerts: Iterable[AlertSeen]) -> Iterator[AlertSeen]:
    ids: set[str] = set()
    for seen in alerts:
        alert = seen.alert
        if seen.late or (alert.kind, alert.side, alert.subject) != (key.kind, key.side, key.subject):
            continue
        if key.zone_id != alert.zone_id or (key.about is not None and alert.about not in {None, key.about}):
            continue
        if seen.event_id and seen.event_id in ids:
            continue
        ids.add(seen.event_id)
        yield seen


def _is_on(key: LineKey, seen: AlertSeen) -> bool | None:
    if key.band is None:
        return not seen.alert.cleared
    if seen.alert.cleared:
        return False
    level = LEVEL.get(seen.alert.band or BandName.UNKNOWN)
    return None if level is None else level >= LEVEL[key.band]
