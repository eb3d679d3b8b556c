"""What a heartbeat says; its silence is an alarm at the provider."""

from collections.abc import Sequence

from bridge.compose import Composer
from bridge.publisher import PublisherStats
from bridge.view import DeviceView
from protocols.mqtt.messages import HeartbeatData, OutboxDepth


def heartbeat_data(
    composer: Composer, views: Sequence[DeviceView], stats: PublisherStats, *, now_mono_ns: int, started_mono_ns: int
) -> HeartbeatData:
    """Sum up the bridge: who is heard, what waits, what was lost."""
    oldest_mono_ns = stats.oldest_alert_submitted_mono_ns
    age_ns = 0 if oldest_mono_ns is None else max(0, now_mono_ns - oldest_mono_ns)
    return HeartbeatData(
        uptime_s=round((now_mono_ns - started_mono_ns) / 1e9, 3),
        devices=len(views),
        devices_heard=sum(view.comms == "up" for view in views),
        fixes=sum(view.counts["fixes"] for view in views),
        alerts=composer.alerts,
        outbox=OutboxDepth(
            alerts=stats.queued_alerts,
            states=stats.queued_states,
            positions=stats.queued_positions,
            in_flight=stats.in_flight,
            oldest_alert_age_s=round(age_ns / 1e9, 3),
            positions_dropped=stats.positions_dropped,
            rejected=stats.rejected,
            without_subscriber=stats.without_subscriber,
            unheard_alerts=stats.unheard_alerts,
            positions_unheard=stats.positions_unheard,
            reconnects=max(0, stats.connects - 1),
        ),
        durable=composer.identity.durable,
        epoch=composer.identity.epoch,
    )
