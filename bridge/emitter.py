"""From changes to published messages: asks the ledger what is news, composes it, publishes it."""

from collections.abc import Callable

from bridge.alerts.change import Change, Ledger
from bridge.compose import Composer, StageStamps
from bridge.judge import FixRow
from bridge.publisher import Message
from bridge.view import DeviceView
from bridge.warning.records import Step
from devices.clock import Clock
from devices.events import Stamps
from protocols.mqtt.messages import CountedEvent

AlertObserver = Callable[[CountedEvent], None]


class Emitter:
    """Publishes alerts, snapshots, states and positions of all devices.

    Parameters
    ----------
    composer : Composer
    clock : Clock
        Stamps the moment of submission.
    publish : callable
        Takes every message, in order.
    on_alert : callable
        Told of every alert and every step of a warning, for logs.
    status_interval_ns : int
        A device's state goes out at least this often while it is heard, else only on change.
    """

    def __init__(
        self,
        *,
        composer: Composer,
        clock: Clock,
        publish: Callable[[Message], None],
        on_alert: AlertObserver,
        status_interval_ns: int,
    ) -> None:
        self.ledger = Ledger()
        self._composer = composer
        self._clock = clock
        self._publish = publish
        self._on_alert = on_alert
        self._status_interval_ns = status_interval_ns
        self._alerted: set[int] = set()

    @property
    def epoch(self) -> str:
        """Name of this start of the bridge."""
        return self._composer.identity.epoch

    def alert(self, change: Change, view: DeviceView, judged_mono_ns: int) -> None:
        """Publish what a change means for its alert, if anything."""
        step = self.ledger.find_step(change)
        if step is None:
            return
        stages = StageStamps(
            judged_mono_ns=judged_mono_ns,
            submitted_mono_ns=self._clock.mono_ns(),
            submitted_utc_ns=self._clock.utc_ns(),
        )
        event, message = self._composer.alert(change, step, self.ledger.find(change.key), view, stages)
        self._publish(message)
        self.ledger.record(change, step, event.id)
        self._alerted.add(view.device_idx)
        self._on_alert(event)

    def warning(self, step: Step, view: DeviceView) -> None:
        """Publish a step in the life of a warning."""
        event, message = self._composer.warning(step, view)
        self._publish(message)
        self._on_alert(event)

    def position(self, row: FixRow, *, late: bool) -> None:
        """Publish a position."""
        self._publish(self._composer.position(row.view, row.fix, row.stamps.t_rx_utc_ns, late=late))

    def state(self, view: DeviceView, stamps: Stamps) -> None:
        """Publish a device's state and snapshot of alerts, each when something in it changed."""
        first = view.published is None
        matters = _what_matters(view)
        if matters != view.published or stamps.t_decoded_mono_ns >= view.status_due_mono_ns:
            view.published = matters
            view.status_due_mono_ns = stamps.t_decoded_mono_ns + self._status_interval_ns
            self._publish(self._composer.status(view, stamps.t_rx_utc_ns))
        if first or view.device_idx in self._alerted:
            self.active(view, stamps)

    def active(self, view: DeviceView, stamps: Stamps) -> None:
        """Publish the snapshot of a device's raised alerts."""
        self._alerted.discard(view.device_idx)
        raised = self.ledger.of_device(view.id)
        self._publish(self._composer.active(view, raised, stamps.t_rx_utc_ns))


def _what_matters(view: DeviceView) -> tuple[object, ...]:
    """Choose the fields of a state that a person acts on; millivolts and degrees ride along."""
    told = view.status
    return (
        view.comms,
        view.location,
        view.fix_state,
        (view.battery_pct, view.firmware, view.smart_tag, view.sos, view.standing),
        tuple(view.wearer_pairs.values()),
        tuple(pair.band for pair in view.protected_pairs.values()),
        (told.strap, told.case, told.shielded, told.jamming, told.battery_pct, told.charging, told.firmware)
        if told is not None
        else None,
    )
