"""From what waits where to the publisher's counters."""

from collections.abc import Mapping, Sequence

from bridge.mqtt.inbound import InboundDesk
from bridge.mqtt.intake import Intake
from bridge.mqtt.link import Link
from bridge.outbox.port import OutboxDepths
from bridge.publisher import CanaryState, Lane, PathStats, PublisherStats

_WORST_FIRST: tuple[CanaryState, ...] = ("late", "never", "ok", "off")


def publisher_stats(
    *,
    links: Sequence[Link],
    intake: Intake,
    waiting: Mapping[Lane, int],
    desk: InboundDesk,
    depths: OutboxDepths,
    receipts_seen: int,
    is_running: bool,
    dead_detail: str | None,
    now_mono_ns: int,
) -> PublisherStats:
    """Put the counters together.

    ``waiting``: what waits in the intake; ``dead_detail``: why the thread failed, None while it did not.
    """
    flights = [link.flights for link in links]
    paths = tuple(link.stats() for link in links)
    oldest_ns = depths.oldest_unreceipted_mono_ns
    return PublisherStats(
        running=is_running,
        is_dead=dead_detail is not None,
        connected=is_running and paths[0].connected,
        detail=dead_detail or paths[0].detail,
        submitted=intake.submitted,
        delivered=sum(each.delivered for each in flights),
        queued_alerts=depths.alerts + waiting[Lane.ALERT],
        queued_states=depths.states + waiting[Lane.STATE],
        queued_positions=depths.positions + waiting[Lane.POSITION],
        in_flight=depths.handed_out,
        positions_dropped=depths.positions_dropped + intake.dropped,
        states_superseded=depths.states_superseded,
        rejected=depths.rejected,
        without_subscriber=sum(each.without_subscriber for each in flights),
        unheard_alerts=depths.unheard,
        positions_unheard=sum(each.positions_unheard for each in flights),
        resent=sum(each.resent for each in flights),
        connects=sum(path.connects for path in paths),
        oldest_alert_submitted_mono_ns=depths.oldest_alert_mono_ns,
        durable=depths.is_durable,
        disk_trouble=None if depths.trouble is None else depths.trouble.detail,
        unreceipted=depths.unreceipted,
        oldest_unreceipted_age_ns=None if oldest_ns is None else max(0, now_mono_ns - oldest_ns),
        receipts_seen=receipts_seen,
        inbound_refused=desk.refusals.total(),
        commands_dropped=desk.commands_dropped,
        canary=_worst_canary(paths),
        provider_online=desk.provider_online,
        paths=paths,
    )


def _worst_canary(paths: Sequence[PathStats]) -> CanaryState:
    states = {path.canary for path in paths}
    return next(state for state in _WORST_FIRST if state in states)
