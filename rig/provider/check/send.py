"""Play a bridge to a provider's subscriber: every kind of message, the awkward cases, and who confirms what."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from devices.clock import Clock
from protocols.mqtt.inbound import Receipt, read_receipt
from protocols.mqtt.refusal import Refusal
from protocols.mqtt.topics import Side, Stream, Topic
from rig.provider.check.client import FIRST_FAILURE, BrokerDoor, CheckClient
from rig.provider.check.findings import Finding, Verdict
from rig.provider.check.listen import ANSWER_S, LOOK_S
from rig.provider.check.made_up import MadeUp, make_up

NO_SUBSCRIBER = 0x10
"""PUBACK on MQTT 5: the broker took it, and nobody is subscribed."""

MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """What to play.

    Attributes
    ----------
    root, agency : str
    bridge_id : str
        Name of the made-up bridge; stands in sources, and is where receipts must go.
    receipt_timeout_s : float
        After the last message.
    """

    root: str
    agency: str
    bridge_id: str = "provider-check"
    receipt_timeout_s: float = 15.0


@dataclass(slots=True)
class _Sent:
    """One event and what became of it."""

    message: MadeUp
    t_mono_ns: int
    confirmed_mono_ns: int | None = None
    is_rejected: bool = False


@dataclass(slots=True)
class _Heard:
    """All receipts together."""

    receipts: int = 0
    refused: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


class SampleRun:
    """One run of samples.

    Parameters
    ----------
    door : BrokerDoor
    options : SendOptions
    clock : Clock
    is_stopped : callable
    """

    def __init__(self, door: BrokerDoor, options: SendOptions, *, clock: Clock, is_stopped: Callable[[], bool]) -> None:
        self._options = options
        self._clock = clock
        self._is_stopped = is_stopped
        self._client = CheckClient(door, f"tagrig-check-as-{options.bridge_id}", clock=clock)
        self._sent: dict[tuple[str, str], _Sent] = {}
        self._heard = _Heard()

    def run(self) -> Iterator[Finding]:
        """Send everything, wait for receipts, take away what is retained; give the findings.

        Raises
        ------
        CheckClientError
            The broker does not let us in.
        """
        client, options = self._client, self._options
        # Its name makes the streams of each run new ones: a subscriber that was tried before must not know them.
        run = f"check-{self._clock.utc_ns() // 1_000_000_000:x}"
        try:
            client.connect(timeout_s=ANSWER_S, fresh=True)
            topic = Topic(root=options.root, side=Side.BRIDGE, subject=options.bridge_id, stream=Stream.RECEIPT)
            refused = client.subscribe([str(topic)], timeout_s=ANSWER_S)
            if refused:
                yield Finding(
                    check="subscriptions",
                    verdict=Verdict.ERROR,
                    told=f"we may not read {topic}: {', '.join(refused.values())}",
                    next_step="use a bridge's credentials: --username, --cert-file",
                )
                return
            messages = list(make_up(options.root, options.agency, options.bridge_id, run, self._clock.utc_ns()))
            yield from self._send(messages)
            self._listen()
            self._clear(messages)
        finally:
            client.disconnect()
        yield from self._judge()

    def _send(self, messages: list[MadeUp]) -> Iterator[Finding]:
        refused: list[str] = []
        unheard: list[MadeUp] = []
        for message in messages:
            if self._is_stopped():
                break
            now_mono_ns = self._clock.mono_ns()
            code = self._client.publish(
                message.topic,
                message.body,
                retain=message.retain,
                user_properties=message.properties,
                timeout_s=ANSWER_S,
            )
            if code is None or code >= FIRST_FAILURE:
                refused.append(f"{message.topic}: {'no PUBACK' if code is None else f'reason 0x{code:02x}'}")
            elif code == NO_SUBSCRIBER:
                unheard.append(message)
            if message.wants_receipt:
                self._sent.setdefault((message.source, message.event_id), _Sent(message, now_mono_ns))
        yield Finding(
            check="sending",
            verdict=Verdict.FAIL if refused else Verdict.PASS,
            told=f"the broker took {len(messages) - len(refused)} of {len(messages)} messages",
            next_step="use a bridge's credentials, and allow it these topics" if refused else "",
            examples=tuple(refused[:MAX_EXAMPLES]),
        )
        yield from _subscribed(unheard)

    def _listen(self) -> None:
        end_mono_ns = self._clock.mono_ns() + int(self._options.receipt_timeout_s * 1e9)
        while (left_ns := end_mono_ns - self._clock.mono_ns()) > 0 and not self._is_stopped():
            if all(sent.confirmed_mono_ns is not None for sent in self._sent.values()):
                return
            came = self._client.find_next(min(LOOK_S, left_ns / 1e9))
            if came is None:
                continue
            receipt = read_receipt(came.body)
            if isinstance(receipt, Refusal):
                self._heard.refused.append(f"{receipt.reason}: {receipt.detail}")
            else:
                self._heard.receipts += 1
                self._take(receipt, came.t_mono_ns)

    def _take(self, receipt: Receipt, t_mono_ns: int) -> None:
        ours = [sent for (source, _), sent in self._sent.items() if source == receipt.source]
        if not ours:
            self._heard.strange.append(f"for source {receipt.source!r}, from which nothing was sent")
            return
        if receipt.upto is not None:
            highest = max(sent.message.sequence for sent in ours)
            if receipt.upto > highest:
                self._heard.strange.append(f"up to {receipt.upto} of {receipt.source}, which ends with {highest}")
        for sent in ours:
            is_named = receipt.event_id == sent.message.event_id
            if is_named or (receipt.upto is not None and sent.message.sequence <= receipt.upto):
                sent.confirmed_mono_ns = sent.confirmed_mono_ns or t_mono_ns
                sent.is_rejected |= is_named and receipt.is_rejected
        if receipt.event_id is not None and (receipt.source, receipt.event_id) not in self._sent:
            self._heard.strange.append(f"for id {receipt.event_id!r} of {receipt.source}, which was never sent")

    def _clear(self, messages: list[MadeUp]) -> None:
        """Take away the retained samples: a made-up tag must not stay on a control room's map."""
        for topic in dict.fromkeys(message.topic for message in messages if message.retain):
            self._client.publish(topic, b"", retain=True, timeout_s=ANSWER_S)

    def _judge(self) -> Iterator[Finding]:
        heard = self._heard
        missing = [sent.message for sent in self._sent.values() if sent.confirmed_mono_ns is None]
        rejected = [sent.message for sent in self._sent.values() if sent.is_rejected]
        waits_ms = sorted(
            (sent.confirmed_mono_ns - sent.t_mono_ns) / 1e6
            for sent in self._sent.values()
            if sent.confirmed_mono_ns is not None
        )
        pace = f"; p50 {waits_ms[len(waits_ms) // 2]:.1f} ms, longest {waits_ms[-1]:.1f} ms" if waits_ms else ""
        yield Finding(
            check="receipts",
            verdict=Verdict.FAIL if missing else Verdict.PASS,
            told=f"{len(waits_ms)} of {len(self._sent)} events were confirmed{pace}",
            next_step=(
                f'send {{"source":...,"id":...}} to {self._options.root}/bridge/{{id}}/receipt once an event is on '
                "your disk; the id of the bridge is the fourth part of the source. Without receipts a bridge sends "
                "again, or cannot tell who has what"
            )
            if missing
            else "",
            examples=tuple(f"{message.what} (#{message.sequence} of {message.source})" for message in missing)[
                :MAX_EXAMPLES
            ],
        )
        yield Finding(
            check="rejected",
            verdict=Verdict.FAIL if rejected else Verdict.PASS,
            told=f"{len(rejected)} events were rejected by the provider's system",
            next_step="it does not take what the contract holds: look at its log" if rejected else "",
            examples=tuple(f"{message.what}: {message.event_id}" for message in rejected)[:MAX_EXAMPLES],
        )
        wrong = [*heard.refused, *heard.strange]
        yield Finding(
            check="well-formed",
            verdict=Verdict.FAIL if wrong else Verdict.PASS if heard.receipts else Verdict.UNSET,
            told=f"{heard.receipts} receipts came, {len(heard.refused)} cannot be read, {len(heard.strange)} name what "
            "was not sent",
            next_step="compare them with the schema of a receipt: tagrig contract --print" if wrong else "",
            examples=tuple(dict.fromkeys(wrong))[:MAX_EXAMPLES],
        )


def _subscribed(unheard: list[MadeUp]) -> Iterator[Finding]:
    """Judge what the broker says about subscribers: alerts must have one, states and positions may."""
    must = list(dict.fromkeys(message.topic for message in unheard if message.wants_receipt))
    may = list(dict.fromkeys(message.topic for message in unheard if not message.wants_receipt))
    yield Finding(
        check="subscribed",
        verdict=Verdict.FAIL if must else Verdict.PASS,
        told=f"nobody is subscribed to {len(must)} topics with alerts, warnings or incidents"
        if must
        else "no alert, warning or incident met nobody (on 3.1.1 a broker does not tell)",
        next_step="subscribe to tag/+/alert, protected/+/alert, protected/+/warning, control/+/incident: a bridge "
        "sends again for ever what nobody hears"
        if must
        else "",
        examples=tuple(must[:MAX_EXAMPLES]),
    )
    if may:
        yield Finding(
            check="unread",
            verdict=Verdict.PASS,
            told=f"nobody reads {len(may)} topics with states or positions; of these bridge/+/heartbeat and "
            "bridge/+/status should be watched: their silence is an alarm",
            examples=tuple(may[:MAX_EXAMPLES]),
        )
