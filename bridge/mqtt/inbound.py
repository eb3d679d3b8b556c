"""What comes in from brokers: receipts, the canary, whether anybody listens; commands are handed on unread.

Runs in the publisher's thread. Nothing that a peer sends raises: it is counted and logged with its reason.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from bridge.mqtt.events import Received
from bridge.publisher import Inbound
from devices.clock import Clock
from protocols.mqtt.inbound import Canary, Receipt, read_canary, read_provider_status, read_receipt
from protocols.mqtt.refusal import Refusal
from protocols.mqtt.topics import Side, Stream, find_topic

_log = logging.getLogger(__name__)

COMMANDS_PER_S = 100
COMMANDS_AT_ONCE = 1_000
"""Commands handed on, as a steady rate and in a burst. Each costs a signature's check in the loop that judges fixes; a
provider sends a few a minute. More than these are dropped and counted."""

MAX_CONSUMERS = 1_000
"""Consumers whose status is remembered. Each is a process of the provider; whoever writes more topics floods us."""

LOG_EVERY_NS = 10_000_000_000
"""Refusals of one reason are logged so often at most; all are counted. A flood must not fill the disk of the outbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundTopics:
    """Where a bridge listens. One of several that share a configuration has two names, its own and the common one."""

    receipts: tuple[str, ...]
    commands: tuple[str, ...]
    canary: str
    root: str

    @property
    def provider_filter(self) -> str:
        """Where all consumers of the provider say whether they listen."""
        return f"{self.root}/{Side.PROVIDER}/+/{Stream.STATUS}"

    @classmethod
    def beside(cls, status_topic: str, common_name: str | None = None) -> "InboundTopics":
        """Derive them from the topic of the bridge's own status.

        Raises
        ------
        ValueError
            It is not a bridge's.
        """
        status = find_topic(status_topic)
        if status is None or status.side is not Side.BRIDGE:
            expected = "{root}/bridge/{id}/status"
            raise ValueError(f"expected the topic of a bridge's status ({expected}), got {status_topic!r}")
        names = dict.fromkeys([status.subject, common_name or status.subject])
        subjects = [replace(status, subject=name) for name in names]
        return cls(
            receipts=tuple(str(replace(each, stream=Stream.RECEIPT)) for each in subjects),
            commands=tuple(str(replace(each, stream=Stream.COMMAND)) for each in subjects),
            canary=str(replace(status, stream=Stream.CANARY)),
            root=status.root,
        )


class InboundDesk:
    """Reads what comes in and hands each kind to who needs it.

    Parameters
    ----------
    topics : InboundTopics
    clock : Clock
    take_receipt : callable
        A good receipt.
    take_canary : callable
        With the number of the path that it came by.
    take_command : callable or None
        None: commands are not subscribed to, and one that comes is refused.
    tell_listening : callable
        True: somebody listens again; False: nobody does any more.
    tell_back : callable
        A consumer has just come online, by the path with this number.
    """

    def __init__(
        self,
        *,
        topics: InboundTopics,
        clock: Clock,
        take_receipt: Callable[[Receipt], None],
        take_canary: Callable[[int, Canary], None],
        take_command: Callable[[Inbound], None] | None,
        tell_listening: Callable[[bool], None],
        tell_back: Callable[[int], None],
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._take_receipt = take_receipt
        self._take_canary = take_canary
        self._take_command = take_command
        self._tell_listening = tell_listening
        self._tell_back = tell_back
        self._consumers: dict[str, bool] = {}
        self._allowance = float(COMMANDS_AT_ONCE)
        self._allowed_mono_ns = clock.mono_ns()
        self._logged_mono_ns: dict[str, int] = {}
        self.refusals: Counter[str] = Counter()
        self.commands_dropped = 0
        self.provider_online: bool | None = None

    def filters(self, *, with_canary: bool) -> tuple[str, ...]:
        """List what to subscribe to."""
        wanted = [*self._topics.receipts, self._topics.provider_filter]
        if self._take_command is not None:
            wanted += self._topics.commands
        if with_canary:
            wanted.append(self._topics.canary)
        return tuple(wanted)

    def take(self, path: int, event: Received) -> None:
        """Handle one message."""
        if event.topic in self._topics.receipts:
            self._receive_receipt(event)
        elif event.topic == self._topics.canary:
            canary = read_canary(event.body)
            if isinstance(canary, Refusal):
                self._refuse(event.topic, canary.reason.value, canary.detail)
            else:
                self._take_canary(path, canary)
        elif event.topic in self._topics.commands:
            self._receive_command(event)
        else:
            self._receive_status(path, event)

    def _receive_receipt(self, event: Received) -> None:
        receipt = read_receipt(event.body)
        if isinstance(receipt, Refusal):
            self._refuse(event.topic, receipt.reason.value, receipt.detail)
        else:
            self._take_receipt(receipt)

    def _receive_command(self, event: Received) -> None:
        now = self._clock.mono_ns()
        if self._take_command is None or event.is_retained:
            # A retained command would be carried out again at every connection.
            self._refuse(event.topic, "retained" if event.is_retained else "not_wanted", "")
            return
        gained = (now - self._allowed_mono_ns) * COMMANDS_PER_S / 1e9
        self._allowance = min(float(COMMANDS_AT_ONCE), self._allowance + gained)
        self._allowed_mono_ns = now
        if self._allowance < 1.0:
            self.commands_dropped += 1
            self._refuse(event.topic, "too_many", f"more than {COMMANDS_PER_S} commands a second")
            return
        self._allowance -= 1.0
        self._take_command(
            Inbound(
                topic=event.topic,
                body=event.body,
                response_topic=event.response_topic,
                correlation=event.correlation,
                t_rx_utc_ns=self._clock.utc_ns(),
                t_rx_mono_ns=now,
            )
        )

    def _receive_status(self, path: int, event: Received) -> None:
        topic = find_topic(event.topic)
        if topic is None or topic.root != self._topics.root or topic.side is not Side.PROVIDER:
            self._refuse(event.topic, "not_subscribed", "")
            return
        status = read_provider_status(event.body)
        if isinstance(status, Refusal):
            self._refuse(event.topic, status.reason.value, status.detail)
            return
        if topic.subject not in self._consumers and len(self._consumers) >= MAX_CONSUMERS:
            self._refuse(event.topic, "too_many", f"more than {MAX_CONSUMERS} consumers")
            return
        before, self._consumers[topic.subject] = self._consumers.get(topic.subject), status.is_online
        if before != status.is_online:
            _log.info("provider's consumer %s is %s", topic.subject, "online" if status.is_online else "offline")
        was_online, self.provider_online = self.provider_online, any(self._consumers.values())
        if self.provider_online != was_online and (was_online is not None or not self.provider_online):
            self._tell_listening(self.provider_online)
        if status.is_online and not event.is_retained:
            self._tell_back(path)

    def _refuse(self, topic: str, reason: str, detail: str) -> None:
        self.refusals[reason] += 1
        now = self._clock.mono_ns()
        last = self._logged_mono_ns.get(reason)
        if last is None or now - last >= LOG_EVERY_NS:
            self._logged_mono_ns[reason] = now
            _log.warning(
                "what came on %s is refused: %s%s (%d for this reason so far)",
                topic[:200],
                reason,
                f": {detail}" if detail else "",
                self.refusals[reason],
            )
