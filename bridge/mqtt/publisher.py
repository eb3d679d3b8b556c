"""Publisher over MQTT: one thread owns the outbox and all connections, the outbox owns the order.

::

    submit() --> intake --> [thread: one commit for all that waits] --> outbox
                                                                          |  next, alerts first
                            [same thread: window of unacknowledged publishes per path] --> broker, second broker
                   outbox <-- rewind on loss, PUBACK, receipt --------------+
"""

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from bridge.mqtt.canary import CanarySettings, CanaryWatch
from bridge.mqtt.counting import publisher_stats
from bridge.mqtt.events import Received
from bridge.mqtt.flight import Flights
from bridge.mqtt.inbound import InboundDesk, InboundTopics
from bridge.mqtt.intake import Commit, Intake
from bridge.mqtt.link import Link
from bridge.mqtt.policy import BrokerState as BrokerState
from bridge.mqtt.policy import DisclosureSink, ReceiptPolicy
from bridge.mqtt.presence import Presence
from bridge.mqtt.replays import Replays
from bridge.mqtt.settings import PathSettings
from bridge.mqtt.waiter import Waiter
from bridge.outbox.port import Outbox, OutboxDepths, Replayed
from bridge.publisher import DeliveryTrouble, DeliveryTroubleKind, Inbound, Message, PublisherStats
from devices.clock import Clock
from protocols.mqtt.inbound import Canary, Receipt

_log = logging.getLogger(__name__)

FAREWELL_S = 1.0
"""How long the last status waits for its PUBACK."""

JOIN_MARGIN_S = 15.0
"""Beyond its deadlines the thread may be inside one commit; a disk that takes longer is given up on."""

RECEIPT_CHECK_NS = 1_000_000_000
"""How often unreceipted alerts are looked for. Their timeouts are seconds; more often only costs queries."""

PURGE_EVERY_NS = 60_000_000_000
PURGE_AGAIN_NS = 100_000_000
PURGE_ROWS = 500
"""Old rows are deleted in batches this large, this often while more are found, and only with nothing in flight. A batch
takes milliseconds; more would be felt by an alert that comes meanwhile."""

PURGE_OVERDUE_NS = 600_000_000_000
"""With something in flight for so long they are deleted all the same: ceaseless traffic must not fill the disk."""

MAX_QUEUED_POSITIONS = 10_000
"""Positions between ``submit`` and the outbox. They pile up only while the disk hangs; at 700 bytes, 7 MB."""


