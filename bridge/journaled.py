"""A pipeline and a composer that write each turn to a journal. What they do is what their bases do."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bridge.compose import Composer
from bridge.emitter import AlertObserver
from bridge.identity import Identity
from bridge.journal import Journal
from bridge.orders.handover import Handover
from bridge.pipeline import Pipeline
from bridge.plan import Plan
from bridge.publisher import Lane, Message, Saved
from bridge.sampling import Steer
from bridge.silence import Deadline, DeadlineWheel
from bridge.view import DeviceView
from bridge.warning.person import PersonDesk
from bridge.warning.records import Ask, Delivered
from devices.clock import Clock
from devices.events import DeviceEvent
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt import messages as m
from protocols.mqtt.topics import Side, Stream


class JournaledComposer(Composer):
    """Notes each message that it makes, and each thing that it is asked to say by others than the pipeline."""

    def __init__(
        self, journal: Journal, identity: Identity, kinds: dict[str, str], *, sequences: dict[str, int]
    ) -> None:
        super().__init__(identity, kinds, sequences=sequences)
        self._journal = journal

    def reply(self, data: m.ReplyData, t_utc_ns: int, *, saves: tuple[Saved, ...] = ()) -> Message:
        """Make an answer to a command."""
        with self._journal.turn("reply", {"data": data, "t_utc_ns": t_utc_ns}):
            return super().reply(data, t_utc_ns, saves=saves)

    def heartbeat(self, data: m.HeartbeatData, t_utc_ns: int) -> Message:
        """Make a heartbeat."""
        with self._journal.turn("heartbeat", {"data": data, "t_utc_ns": t_utc_ns}):
            return super().heartbeat(data, t_utc_ns)

    def _message(
        self,
        event: m.Event,
        side: Side,
        subject: str,
        stream: Stream,
        lane: Lane,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        alert_type: type[m.DeliveredEvent] | None = None,
    ) -> Message:
        message = super()._message(
            event, side, subject, stream, lane, retain=retain, expiry_s=expiry_s, alert_type=alert_type
        )
        self._journal.note_message(message)
        return message


class JournaledPipeline(Pipeline):
    """Writes down what it is given, turn by turn."""

    def __init__(
        self,
        journal: Journal,
        *,
        plan: Plan,
        composer: Composer,
        wheel: DeadlineWheel,
        publish: Callable[[Message], None],
        on_alert: AlertObserver,
        ask: Callable[[Ask], None],
        steer: Callable[[Steer], None] | None = None,
    ) -> None:
        super().__init__(
            plan=plan,
            composer=composer,
            clock=journal.clock,
            wheel=wheel,
            publish=publish,
            on_alert=on_alert,
            ask=ask,
            steer=steer,
        )
        self._journal = journal

    def restore(self, saved: Iterable[Saved]) -> None:
        """Take what earlier starts kept; it stands in the journal's start."""
        with self._journal.turn("restore", {}):
            super().restore(saved)

    def start(self, now_mono_ns: int, now_utc_ns: int) -> None:
        """Arm the silence deadlines."""
        with self._journal.turn("start", {"now_mono_ns": now_mono_ns, "now_utc_ns": now_utc_ns}):
            super().start(now_mono_ns, now_utc_ns)

    def acknowledge(self, event_id: str, by: str, at_utc_ns: int) -> str | None:
        """Note that somebody has taken up an alert."""
        with self._journal.turn("acknowledge", {"event_id": event_id, "by": by, "at_utc_ns": at_utc_ns}):
            return super().acknowledge(event_id, by, at_utc_ns)

    def process(self, batch: Sequence[DeviceEvent]) -> None:
        """Judge all that arrived in one turn of the loop."""
        with self._journal.turn("process", {"events": [_event(each) for each in batch]}):
            super().process(batch)

    def on_due(self, passed: Iterable[Deadline], now_mono_ns: int) -> None:
        """Handle deadlines that passed."""
        passed = tuple(passed)
        with self._journal.turn("on_due", {"passed": passed, "now_mono_ns": now_mono_ns}):
            super().on_due(passed, now_mono_ns)

    def on_delivered(self, delivered: Delivered, now_mono_ns: int) -> None:
        """Take what a smart tag's driver says about a warning."""
        given = {"kind": type(delivered).__name__, "delivered": delivered, "now_mono_ns": now_mono_ns}
        with self._journal.turn("on_delivered", given):
            super().on_delivered(delivered, now_mono_ns)

    def replan(self, handover: Handover, now_mono_ns: int) -> None:
        """Go on with another plan of the same devices."""
        with self._journal.turn("replan", {"orders": handover.orders, "now_mono_ns": now_mono_ns}):
            super().replan(handover, now_mono_ns)

    def take_provider(
        self, person: str, level: WarnLevel | None, text: WarnText, now_mono_ns: int
    ) -> PersonDesk | None:
        """Warn a protected person for the provider, or stop it."""
        given = {"person": person, "level": level, "text": text, "now_mono_ns": now_mono_ns}
        with self._journal.turn("take_provider", given):
            return super().take_provider(person, level, text, now_mono_ns)

    def set_interval(self, view: DeviceView, interval_s: float, now_mono_ns: int) -> Saved:
        """Expect a device's reports as often as it was told to send them."""
        given = {"device": view.id, "interval_s": interval_s, "now_mono_ns": now_mono_ns}
        with self._journal.turn("set_interval", given):
            return super().set_interval(view, interval_s, now_mono_ns)

    def on_steered(self, steer: Steer, followed: bool, now_mono_ns: int) -> None:
        """Take whether a tag reports as often as it was asked to."""
        with self._journal.turn("on_steered", {"steer": steer, "followed": followed, "now_mono_ns": now_mono_ns}):
            super().on_steered(steer, followed, now_mono_ns)

    def resend_active(self, views: Iterable[DeviceView], now_mono_ns: int) -> None:
        """Publish the snapshots of raised alerts of devices again."""
        views = tuple(views)
        given = {"devices": [view.id for view in views], "now_mono_ns": now_mono_ns}
        with self._journal.turn("resend_active", given):
            super().resend_active(views, now_mono_ns)

    def finish(self, now_mono_ns: int) -> None:
        """Close what only more reports could have closed."""
        with self._journal.turn("finish", {"now_mono_ns": now_mono_ns}):
            super().finish(now_mono_ns)


