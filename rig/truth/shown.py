"""What the reports themselves show of a line: the scalar oracle on positions as they were sent, not on the truth.

Plain reading of each report, nothing more: a bridge may know earlier, it must not know later.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protocols.mqtt.messages import AlertKind
from rig.truth.lines import Line, Pair, rings_of
from rig.truth.planar import QuickSeparation, QuickZone
from rig.truth.reports import Report, ReportLog

TIE_M: Final = 0.1
"""Metres. Nearer to a line a report shows neither side: sentences carry centimetres (2 cm), and two exact methods agree
to less than a millimetre."""

_METRES_PER_DEG: Final = 112_000.0
"""Upper bound of a degree on the ellipsoid, metres: bounds how far somebody moved between two reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """From the report sent at ``sent_mono_ns`` on, reports show the alert on or off, until ``until_mono_ns``.

    ``distance_m``: signed, negative inside. ``sure``: all reports concerned surely arrived.
    """

    t_s: float
    sent_mono_ns: int
    until_mono_ns: int
    on: bool
    distance_m: float
    sure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    report: Report
    distance_m: float
    sure: bool


def zone_shown(line: Line, zone: QuickZone, log: ReportLog, *, margin_m: float) -> list[Shown]:
    """Read a wearer's reports for one zone."""
    on_inside = line.key.kind is AlertKind.EXCLUSION_ZONE_ENTERED
    points = list(_zone_points(zone, log.fixes, margin_m))
    return _changes(points, margin_m=margin_m, on_inside=on_inside, twice_out=False)


def _zone_points(zone: QuickZone, fixes: Sequence[Report], margin_m: float) -> Iterator[_Point]:
    """Give distances, exact wherever one matters: it cannot change by more than the way since the last exact one."""
    exact_m, moved_m = 0.0, math.inf
    before: Report | None = None
    for report in fixes:
        assert report.lat_deg is not None
        assert report.lon_deg is not None
        if before is not None and before.lat_deg is not None and before.lon_deg is not None:
            moved_m += _METRES_PER_DEG * math.hypot(report.lat_deg - before.lat_deg, report.lon_deg - before.lon_deg)
        before = report
        outside = exact_m - moved_m > margin_m + TIE_M
        inside = exact_m + moved_m < -TIE_M
        if not (outside or inside):
            exact_m, moved_m = zone.signed_distance_m(report.lat_deg, report.lon_deg), 0.0
        yield _Point(report=report, distance_m=exact_m, sure=report.sure)


def ring_shown(
    pair: Pair, his: ReportLog, hers: ReportLog, *, margin_m: float, max_age_s: float
) -> dict[str, list[Shown]]:
    """Read the reports of two people for all rings of theirs; by the name of the band.

    That somebody has left counts from the second report that shows it: the way to the first one may still lead through
    the ring.
    """
    lines_m = tuple(line for _, r in rings_of(pair.ring) for line in (r, r - TIE_M, r + margin_m, r + margin_m + TIE_M))
    points = list(_pair_points(his, hers, max_age_s, QuickSeparation(lines_m)))
    return {
        band.value: _changes(
            [_Point(report=p.report, distance_m=p.distance_m - radius_m, sure=p.sure) for p in points],
            margin_m=margin_m,
            on_inside=True,
            twice_out=True,
        )
        for band, radius_m in rings_of(pair.ring)
    }


def _pair_points(his: ReportLog, hers: ReportLog, max_age_s: float, apart: QuickSeparation) -> Iterator[_Point]:
    newest: dict[bool, Report] = {}
    ordered = [(report, True) for report in his.fixes] + [(report, False) for report in hers.fixes]
    for report, is_his in sorted(ordered, key=lambda each: each[0].sent_mono_ns):
        newest[is_his] = report
        other = newest.get(not is_his)
        if other is None or report.t_s - other.t_s > max_age_s:
            continue
        assert report.lat_deg is not None
        assert report.lon_deg is not None
        assert other.lat_deg is not None
        assert other.lon_deg is not None
        apart_m = apart(report.lat_deg, report.lon_deg, other.lat_deg, other.lon_deg)
        yield _Point(report=report, distance_m=apart_m, sure=report.sure and other.sure)


def _changes(points: Iterable[_Point], *, margin_m: float, on_inside: bool, twice_out: bool) -> list[Shown]:
    found: list[Shown] = []
    inside: bool | None = None
    outs = 0
    for point in points:
        if point.distance_m <= -TIE_M:
            now, outs = True, 0
        elif point.distance_m > margin_m + TIE_M:
            now, outs = False, outs + 1
        else:
            outs = 0
            continue
        if now is inside or (twice_out and inside and not now and outs < 2):
            continue
        inside = now
        if found:
            found[-1] = _ended(found[-1], point.report.sent_mono_ns)
        found.append(
            Shown(
                t_s=point.report.t_s,
                sent_mono_ns=point.report.sent_mono_ns,
                until_mono_ns=_FOREVER_NS,
                on=now is on_inside,
                distance_m=point.distance_m,
                sure=point.sure,
            )
        )
    return found


_FOREVER_NS: Final = 1 << 62


def _ended(shown: Shown, until_mono_ns: int) -> Shown:
    return Shown(
        t_s=shown.t_s,
        sent_mono_ns=shown.sent_mono_ns,
        until_mono_ns=until_mono_ns,
        on=shown.on,
        distance_m=shown.distance_m,
        sure=shown.sure,
    )
