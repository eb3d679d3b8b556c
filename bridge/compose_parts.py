"""Parts of messages, each made of one record."""

from msgspec.structs import replace

from bridge.alerts.change import Change, Raised
from bridge.view import DeviceView
from protocols.mqtt import messages as m
from protocols.mqtt.severity import gravity_of
from protocols.mqtt.times import utc_text
from protocols.reports import Fix

SNAPSHOT_BYTES = 12_288
"""Room for the alerts of a snapshot that does not fit whole; envelope and names take less than the rest of 16 KiB."""

SEVEREST_FIRST: tuple[m.Severity, ...] = ("Extreme", "Severe", "Moderate", "Minor")


def clipped(text: str, most: int) -> str:
    """Shorten a text that somebody else wrote."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shortened(data: m.ActiveData) -> m.ActiveData:
    """Keep the most severe alerts that fit, of equal ones the oldest."""
    kept: list[m.ActiveAlert] = []
    room = SNAPSHOT_BYTES
    for each in sorted(data.alerts, key=lambda alert: SEVEREST_FIRST.index(alert.severity)):
        room -= m.encoded_length(each) + 1
        if room < 0:
            break
        kept.append(each)
    return replace(data, alerts=tuple(kept), truncated=len(data.alerts) - len(kept))


def find_position(fix: Fix, *, late: bool) -> m.Position | None:
    """GeoJSON of a fix; None unless it has coordinates."""
    if fix.lat_deg is None or fix.lon_deg is None:
        return None
    altitude = () if fix.alt_m is None else (fix.alt_m,)
    return m.Position(
        geometry=m.Point(coordinates=(fix.lon_deg, fix.lat_deg, *altitude)),
        properties=m.PositionProperties(
            time=utc_text(fix.t_fix_utc_ns) if fix.t_fix_utc_ns is not None else None,
            accuracy_m=fix.horizontal_sigma_m,
            accuracy_rule=fix.sigma_rule,
            speed_mps=fix.speed_mps,
            course_deg=fix.course_deg,
            fix="gnss",
            date_rule=fix.date_rule,
            stored=fix.stored,
            late=late,
        ),
    )


def proximity_detail(change: Change) -> m.ProximityDetail | None:
    """Say what a change tells of a pair, for her side only."""
    if change.band is None:
        return None
    separation = change.separation
    return m.ProximityDetail(
        wearer=change.key.about,
        band=change.band,
        distance_m=round(separation.distance_m, 1) if separation else None,
        bearing_deg=round(separation.bearing_deg, 1) if separation else None,
    )


def device_state(view: DeviceView) -> m.DeviceState:
    """Say what a device told of itself last."""
    status = view.status
    if status is None:
        return m.DeviceState(battery_pct=view.battery_pct)
    return m.DeviceState(battery_pct=status.battery_pct, strap=status.strap, case=status.case)


def last_fix_at(view: DeviceView) -> str | None:
    """Time of a device's newest position, by its receiver."""
    fix = view.fix
    return utc_text(fix.t_fix_utc_ns) if fix is not None and fix.t_fix_utc_ns is not None else None


def active_alert(raised: Raised) -> m.ActiveAlert:
    """Say in a snapshot what is raised."""
    last = raised.last
    return m.ActiveAlert(
        alert_id=raised.alert_id,
        kind=last.key.kind,
        severity=gravity_of(last.key.kind, last.band, last.level).severity,
        raised_at=utc_text(raised.raised_utc_ns),
        zone_id=last.zone.id if last.zone is not None else None,
        ref=last.key.about if last.band is not None else None,
        band=last.band,
    )
