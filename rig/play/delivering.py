"""When the way from the bridge to the subscriber is at work: what holds virtual time still."""

from rig.errors import BenchBrokenError
from rig.play.broker import RunBroker
from rig.play.played_bridge import PlayedBridge
from rig.provider.loop_subscriber import LoopSubscriber
from rig.virtual.clock import VirtualClock
from rig.virtual.loop import VirtualLoop

PUBLISHER: str = "the bridge's publisher: an answer of the broker"
SUBSCRIBER: str = "the subscriber: what the broker has taken"


class Delivering:
    """Gates of a run.

    Parameters
    ----------
    loop : VirtualLoop
    clock : VirtualClock
    broker : RunBroker
    subscriber : LoopSubscriber
    """

    def __init__(self, loop: VirtualLoop, clock: VirtualClock, broker: RunBroker, subscriber: LoopSubscriber) -> None:
        self._clock = clock
        self._broker = broker
        self._subscriber = subscriber
        self._bridge: PlayedBridge | None = None
        self._seen: tuple[int, bool] | None = None
        self._is_busy = False
        self._taken = (0, 0, 0)
        self._marked = (0, 0, 0)
        broker.on_up.append(self._came_up)
        loop.add_gate(PUBLISHER, self.is_publishing)
        loop.add_gate(SUBSCRIBER, self.is_subscriber_behind)

    def watch(self, bridge: PlayedBridge) -> None:
        """Look at this bridge's publisher from now on."""
        self._bridge = bridge

    def is_publishing(self) -> bool:
        """Whether the publisher makes a connection, waits for a PUBACK, or has not seen that the broker is gone."""
        bridge = self._bridge
        sleepers = self._clock.sleepers
        seen = (self._clock.turns, self._broker.is_up)
        if bridge is None or (seen == self._seen and sleepers):
            return self._is_busy
        stats = bridge.find_stats()
        if stats is None:
            return False
        self._seen = seen
        self._taken = (stats.delivered, stats.resent, stats.without_subscriber)
        if not stats.running:
            self._is_busy = False
        elif not sleepers:
            # it was started, and has not come to its first wait
            return True
        else:
            is_up = self._broker.is_up
            self._is_busy = any(
                path.is_connecting or path.in_flight or (path.connected and not is_up) for path in stats.paths
            )
            if self._clock.is_any_busy() or self._clock.turns != seen[0]:
                # It woke meanwhile: what was read may be half of a turn's work, and says nothing of its end.
                self._seen = None
                return True
        return self._is_busy

    def is_subscriber_behind(self) -> bool:
        """Whether the broker has taken what the subscriber has not got."""
        subscriber = self._subscriber
        if not self._broker.is_up:
            return subscriber.is_subscribed
        if not subscriber.is_subscribed:
            return True
        if self._taken != self._marked:
            self._marked = self._taken
            subscriber.mark()
        return subscriber.is_waiting

    def _came_up(self) -> None:
        self._subscriber.connect()
        self._marked = (-1, -1, -1)


def check_subscribed(subscriber: LoopSubscriber) -> None:
    """Raise where there is no subscription.

    Raises
    ------
    BenchBrokenError
        The broker did not give it.
    """
    if not subscriber.is_subscribed:
        raise BenchBrokenError(f"the subscriber has no subscription: {subscriber.detail}")