class MqttPublisher:
    """Publishes the outbox's messages in order, over as many connections as it takes.

    Parameters
    ----------
    paths : sequence of PathSettings
        One, or two for those who want no gap when a broker fails; as many as the outbox was made for.
    outbox : Outbox
        From ``start`` on it belongs to the thread, which closes it.
    clock : Clock
        For ages and deadlines; the thread's own waits are bounded by them.
    presence : Presence
        Bridge status: first message of every connection; what the broker says for us when we are gone; what we say
        ourselves when we stop in order.
    on_state : callable
        Told of each change of a connection; must not block, like all that follow. All are called in this thread.
    on_committed : callable or None
        Told of each commit: the messages, and whether they are on disk.
    on_inbound : callable or None
        Given commands, unread. None: they are not subscribed to.
    on_trouble : callable or None
        Told what else threatens the delivery. Trouble with the disk is the outbox's to tell.
    common_name : str or None
        Id of the bridge in the configuration, where several share it: receipts and commands come for that as well.
    canary : CanarySettings or None
    receipts : ReceiptPolicy
    disclosures : DisclosureSink or None
    beat : callable
        Called at every turn of the thread, at least once a second.
    """

    def __init__(
        self,
        *,
        paths: Sequence[PathSettings],
        outbox: Outbox,
        clock: Clock,
        presence: Presence,
        on_state: Callable[[BrokerState], None],
        on_committed: Callable[[Sequence[Message], bool], None] | None = None,
        on_inbound: Callable[[Inbound], None] | None = None,
        on_trouble: Callable[[DeliveryTrouble], None] | None = None,
        common_name: str | None = None,
        canary: CanarySettings | None = None,
        receipts: ReceiptPolicy | None = None,
        disclosures: DisclosureSink | None = None,
        beat: Callable[[], None] | None = None,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._presence = presence
        self._on_state = on_state
        self._on_committed = on_committed
        self._on_trouble = on_trouble
        self._receipts = receipts or ReceiptPolicy()
        self._disclosures = disclosures
        self._beat = beat
        self._waiter = Waiter(clock)
        self._intake = Intake(max_positions=MAX_QUEUED_POSITIONS)
        topics = InboundTopics.beside(presence.topic, common_name)
        self._desk = InboundDesk(
            topics=topics,
            clock=clock,
            take_receipt=self._take_receipt,
            take_canary=self._take_canary,
            take_command=on_inbound,
            tell_listening=self._tell_listening,
            tell_back=self._provider_returned,
        )
        self._links = [
            Link(
                number=number,
                settings=path,
                outbox=outbox,
                flights=Flights(number=number, outbox=outbox, clock=clock, disclosures=disclosures),
                presence=presence,
                filters=self._desk.filters(with_canary=canary is not None),
                canary=None if canary is None else CanaryWatch(canary, topics.canary, number, len(paths)),
                clock=clock,
                wake=self._waiter.wake,
                observer=self,
            )
            for number, path in enumerate(paths)
        ]
        self._replays = Replays()
        self._close_deadline_mono_ns: int | None = None
        self._is_last_try = False
        self._last_depths: OutboxDepths | None = None
        self._left = 0
        self._receipts_count = 0
        self._receipt_check_mono_ns = 0
        self._purged_mono_ns = clock.mono_ns()
        self._purge_mono_ns = self._purged_mono_ns + PURGE_EVERY_NS
        self._is_running = False
        self._dead_detail: str | None = None
        self._thread = threading.Thread(target=self._run, name="mqtt-publisher", daemon=True)

    def start(self) -> None:
        """Start the thread; the first attempt to connect is made at once."""
        self._is_running = True
        self._thread.start()

    def submit(self, message: Message) -> None:
        """See ``Publisher.submit``."""
        self._intake.put((message,))
        self._waiter.wake()

    def submit_durably(self, messages: Sequence[Message], timeout_s: float) -> bool:
        """See ``Publisher.submit_durably``."""
        if not messages:
            return True
        commit = Commit()
        self._intake.put(messages, commit)
        self._waiter.wake()
        return commit.done.wait(timeout_s) and commit.is_durable

    def replay(self, source: str, first: int, last: int) -> "Future[Replayed]":
        """Queue messages of a source again, by their numbers. Ends with ``CancelledError`` if the publisher ends first.

        Raises
        ------
        PublisherClosedError
            ``close`` was called.
        """
        self._intake.check_open(f"a replay of {source}")
        future = self._replays.ask(source, first, last)
        self._waiter.wake()
        return future

    def close(self, timeout_s: float) -> int:
        """See ``Publisher.close``."""
        if self._close_deadline_mono_ns is None:
            self._intake.close()
            self._close_deadline_mono_ns = self._clock.mono_ns() + int(timeout_s * 1e9)
            self._waiter.wake()
            if self._thread.ident is None:
                self._end(in_order=False)
                return self._left + self._waiting()
            self._thread.join(timeout_s + FAREWELL_S + JOIN_MARGIN_S)
            if self._thread.is_alive():
                _log.error("the publisher's thread has not ended within %g s", timeout_s + FAREWELL_S + JOIN_MARGIN_S)
        if self._thread.is_alive():
            depths = self._depths()
            return depths.alerts + depths.states + depths.positions + depths.handed_out + self._waiting()
        return self._left + self._waiting()

    def stats(self) -> PublisherStats:
        """See ``Publisher.stats``."""
        # In this order: a message on its way from one to the next is counted twice, not nowhere.
        waiting = self._intake.counts()
        return publisher_stats(
            links=self._links,
            intake=self._intake,
            waiting=waiting,
            desk=self._desk,
            depths=self._depths(),
            receipts_seen=self._receipts_count,
            is_running=self._is_running,
            dead_detail=self._dead_detail,
            now_mono_ns=self._clock.mono_ns(),
        )

    # What links tell.

    def connection_changed(self, link: Link) -> None:
        """See ``LinkObserver``."""
        self._on_state(BrokerState(connected=link.connected, detail=link.detail, path=link.name, url=link.settings.url))

    def trouble_changed(self, trouble: DeliveryTrouble) -> None:
        """See ``LinkObserver``."""
        if self._on_trouble is not None:
            self._on_trouble(trouble)

    def received(self, link: Link, event: Received) -> None:
        """See ``LinkObserver``."""
        self._desk.take(link.number, event)

    # The thread.

    def _run(self) -> None:
        ended_in_order = False
        try:
            while not self._is_done():
                self._turn()
            self._say_farewell()
            ended_in_order = True
        finally:
            self._is_running = False
            try:
                if not ended_in_order:
                    self._dead_detail = f"the publisher's thread failed: {sys.exception()!r}"
                    self._on_state(BrokerState(connected=False, detail=self._dead_detail, is_over=True))
            finally:
                self._end(in_order=ended_in_order)

    def _end(self, *, in_order: bool) -> None:
        """Release everything, whatever failed before."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._waiter.close)
            stack.callback(self._close_outbox)
            stack.callback(self._replays.cancel)
            for link in self._links:
                stack.callback(link.end, in_order=in_order)
                stack.callback(self._waiter.forget, link.number)
            if self._disclosures is not None:
                stack.callback(self._disclosures.close)

    def _close_outbox(self) -> None:
        for link in self._links:
            self._outbox.rewind(link.number)
        self._last_depths = self._outbox.depths()
        left = self._outbox.close()
        self._left = left.alerts + left.states + left.positions

    def _is_done(self) -> bool:
        deadline = self._close_deadline_mono_ns
        if deadline is None:
            return False
        if not self._intake.is_empty and self._clock.mono_ns() < deadline:
            return False
        if not self._is_last_try:
            self._is_last_try = True
            self._commit()
            self._outbox.begin_last_try()
            self._waiter.wake()
        return self._outbox.is_stuck or self._clock.mono_ns() >= deadline

    def _turn(self) -> None:
        """Do one turn of the loop: connect if due, wait, commit, read, send, watch, tidy up."""
        if self._beat is not None:
            self._beat()
        for link in self._links:
            link.advance()
        ready = self._wait()
        self._commit()
        for link in self._links:
            link.serve(ready.get(link.number, 0))
        all_sent = True
        for link in self._links:
            all_sent &= link.pump()
        for link in self._links:
            link.watch()
        if self._disclosures is not None:
            self._disclosures.flush()
        self._tidy(all_sent)

    def _wait(self) -> dict[int, int]:
        interests = {link.number: interest for link in self._links if (interest := link.find_interest) is not None}
        return self._waiter.wait(interests, self._patience_s())

    def _patience_s(self) -> float:
        """How long nothing needs to be done."""
        if not self._intake.is_empty:
            return 0.0
        now = self._clock.mono_ns()
        due = [link.find_due_mono_ns(now) for link in self._links]
        flush = self._outbox.find_flush_mono_ns()
        if flush is not None:
            due.append(flush)
        if self._close_deadline_mono_ns is not None:
            due.append(self._close_deadline_mono_ns)
        return max(0.0, (min(due) - now) / 1e9)

    def _commit(self) -> None:
        """Keep what was handed over, then tell who waits for it."""
        messages, waiting = self._intake.take()
        if messages:
            is_durable = self._outbox.write(messages, self._clock.mono_ns())
            self._intake.note_kept(messages)
            for each in waiting:
                each.is_durable = is_durable
                each.done.set()
            if self._on_committed is not None:
                self._on_committed(messages, is_durable)
        self._replays.do(self._outbox, self._clock.mono_ns())

    def _tidy(self, all_sent: bool) -> None:
        """Do what has time: acknowledgements to disk, alerts without a receipt, rows past their retention."""
        now = self._clock.mono_ns()
        self._outbox.flush_acks(now)
        if now >= self._receipt_check_mono_ns and self._receipts.is_on(receipts_seen=self._outbox.receipts_seen):
            self._receipt_check_mono_ns = now + RECEIPT_CHECK_NS
            again = self._outbox.resend_unreceipted(now, self._receipts.timeout_ns)
            if again:
                _log.warning("%d alerts were not confirmed by the provider in time; they are sent again", again)
        is_idle = all_sent and not any(len(link.flights) for link in self._links)
        if now >= self._purge_mono_ns and (is_idle or now - self._purged_mono_ns >= PURGE_OVERDUE_NS):
            has_more = self._outbox.purge(now, PURGE_ROWS) >= PURGE_ROWS
            self._purge_mono_ns = now + (PURGE_AGAIN_NS if has_more else PURGE_EVERY_NS)
            if not has_more:
                self._purged_mono_ns = now

    def _say_farewell(self) -> None:
        """Publish the last status, before disconnecting in order: the will stays unsaid."""
        while not self._intake.is_empty:
            self._commit()
        deadline = self._clock.mono_ns() + int(FAREWELL_S * 1e9)
        self._close_deadline_mono_ns = deadline
        farewell = self._presence.make("offline", "stopped")
        self._outbox.note_number(farewell, self._clock.mono_ns())
        for link in self._links:
            link.begin_farewell(farewell)
            link.pump()
        while self._clock.mono_ns() < deadline and not all(link.has_said_all for link in self._links):
            ready = self._wait()
            for link in self._links:
                link.serve(ready.get(link.number, 0))
                link.pump()

    # What comes in.

    def _take_receipt(self, receipt: Receipt) -> None:
        self._receipts_count += 1
        if receipt.upto is not None:
            self._outbox.take_receipt(receipt.source, upto=receipt.upto)
        if receipt.event_id is not None:
            news = self._outbox.take_receipt(receipt.source, event_id=receipt.event_id, is_rejected=receipt.is_rejected)
            if receipt.is_rejected and news:
                _log.error("the provider rejects event %s of %s", receipt.event_id, receipt.source)

    def _take_canary(self, path: int, canary: Canary) -> None:
        self._links[path].take_canary(canary)

    def _provider_returned(self, path: int) -> None:
        self._links[path].provider_returned()

    def _tell_listening(self, is_listening: bool) -> None:
        detail = "the provider listens again" if is_listening else "every consumer of the provider is gone"
        _log.warning("%s", detail)
        kind = DeliveryTroubleKind.NOBODY_LISTENS
        self.trouble_changed(DeliveryTrouble(kind=kind, is_over=is_listening, detail=detail))

    def _depths(self) -> OutboxDepths:
        return self._last_depths or self._outbox.depths()

    def _waiting(self) -> int:
        return sum(self._intake.counts().values())
