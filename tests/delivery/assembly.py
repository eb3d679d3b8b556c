"""Where the worker puts the parts of the bridge together, as ``bridge.app`` does."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bridge.mqtt.canary import CanarySettings
from bridge.mqtt.presence import Presence
from bridge.mqtt.publisher import BrokerState, MqttPublisher, ReceiptPolicy
from bridge.mqtt.session import MqttSession
from bridge.mqtt.settings import PathSettings
from bridge.outbox.durable import DurableOutbox
from bridge.outbox.port import OutboxTrouble
from bridge.publisher import DeliveryTrouble, Inbound, Message
from devices.clock import Clock

INJECTABLE = {
    "on_connect": "_on_connect",
    "on_disconnect": "_on_disconnect",
    "on_publish": "_on_publish",
    "on_subscribe": "_on_subscribe",
    "on_message": "_on_message",
}
"""Callbacks that paho calls, by the names of the session's methods."""


class Assembly:
    """Publisher and outbox. ``hostile`` callbacks raise the first time that they are called."""

    def __init__(
        self,
        plan: Any,
        paths: Sequence[PathSettings],
        clock: Clock,
        *,
        epoch: str,
        presence: Presence,
        on_committed: Callable[[Sequence[Message], bool], None],
        say: Callable[[str], None],
    ) -> None:
        self._hostile = set(plan.hostile)
        self._say = say
        folder = Path(plan.outbox or Path(plan.folder) / "outbox")
        outbox, found = DurableOutbox.open(folder, paths=len(paths), clock=clock, on_trouble=self._on_disk)
        self.sequences = found.sequences
        self.recovered = {"alerts": found.waiting_alerts, "positions": found.waiting_positions}
        self._inject_into_session()
        self.publisher = MqttPublisher(
            paths=paths,
            outbox=outbox,
            clock=clock,
            presence=presence,
            on_state=self._on_state,
            on_committed=self._guard("on_committed", on_committed),
            on_inbound=self._on_inbound,
            on_trouble=self._on_trouble,
            canary=None if plan.canary_s is None else CanarySettings(interval_s=plan.canary_s, epoch=epoch),
            receipts=ReceiptPolicy(timeout_s=plan.receipt_timeout_s or 15.0),
        )

    def replay(self, source: str, first: int, last: int) -> int:
        """Send messages of a stream again; how many were queued."""
        return self.publisher.replay(source, first, last).result(10).queued

    def _guard(self, name: str, callback: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            callback(*arguments)
            self._fail_once(name)

        return guarded

    def _fail_once(self, name: str) -> None:
        if name in self._hostile:
            self._hostile.discard(name)
            self._say(f"raised {name}")
            raise RuntimeError(f"{name} was told to fail")

    def _inject_into_session(self) -> None:
        for name in self._hostile & set(INJECTABLE):
            method = INJECTABLE[name]
            original = getattr(MqttSession, method)

            def failing(session: Any, *arguments: Any, _original: Any = original, _name: str = name) -> None:
                self._fail_once(_name)
                _original(session, *arguments)

            setattr(MqttSession, method, failing)

    def _on_state(self, state: BrokerState) -> None:
        self._say(f"state {'over' if state.is_over else 'up' if state.connected else 'down'} {state.path}")
        self._fail_once("on_state")

    def _on_trouble(self, trouble: DeliveryTrouble) -> None:
        self._say(f"{trouble.kind.value} {'over' if trouble.is_over else 'begins'} {trouble.path}")
        self._fail_once("on_trouble")

    def _on_disk(self, trouble: OutboxTrouble) -> None:
        self._say(f"disk {trouble.kind.value} {'over' if trouble.is_over else 'begins'}")

    def _on_inbound(self, inbound: Inbound) -> None:
        self._say(f"inbound {inbound.topic}")
        self._fail_once("on_inbound")
