"""What delivers a bridge's messages, from its configuration: outbox, disclosure log, publisher, supervisor."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bridge.broker_access import path_settings, plain_endpoints
from bridge.compose import Composer
from bridge.config.load import LoadedConfig
from bridge.disclosure import DisclosureLog
from bridge.errors import DisclosureError, OutboxError, OutboxLockedError
from bridge.identity import Identity
from bridge.mqtt.canary import CanarySettings
from bridge.mqtt.policy import BrokerState, ReceiptPolicy
from bridge.mqtt.presence import Presence
from bridge.mqtt.publisher import MqttPublisher
from bridge.outbox.durable import DurableOutbox
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.port import Outbox, OutboxTrouble, Recovered
from bridge.publisher import DeliveryTrouble, Inbound, Message
from bridge.supervisor import Pulse, Supervisor
from devices.clock import Clock

_log = logging.getLogger(__name__)

DAY_NS = 86_400_000_000_000
MIB = 1 << 20

MOST_IN_MEMORY = 10_000
"""Positions that wait without a disk: 15 MB, 17 minutes of ten tags at 1 Hz. More would take the memory from alerts."""

MOST_ON_DISK = 2_000_000
"""The same on disk: 2 GB, two weeks of a hundred tags at one fix a minute. More would fill a small disk."""

Hop = Callable[..., object]
"""Calls a function with arguments in the event loop's thread, from any thread."""


