"""Listen to a bridge as a provider does, through a lost connection, with receipts if they are asked for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from devices.clock import Clock
from protocols.mqtt.messages import HeartbeatData
from protocols.mqtt.topics import Side, Stream, Topic
from rig.provider.check.client import FIRST_FAILURE, BrokerDoor, CheckClient, CheckClientError
from rig.provider.check.envelope import EVENT_OF
from rig.provider.check.findings import Finding, Verdict
from rig.provider.check.ledger import Ledger
from rig.provider.check.told import find_all

FILTERS = tuple(f"{side}/+/{stream}" for side, stream in EVENT_OF)
"""What a provider may read, below the root; each one for itself, so that an access list need allow no more."""

ANSWER_S = 10.0
"""How long the broker may take to answer a CONNECT, SUBSCRIBE or PUBLISH; more is a fault of its own."""

SETTLE_BEATS = 3.0
"""Heartbeats to wait for what the bridge says about our receipts: the first may have been made before they came."""

SETTLE_S = 30.0
"""At least so long: the bridge, the broker and their disks may be busy. It ends as soon as the bridge says so."""

LOOK_S = 0.2
"""How often the end of the time, and a signal, are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenOptions:
    """What to listen for.

    Attributes
    ----------
    root : str
    consumer : str
        Our name in ``provider/{consumer}/status`` and in the client id.
    for_s : float
        How long to listen before the connection is cut, and again after it.
    away_s : float
        How long we are away; what is sent meanwhile must be there afterwards.
    heartbeat_s : float
        The bridges' interval.
    max_latency_s : float
        From detection to arrival, at p99.
    sends_receipts : bool
        Confirm what came. Never beside a desk that should confirm it itself.
    announces : bool
        Say online, and offline by the will. Never where nobody else does: its end would tell the bridge that nobody
        listens.
    """

    root: str
    consumer: str = "check"
    for_s: float = 30.0
    away_s: float = 2.0
    heartbeat_s: float = 10.0
    max_latency_s: float = 5.0
    sends_receipts: bool = False
    announces: bool = False


