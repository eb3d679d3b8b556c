"""A device fell silent, or its wire was lost: its state, the cover of a protected person, and the alert."""

from collections.abc import Iterable

from bridge.alerts.change import Change
from bridge.alerts.silence import heard_change, silence_change
from bridge.judge import FixRow
from bridge.silence import Deadline, DeadlineWheel, Due
from bridge.turn import Turn
from bridge.view import DeviceView
from bridge.warning.front import WarningFront
from bridge.warning.records import CoverGap
from devices.events import LinkEvent, LinkState, PresenceEvent, Stamps
from protocols.mqtt.messages import AlertKind


def take_link(view: DeviceView, link: LinkEvent, wheel: DeadlineWheel) -> None:
    """Note the state of a wire."""
    view.link = link.state
    view.link_detail = "" if link.state is LinkState.UP else link.detail
    view.counts[f"link_{link.state}"] += 1
    if link.state is LinkState.ENDED:
        # A replay that is over is not silent, it has nothing more to say.
        view.has_ended = True
        for due in (Due.COMMS, Due.LOCATION):
            wheel.cancel(Deadline(due, view.device_idx))


def fall_silent(
    view: DeviceView,
    due: Due,
    stamps: Stamps,
    turn: Turn,
    warning: WarningFront,
    *,
    in_reach: Iterable[str] = (),
    told: PresenceEvent | None = None,
) -> Change:
    """Note that nothing, or no position, is heard, her tag first; say it as a change.

    ``in_reach``: whom this wearer could come near before his position counts as too old. ``told``: a radio tag's driver
    judged it, not the time between reports.
    """
    if due is Due.COMMS:
        kind, since_utc_ns = AlertKind.COMMS_LOST, view.heard_utc_ns
        view.comms = "lost"
        if view.is_smart_tag:
            warning.take_presence(view, False, stamps, turn)
    else:
        kind, since_utc_ns = AlertKind.LOCATION_LOST, view.position_utc_ns
        view.location = "lost"
        warning.take_cover(view.id, CoverGap.GNSS_LOST, True, stamps, turn)
        warning.lose_wearer(view.id, in_reach, stamps, turn)
    return silence_change(
        kind,
        device_id=view.id,
        silent_since_utc_ns=stamps.t_rx_utc_ns - view.limit_ns if since_utc_ns is None else since_utc_ns,
        limit_s=view.limit_ns / 1e9 if told is None else None,
        stamps=stamps,
        detail=view.link_detail if told is None else told.detail,
    )


def be_located(row: FixRow, turn: Turn, warning: WarningFront) -> Change | None:
    """Note that a device knows where it is; give the end of its lost location, if it was lost."""
    view, stamps = row.view, row.stamps
    view.fix_state = row.fix.state
    view.position_utc_ns = stamps.t_rx_utc_ns
    if view.location != "lost":
        return None
    warning.take_cover(view.id, CoverGap.GNSS_LOST, False, stamps, turn)
    warning.find_wearer(view.id, stamps, turn)
    return heard_change(AlertKind.LOCATION_LOST, device_id=view.id, stamps=stamps, fix=row.fix)