class Delivery:
    """Opened before anything is judged, for it knows what earlier starts left; connected once a broker is known.

    Parameters
    ----------
    loaded : LoadedConfig
    folder : Path
        Of the outbox. One that cannot be used is told, and messages wait in memory: a disk that broke since the last
        start must not leave a protected person without a bridge.
    disk_trouble : str or None
        Why it is not even tried.
    clock : Clock
    warn : callable
        Told of trouble and of its end, in the event loop's thread.
    hop : callable
        See ``Hop``.

    Raises
    ------
    OutboxLockedError
        Another bridge has this outbox.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        folder: Path,
        *,
        clock: Clock,
        warn: Callable[[str], None],
        hop: Hop,
        disk_trouble: str | None = None,
    ) -> None:
        self._loaded = loaded
        self._clock = clock
        self._warn = warn
        self._hop = hop
        self._disclosures: DisclosureLog | None = None
        self.publisher: MqttPublisher | None = None
        self.supervisor = Supervisor()
        self._pulses: list[Pulse] = []
        self._outbox, self.recovered = self._open(folder, disk_trouble)

    def _open(self, folder: Path, disk_trouble: str | None) -> tuple[Outbox, Recovered]:
        config = self._loaded.config.outbox
        paths = 2 if self._loaded.config.broker.second_urls else 1
        asked = self._loaded.config.policy.max_queued_positions
        if config.durable and disk_trouble is None:
            try:
                return DurableOutbox.open(
                    folder,
                    paths=paths,
                    clock=self._clock,
                    max_positions=MOST_ON_DISK if asked is None else asked,
                    keep_ns=int(config.retention_days * DAY_NS),
                    ballast_bytes=config.ballast_mib * MIB,
                    on_trouble=self._tell_disk,
                )
            except OutboxLockedError:
                raise
            except OutboxError as exc:
                disk_trouble = str(exc)
        if disk_trouble is not None:
            self._warn(
                f"the outbox cannot be used: {disk_trouble}. Messages wait in memory: they are lost "
                "with the process, and numbers begin anew. Next: mend it and start the bridge again"
            )
        most = MOST_IN_MEMORY if asked is None else asked
        outbox = MemoryOutbox(max_positions=most, paths=paths, clock=self._clock, on_trouble=self._tell_disk)
        return outbox, Recovered(sequences={}, kept=(), waiting_alerts=0, waiting_positions=0)

    def make_publisher(
        self,
        composer: Composer,
        *,
        environment: Mapping[str, str],
        embedded_url: str | None,
        on_state: Callable[[BrokerState], None],
        on_committed: Callable[[Sequence[Message], bool], None],
        on_inbound: Callable[[Inbound], None],
    ) -> MqttPublisher:
        """Make the publisher; not started.

        Raises
        ------
        ConfigError
            A certificate, key or password cannot be used.
        """
        config = self._loaded.config
        identity = composer.identity
        paths = path_settings(self._loaded, environment, embedded_url)
        for url in plain_endpoints(paths):
            self._warn(f"{url} is not encrypted: positions are readable on the way. Next: use mqtts://")
        if config.disclosure.enabled and (embedded_url is None or len(paths) > 1):
            self._disclosures = self._open_log(identity, paths[0].endpoints[0].client_id)
        pulse = self.supervisor.watch("the publisher's loop")
        self._pulses.append(pulse)
        self.publisher = MqttPublisher(
            paths=paths,
            outbox=self._outbox,
            clock=self._clock,
            presence=self._presence(identity),
            on_state=on_state,
            on_committed=on_committed,
            on_inbound=on_inbound,
            on_trouble=self._tell_delivery,
            common_name=config.bridge.id,
            canary=CanarySettings(interval_s=config.policy.canary_interval_s, epoch=identity.epoch),
            receipts=ReceiptPolicy(mode=config.outbox.receipts, timeout_s=config.outbox.receipt_timeout_s),
            disclosures=self._disclosures,
            beat=pulse.beat,
        )
        return self.publisher

    def _presence(self, identity: Identity) -> Presence:
        """Make statuses by a composer of the publisher's thread: it alone knows when they hold."""
        own = Composer(identity, sequences=self.recovered.sequences)
        return Presence(
            topic=own.bridge_status_topic,
            make=lambda state, reason: own.bridge_status(state, reason, self._clock.utc_ns()),
        )

    def _open_log(self, identity: Identity, client_id: str) -> DisclosureLog | None:
        """Open the log. Without it the bridge runs all the same: no order's supervision may end with a disk."""
        config = self._loaded.config
        folder = self._loaded.path_of(config.disclosure.folder)
        try:
            return DisclosureLog(
                # One writer a chain.
                folder if identity.bridge_id == config.bridge.id else folder / identity.bridge_id,
                bridge_id=identity.bridge_id,
                client_id=client_id,
                version=identity.version,
                epoch=identity.epoch,
                purpose=config.disclosure.purpose,
                clock=self._clock,
                on_trouble=self._tell_log,
            )
        except DisclosureError as exc:
            self._warn(f"{exc}. What is disclosed meanwhile is written down nowhere")
            return None

    def watch_loop(self) -> Pulse:
        """Begin to watch the event loop, and start the supervisor."""
        pulse = self.supervisor.watch("the event loop")
        self._pulses.append(pulse)
        self.supervisor.start()
        return pulse

    def stop_watching(self) -> None:
        """Stop the supervisor: what follows ends in its own time."""
        for pulse in self._pulses:
            pulse.stop()
        self.supervisor.close()

    def close(self) -> None:
        """Release everything that is still open: a publisher closes the outbox and the log with itself."""
        self.stop_watching()
        if self.publisher is not None:
            self.publisher.close(0.0)
            return
        self._outbox.close()
        if self._disclosures is not None:
            self._disclosures.close()

    def _tell_disk(self, trouble: OutboxTrouble) -> None:
        began = "" if not trouble.is_over else "over: "
        self._hop(self._warn, f"outbox: {began}{trouble.detail}")

    def _tell_delivery(self, trouble: DeliveryTrouble) -> None:
        where = f" ({trouble.path} path)" if trouble.path and self._loaded.config.broker.second_urls else ""
        began = "" if not trouble.is_over else "over: "
        self._hop(self._warn, f"delivery{where}: {began}{trouble.detail}")

    def _tell_log(self, trouble: str) -> None:
        self._hop(self._warn, f"disclosure log: {trouble or 'over: lines are written again'}")
