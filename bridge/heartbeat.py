"""What a heartbeat says; its silence is an alarm at the provider."""

from collections.abc import Sequence

from bridge.compose import Composer
from bridge.publisher import PublisherStats
from bridge.view import DeviceView
from protocols.mqtt.messages import HeartbeatData, OutboxDepth, PathState
from protocols.mqtt.words import DiskState, Presence


def heartbeat_data(
    composer: Composer,
    views: Sequence[DeviceView],
    stats: PublisherStats,
    *,
    now_mono_ns: int,
    started_mono_ns: int,
    commands_refused: int = 0,
) -> HeartbeatData:
    """Sum up the bridge: who is heard, what waits, what was lost, who listens."""
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
            unreceipted=stats.unreceipted,
            oldest_unreceipted_age_s=round((stats.oldest_unreceipted_age_ns or 0) / 1e9, 3),
            receipts=stats.receipts_seen,
        ),
        durable=stats.durable,
        epoch=composer.identity.epoch,
        disk=_disk(composer.identity.durable, stats),
        canary=stats.canary,
        provider=_provider(stats),
        clock=composer.clock,
        last_alert=composer.last_alert,
        paths=tuple(
            PathState(
                name=path.name,
                connected=path.connected,
                endpoint=path.url,
                reconnects=max(0, path.connects - 1),
                in_flight=path.in_flight,
                canary=path.canary,
            )
            for path in stats.paths
        ),
        commands_refused=commands_refused,
    )


def _disk(should_be_durable: bool, stats: PublisherStats) -> DiskState:
    if not should_be_durable:
        return "off"
    if stats.durable:
        # It takes what is written, and did not give back all that was.
        return "ok" if stats.disk_trouble is None else "failing"
    return "full" if stats.disk_trouble is not None and "disk is full" in stats.disk_trouble else "failing"


def _provider(stats: PublisherStats) -> Presence:
    if stats.provider_online is None:
        return "unknown"
    return "online" if stats.provider_online else "offline"