class Listening:
    """One run of the check.

    Parameters
    ----------
    door : BrokerDoor
    options : ListenOptions
    clock : Clock
    is_stopped : callable
        Asked often; true: come to an end.
    """

    def __init__(
        self, door: BrokerDoor, options: ListenOptions, *, clock: Clock, is_stopped: Callable[[], bool]
    ) -> None:
        self._options = options
        self._clock = clock
        self._is_stopped = is_stopped
        self._status = str(Topic(root=options.root, side=Side.PROVIDER, subject=options.consumer, stream=Stream.STATUS))
        will = (self._status, _presence("offline")) if options.announces else None
        self._client = CheckClient(door, f"tagrig-check-{options.consumer}", clock=clock, will=will)
        self.ledger = Ledger()

    def run(self) -> Iterator[Finding]:
        """Connect, listen, vanish, come back, listen on; give the findings as they are made.

        Raises
        ------
        CheckClientError
            The broker lets us in no more.
        """
        client = self._client
        try:
            yield from self._enter()
            if (code := self._announce("online")) >= FIRST_FAILURE:
                yield Finding(
                    check="announce",
                    verdict=Verdict.FAIL,
                    told=f"the broker refused {self._status} with reason 0x{code:02x}",
                    next_step="allow a consumer to write its own status, or give its name there as --consumer",
                )
            self._listen(self._options.for_s)
            yield from self._come_back()
            self._listen(self._options.for_s)
            yield self._receipts()
            yield from self._leave()
        finally:
            client.disconnect()
        yield from find_all(
            self.ledger,
            heartbeat_s=self._options.heartbeat_s,
            max_latency_s=self._options.max_latency_s,
            now_mono_ns=self._clock.mono_ns(),
        )

    def _enter(self) -> Iterator[Finding]:
        client = self._client
        # What an earlier run left behind is not what this one judges.
        client.connect(timeout_s=ANSWER_S, fresh=True)
        client.disconnect()
        client.connect(timeout_s=ANSWER_S)
        refused = client.subscribe([f"{self._options.root}/{each}" for each in FILTERS], timeout_s=ANSWER_S)
        yield Finding(
            check="subscriptions",
            verdict=Verdict.FAIL if refused else Verdict.PASS,
            told=f"{len(FILTERS) - len(refused)} of {len(FILTERS)} were granted with QoS 1",
            next_step="allow the provider these topics; a client that does not look at SUBACK never learns of it"
            if refused
            else "",
            examples=tuple(f"{topic}: {why}" for topic, why in refused.items()),
        )

    def _come_back(self) -> Iterator[Finding]:
        """Vanish and return: the session must be there, and what was sent meanwhile."""
        client = self._client
        if client.lost_reason is not None:
            yield Finding(
                check="connection",
                verdict=Verdict.FAIL,
                told=f"the broker ended the connection: {client.lost_reason}",
                next_step=f"look for a second client with the id tagrig-check-{self._options.consumer}, and for limits",
            )
        client.drop()
        self._pause(self._options.away_s)
        was_kept = client.connect(timeout_s=ANSWER_S)
        yield Finding(
            check="session",
            verdict=Verdict.PASS if was_kept else Verdict.FAIL,
            told="the broker kept the session over a lost connection"
            if was_kept
            else "the broker forgot the session when the connection was lost: what came meanwhile is lost",
            next_step=""
            if was_kept
            else "connect with a fixed client id and clean_start false; allow persistent sessions (mosquitto: "
            "persistence true)",
        )
        client.subscribe([f"{self._options.root}/{each}" for each in FILTERS], timeout_s=ANSWER_S)
        self._announce("online")

    def _receipts(self) -> Finding:
        """Confirm what came, and see in the heartbeats that the bridge took it."""
        if not self._options.sends_receipts:
            return Finding(
                check="receipts",
                verdict=Verdict.SKIPPED,
                told="not asked for: they would say that a desk has what only this program has (--receipts)",
            )
        before = {name: seen.beats[-1][1] for name, seen in self.ledger.bridges.items() if seen.beats}
        receipts = [
            (
                f"{self._options.root}/bridge/{source.split(':')[3] if source.count(':') >= 3 else ''}/receipt",
                msgspec.json.encode({"source": source, "upto": sequence}),
            )
            for source, sequence in sorted(self.ledger.last_of.items())
        ]
        sent = self._client.publish_all(receipts, timeout_s=ANSWER_S)
        if not sent:
            return Finding(check="receipts", verdict=Verdict.UNSET, told="nothing came that could be confirmed")
        if not before:
            return Finding(
                check="receipts",
                verdict=Verdict.UNSET,
                told=f"{sent} were sent; without heartbeats nobody sees whether the bridge took them",
            )
        self._listen(max(SETTLE_S, SETTLE_BEATS * self._options.heartbeat_s), until=lambda: self._are_taken(before))
        left = {name: self.ledger.bridges[name].beats[-1][1].outbox for name in before}
        taken = sum(box.receipts - before[name].outbox.receipts for name, box in left.items())
        unconfirmed = sum(box.unreceipted for box in left.values())
        return Finding(
            check="receipts",
            verdict=Verdict.PASS if taken else Verdict.FAIL,
            told=f"{sent} receipts were sent, the bridge counts {taken} new ones; {unconfirmed} alerts are unconfirmed"
            + (": from before this run, or from since then" if unconfirmed else ""),
            next_step=""
            if taken
            else "allow the provider to write bridge/+/receipt, and the bridge to read it (its access list)",
        )

    def _are_taken(self, before: Mapping[str, HeartbeatData]) -> bool:
        seen = {name: self.ledger.bridges[name].beats[-1][1] for name in before}
        return any(beat.outbox.receipts > before[name].outbox.receipts for name, beat in seen.items())

    def _leave(self) -> Iterator[Finding]:
        """Have the broker forget us: else it would queue for a client that never comes back."""
        client = self._client
        self._announce("offline")
        client.disconnect()
        try:
            client.connect(timeout_s=ANSWER_S, fresh=True)
        except CheckClientError as exc:
            yield Finding(check="leaving", verdict=Verdict.ERROR, told=f"the session is left behind: {exc}")

    def _announce(self, state: str) -> int:
        """Say it if asked to; gives the broker's reason code."""
        if not self._options.announces:
            return 0
        return self._client.publish(self._status, _presence(state), retain=True, timeout_s=ANSWER_S) or 0

    def _listen(self, for_s: float, until: Callable[[], bool] = lambda: False) -> None:
        end_mono_ns = self._clock.mono_ns() + int(for_s * 1e9)
        while (left_ns := end_mono_ns - self._clock.mono_ns()) > 0 and not self._is_stopped():
            came = self._client.find_next(min(LOOK_S, left_ns / 1e9))
            if came is not None:
                self.ledger.take(came)
                if until():
                    return

    def _pause(self, for_s: float) -> None:
        """Stay away; what was handed over before is entered meanwhile."""
        self._listen(for_s)


def _presence(state: str) -> bytes:
    return msgspec.json.encode({"state": state})
