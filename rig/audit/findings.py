"""What the records say of a device in a period: its points, what was raised and for how long, cadence and gaps."""

import hashlib
import statistics
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise

from protocols.mqtt.messages import AlertEvent, AlertKind, MsgType, PositionEvent, ProtectedAlertEvent, with_delivery
from protocols.mqtt.times import utc_ns, utc_text
from protocols.reports import Fix, TagStatus
from rig.audit.period import Period
from rig.audit.records import Records, Stored, event_utc_ns

SAME_FIX_NS = 5_000_000_000
"""A fix without a time of its own in a capture is the published one at the same place if both came in within this."""

GAP_MEDIANS = 2.0
"""Without a configuration that says how often the device reports, twice the median interval is a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One position. ``t_utc_ns``: by the receiver, or when it came in where ``has_own_time`` is false.

    What stands only in the device's raw line (satellites, tamper state, battery) is None without a capture of it;
    ``told_utc_ns`` is when the device said the last of these.
    """

    t_utc_ns: int
    has_own_time: bool
    received_utc_ns: int
    lat_deg: float
    lon_deg: float
    alt_m: float | None
    accuracy_m: float | None
    speed_mps: float | None
    course_deg: float | None
    stored: bool
    late: bool
    satellites: int | None = None
    hdop: float | None = None
    battery_pct: int | None = None
    strap: str | None = None
    case: str | None = None
    told_utc_ns: int | None = None
    event_id: str | None = None
    sequence: str | None = None
    delivered_utc_ns: int | None = None
    in_capture: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """An alert from its raising to its end; None: it stands, or its end is not in the records."""

    alert_id: str
    kind: AlertKind
    about: str
    late: bool
    start_utc_ns: int
    end_utc_ns: int | None
    reason: str
    clock: str
    events: tuple[Stored, ...]

    def overlaps(self, period: Period) -> bool:
        """Whether it stood at any moment of a period."""
        end_ns = period.end_utc_ns if self.end_utc_ns is None else max(self.end_utc_ns, self.start_utc_ns + 1)
        return self.start_utc_ns < period.end_utc_ns and end_ns > period.start_utc_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """No point for longer than the limit."""

    start_utc_ns: int
    end_utc_ns: int

    @property
    def length_s(self) -> float:
        """Seconds."""
        return (self.end_utc_ns - self.start_utc_ns) / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """Intervals between points in seconds, None with fewer than two points; ``limit_s``: longer ones are gaps."""

    points: int
    median_s: float | None
    p95_s: float | None
    longest_s: float | None
    expected_s: float | None
    limit_s: float | None
    gaps: tuple[Gap, ...]

    @property
    def gaps_s(self) -> float:
        """Seconds of the period in gaps."""
        return sum(gap.length_s for gap in self.gaps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that the pack tells."""

    device: str
    period: Period
    points: tuple[Point, ...]
    outside_orders: int
    episodes: tuple[Episode, ...]
    cadence: Cadence
    hashes_agree: int
    hashes_differ: int

    def of_kinds(self, *kinds: AlertKind) -> tuple[Episode, ...]:
        """Episodes of some kinds."""
        return tuple(episode for episode in self.episodes if episode.kind in kinds)


def find_findings(
    records: Records, period: Period, *, expected_s: float | None, buffer_s: float | None, within_orders: bool
) -> Findings:
    """Work everything out; the same records give the same findings."""
    points = [point for point in _points(records) if point.t_utc_ns in period]
    released = [point for point in points if not within_orders or _is_ordered(point, records)]
    episodes = tuple(episode for episode in _episodes(records) if episode.overlaps(period))
    agree, differ = _compare_hashes(records)
    return Findings(
        device=records.device,
        period=period,
        points=tuple(released),
        outside_orders=len(points) - len(released),
        episodes=episodes,
        cadence=_cadence(points, period, expected_s, buffer_s),
        hashes_agree=agree,
        hashes_differ=differ,
    )


def _points(records: Records) -> list[Point]:
    fixes = [(each.report, each.t_rx_utc_ns) for each in records.captured if isinstance(each.report, Fix)]
    by_place: dict[tuple[str | None, float, float], list[tuple[Fix, int]]] = {}
    for fix, t_rx_utc_ns in fixes:
        if fix.lat_deg is not None and fix.lon_deg is not None:
            by_place.setdefault((_time_text(fix), fix.lat_deg, fix.lon_deg), []).append((fix, t_rx_utc_ns))
    points = []
    for stored in records.positions:
        point = _published(stored)
        lat_deg, lon_deg = point.lat_deg, point.lon_deg
        key = (utc_text(point.t_utc_ns) if point.has_own_time else None, lat_deg, lon_deg)
        matches = by_place.get(key, [])
        match = next(
            (each for each in matches if point.has_own_time or abs(each[1] - point.received_utc_ns) <= SAME_FIX_NS),
            None,
        )
        if match is not None:
            matches.remove(match)
            point = replace(point, satellites=match[0].satellites_used, hdop=match[0].hdop, in_capture=True)
        points.append(point)
    points += [_captured(fix, t_rx) for left in by_place.values() for fix, t_rx in left]
    points.sort(key=lambda point: (point.t_utc_ns, point.received_utc_ns, point.event_id or ""))
    return _with_status(points, records)


def _published(stored: Stored) -> Point:
    assert isinstance(stored.event, PositionEvent)
    position = stored.event.data.position
    told = position.properties
    received_utc_ns = event_utc_ns(stored)
    lon_deg, lat_deg, *alt_m = position.geometry.coordinates
    return Point(
        t_utc_ns=received_utc_ns if told.time is None else utc_ns(told.time),
        has_own_time=told.time is not None,
        received_utc_ns=received_utc_ns,
        lat_deg=lat_deg,
        lon_deg=lon_deg,
        alt_m=alt_m[0] if alt_m else None,
        accuracy_m=told.accuracy_m,
        speed_mps=told.speed_mps,
        course_deg=told.course_deg,
        stored=told.stored,
        late=told.late,
        event_id=stored.event.id,
        sequence=stored.event.sequence,
        delivered_utc_ns=stored.acked_utc_ns,
    )


def _captured(fix: Fix, t_rx_utc_ns: int) -> Point:
    assert fix.lat_deg is not None
    assert fix.lon_deg is not None
    return Point(
        t_utc_ns=t_rx_utc_ns if fix.t_fix_utc_ns is None else fix.t_fix_utc_ns,
        has_own_time=fix.t_fix_utc_ns is not None,
        received_utc_ns=t_rx_utc_ns,
        lat_deg=fix.lat_deg,
        lon_deg=fix.lon_deg,
        alt_m=fix.alt_m,
        accuracy_m=fix.horizontal_sigma_m,
        speed_mps=fix.speed_mps,
        course_deg=fix.course_deg,
        stored=fix.stored,
        late=False,
        satellites=fix.satellites_used,
        hdop=fix.hdop,
        in_capture=True,
    )


def _time_text(fix: Fix) -> str | None:
    return None if fix.t_fix_utc_ns is None else utc_text(fix.t_fix_utc_ns)


def _with_status(points: list[Point], records: Records) -> list[Point]:
    """Add what the device last said of itself before each point, from captures and from alerts."""
    told: list[tuple[int, int | None, str | None, str | None]] = [
        (each.t_rx_utc_ns, each.report.battery_pct, each.report.strap, each.report.case)
        for each in records.captured
        if isinstance(each.report, TagStatus) and not each.report.stored
    ]
    for stored in records.alerts:
        if isinstance(stored.event, AlertEvent | ProtectedAlertEvent):
            device = stored.event.data.device
            if device.strap is not None or device.battery_pct is not None:
                told.append((event_utc_ns(stored), device.battery_pct, device.strap, device.case))
    told.sort(key=lambda each: each[0])
    times = [each[0] for each in told]
    found = []
    for point in points:
        at = bisect_right(times, point.received_utc_ns) - 1
        if at >= 0 and not point.stored:
            when_ns, battery_pct, strap, case = told[at]
            point = replace(point, battery_pct=battery_pct, strap=strap, case=case, told_utc_ns=when_ns)
        found.append(point)
    return found


def _is_ordered(point: Point, records: Records) -> bool:
    """Whether a point lies within the time of an order; without any loaded order all do."""
    for order in records.orders:
        starts_ns = None if order.valid_from is None else utc_ns(order.valid_from.isoformat())
        ends_ns = None if order.valid_until is None else utc_ns(order.valid_until.isoformat())
        if (starts_ns is None or starts_ns <= point.t_utc_ns) and (ends_ns is None or point.t_utc_ns < ends_ns):
            return True
    return not records.orders


def _episodes(records: Records) -> list[Episode]:
    by_alert: dict[str, list[Stored]] = {}
    for stored in records.alerts:
        if isinstance(stored.event, AlertEvent | ProtectedAlertEvent):
            by_alert.setdefault(stored.event.data.alert_id, []).append(stored)
    found = []
    for alert_id, events in by_alert.items():
        first, last = events[0].event, events[-1].event
        assert isinstance(first, AlertEvent | ProtectedAlertEvent)
        assert isinstance(last, AlertEvent | ProtectedAlertEvent)
        over = last.data.msg_type is MsgType.CANCEL
        found.append(
            Episode(
                alert_id=alert_id,
                kind=first.data.kind,
                about=_about(first),
                late=first.data.late,
                start_utc_ns=utc_ns(first.data.occurred_at),
                end_utc_ns=utc_ns(last.data.occurred_at) if over else None,
                reason=first.data.reason,
                clock=first.data.clock,
                events=tuple(events),
            )
        )
    return sorted(found, key=lambda episode: (episode.start_utc_ns, episode.alert_id))


def _about(event: AlertEvent | ProtectedAlertEvent) -> str:
    """Name the zone or the other person's reference; never where anybody of them is."""
    if isinstance(event, ProtectedAlertEvent):
        return event.data.proximity.wearer if event.data.proximity is not None else ""
    if event.data.zone is not None:
        return event.data.zone.name or event.data.zone.id
    return event.data.protected_party.ref if event.data.protected_party is not None else ""


def _cadence(points: list[Point], period: Period, expected_s: float | None, buffer_s: float | None) -> Cadence:
    times = sorted({point.t_utc_ns for point in points})
    steps_s = [(after - before) / 1e9 for before, after in pairwise(times)]
    median_s = statistics.median(steps_s) if steps_s else None
    limit_s = None
    if expected_s is not None:
        limit_s = expected_s + (buffer_s or 0.0)
    elif median_s is not None:
        limit_s = GAP_MEDIANS * median_s
    edges = [period.start_utc_ns, *times, period.end_utc_ns]
    gaps = (
        tuple(
            Gap(start_utc_ns=before, end_utc_ns=after)
            for before, after in pairwise(edges)
            if (after - before) / 1e9 > limit_s
        )
        if limit_s is not None
        else (Gap(start_utc_ns=period.start_utc_ns, end_utc_ns=period.end_utc_ns),)
    )
    ordered = sorted(steps_s)
    return Cadence(
        points=len(points),
        median_s=median_s,
        p95_s=ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else None,
        longest_s=ordered[-1] if ordered else None,
        expected_s=expected_s,
        limit_s=limit_s,
        gaps=gaps,
    )


def _compare_hashes(records: Records) -> tuple[int, int]:
    """Count disclosures of events that are here whose logged hash is, and is not, that of what was kept."""
    kept = {each.event.id: each for each in (*records.alerts, *records.positions, *records.incidents)}
    agree = differ = 0
    for line, _ in records.disclosures:
        stored = kept.get(line.id)
        if stored is None:
            continue
        if line.sha256 in _hashes_of(stored, line.attempt):
            agree += 1
        else:
            differ += 1
    return agree, differ


def _hashes_of(stored: Stored, attempt: int) -> set[str]:
    """Hashes of all that may have been sent: an alert's body says which sending it is, and whether it was on disk."""
    bodies = {stored.body}
    if not isinstance(stored.event, PositionEvent):
        kind = type(stored.event)
        bodies |= {with_delivery(stored.body, kind, attempt=attempt, durable=durable) for durable in (True, False)}
    return {hashlib.sha256(body).hexdigest() for body in bodies}