def _event(event: DeviceEvent) -> dict[str, Any]:  # Any: one of a dozen reports, told apart by ``kind``
    return {
        "device": event.device_id,
        "kind": type(event.report).__name__,
        "report": event.report,
        "stamps": event.stamps,
    }


def make_composer(
    journal: Journal | None, identity: Identity, kinds: dict[str, str], sequences: dict[str, int]
) -> Composer:
    """Make the composer of a start, journaled or not."""
    if journal is None:
        return Composer(identity, kinds, sequences=sequences)
    return JournaledComposer(journal, identity, kinds, sequences=sequences)


def make_pipeline(
    journal: Journal | None,
    *,
    plan: Plan,
    composer: Composer,
    clock: Clock,
    wheel: DeadlineWheel,
    publish: Callable[[Message], None],
    on_alert: AlertObserver,
    ask: Callable[[Ask], None],
    steer: Callable[[Steer], None] | None = None,
) -> Pipeline:
    """Make the pipeline of a start, journaled or not."""
    if journal is None:
        return Pipeline(
            plan=plan,
            composer=composer,
            clock=clock,
            wheel=wheel,
            publish=publish,
            on_alert=on_alert,
            ask=ask,
            steer=steer,
        )
    return JournaledPipeline(
        journal,
        plan=plan,
        composer=composer,
        wheel=wheel,
        publish=publish,
        on_alert=on_alert,
        ask=ask,
        steer=steer,
    )
