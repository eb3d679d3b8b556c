"""The port between the publisher's thread and what keeps its messages, on disk or in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol

from bridge.outbox.alert_lane import Entry
from bridge.publisher import Message, Saved

MAIN_PATH = 0
SECOND_PATH = 1
"""A path is one broker to which everything goes, with its own states of delivery; there are one or two."""

FLUSH_AFTER_NS = 50_000_000
"""PUBACKs and receipts wait this long at most for a commit that takes them along. A crash in that time sends again
what had arrived. Shorter costs a wait for the disk per PUBACK; longer makes more duplicates."""

FLUSH_COUNT = 200
"""So many of them do not wait. Reason: two windows; more would lengthen the commit that takes them along."""

RESEND_WINDOW_NS = 600_000_000_000
"""A broker that forgot its session may have lost what it acknowledged so long ago. Reason: mosquitto, set as our page
says, saves every second, and a leader change takes seconds; ten minutes also cover its restart by a person."""

RECEIPT_BACKOFF_MAX_NS = 900_000_000_000
"""The wait for a receipt doubles with each sending up to this: four sendings an hour of an alert that nobody confirms.
More keeps a provider that comes back waiting."""

REPLAY_LIMIT = 1_000
"""Messages that one replay queues. Reason: 16 MB of the longest bodies; who wants more asks again from where it ended.
More would fill the memory at a peer's word."""


@unique
class TroubleKind(StrEnum):
    """What is wrong with the disk."""

    FULL = "full"
    IO_ERROR = "io_error"
    READ_ONLY = "read_only"
    CORRUPT = "corrupt"
    BALLAST_RELEASED = "ballast_released"
    """The disk was full; the room that was kept for this was given up, and messages go to disk again."""
    SET_ASIDE = "set_aside"
    """Messages that cannot be read back, or not be sent, are kept as evidence; the others go out."""
    LOST = "lost"
    """What an earlier start left is gone."""
    POSITIONS_DROPPED = "positions_dropped"
    """Told when it begins: more positions wait than may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxTrouble:
    """Trouble with the disk began or, with ``is_over``, ended; handed to ``on_trouble`` in the publisher's thread."""

    kind: TroubleKind
    detail: str
    is_over: bool = False


TroubleListener = Callable[[OutboxTrouble], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathDepths:
    """What waits for one broker, on disk or in memory. ``handed_out``: sent, without PUBACK yet."""

    alerts: int
    states: int
    positions: int
    handed_out: int
    rejected: int
    unheard: int
    oldest_alert_mono_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxDepths:
    """What is in the outbox, and what was dropped.

    A message that waits for two brokers counts once: the properties give the path with the most.

    Attributes
    ----------
    paths : tuple of PathDepths
    positions_dropped, states_superseded : int
        Since the start.
    unreceipted : int
        Alerts that some broker took and that the provider has not confirmed; counted at most every few seconds, and
        up to 100,000.
    oldest_unreceipted_mono_ns : int or None
        When the oldest of them was taken.
    receipts_seen : bool
        Whether the provider has ever sent a receipt; known over restarts.
    is_durable : bool
        What is written now is on disk before it is sent.
    only_in_memory : int
        Messages that are not on disk because of trouble.
    trouble : OutboxTrouble or None
        What is wrong with the disk now, or what it did not give back as written since the start.
    """

    paths: tuple[PathDepths, ...]
    positions_dropped: int
    states_superseded: int
    unreceipted: int
    oldest_unreceipted_mono_ns: int | None
    receipts_seen: bool
    is_durable: bool
    only_in_memory: int
    trouble: OutboxTrouble | None

    @property
    def alerts(self) -> int:
        """Alerts that wait."""
        return max(path.alerts for path in self.paths)

    @property
    def states(self) -> int:
        """States that wait."""
        return max(path.states for path in self.paths)

    @property
    def positions(self) -> int:
        """Positions that wait."""
        return max(path.positions for path in self.paths)

    @property
    def handed_out(self) -> int:
        """Messages without PUBACK."""
        return max(path.handed_out for path in self.paths)

    @property
    def rejected(self) -> int:
        """Refusals by all brokers since the start."""
        return sum(path.rejected for path in self.paths)

    @property
    def unheard(self) -> int:
        """Alerts that wait because nobody was subscribed to them."""
        return max(path.unheard for path in self.paths)

    @property
    def oldest_alert_mono_ns(self) -> int | None:
        """When the oldest alert without PUBACK was submitted."""
        return min((t for path in self.paths if (t := path.oldest_alert_mono_ns) is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What the disk knew of earlier starts."""

    sequences: Mapping[str, int]
    kept: tuple[Saved, ...]
    waiting_alerts: int
    waiting_positions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay did.

    Attributes
    ----------
    queued : int
        Queued to be sent again, with the ids they had.
    waiting : int
        Not sent yet; they come by themselves.
    missing : int
        Not kept: purged, dropped, or never made.
    next_sequence : int or None
        More was asked for than one replay takes: go on from here.
    """

    queued: int
    waiting: int
    missing: int
    next_sequence: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """What was not delivered at the end. ``lost`` are those that are on no disk either."""

    alerts: int
    states: int
    positions: int
    lost: int


class Outbox(Protocol):
    """Keeps messages until the brokers have them.

    All calls belong to the publisher's thread, except ``depths``, which any thread may ask. Trouble with the disk never
    raises: it is told through ``on_trouble`` and in ``depths``. A ``number`` that is not with the broker is ignored.
    """

    def write(self, messages: Sequence[Message], now_mono_ns: int) -> bool:
        """Keep messages, in order, with all they save, in one transaction; then they may be handed out.

        Returns whether they are on disk. If not they are in memory, are handed out with ``Entry.is_durable`` false,
        and go to disk when it works again. States alone do not wait for the disk: their numbers are written later.
        """
        ...

    def note_number(self, message: Message, now_mono_ns: int) -> None:
        """Keep the number of a message that goes past the outbox; it is written with the next commit."""
        ...

    def find_next(self, path: int, now_mono_ns: int) -> Entry | None:
        """Hand out the next message for a broker: alerts first, then states, then positions; each oldest first.

        Of the alerts of one topic only one is out at a time, and none while one before it rests. While an alert waits
        for the one before it, positions wait too, for they would lengthen that, and so do retained states: a snapshot
        must not come before the alerts that it reflects. Heartbeats go on. ``Entry.attempts`` counts this one in.
        """
        ...

    def mark_delivered(self, path: int, number: int, now_mono_ns: int) -> None:
        """Note a PUBACK. An alert is kept for its receipt, for replays and as evidence; so is a position."""
        ...

    def mark_rejected(self, path: int, number: int, now_mono_ns: int) -> bool:
        """Note that the broker refused a message. An alert is kept and tried again; True: it was kept."""
        ...

    def mark_unheard(self, path: int, number: int, now_mono_ns: int) -> bool:
        """Note that the broker took an alert that nobody is subscribed to; it is kept. True: for the first time."""
        ...

    def mark_too_long(self, path: int, number: int) -> bool:
        """Note that a message is longer than the broker's largest packet. True: for the first time.

        An alert is kept for a broker that takes it, without holding up its topic: it would do so for ever.
        """
        ...

    def mark_unsendable(self, path: int, number: int, why: str) -> None:
        """Note that a message cannot be put into a packet: it is told and set aside, so that the others go out."""
        ...

    def rewind(self, path: int) -> int:
        """Take back all that was handed out and not delivered, to be sent again in the old order; returns how many."""
        ...

    def restate(self, path: int, now_mono_ns: int) -> None:
        """Queue every retained state again: several brokers lose them when they crash."""
        ...

    def forget_session(self, path: int, now_mono_ns: int) -> int:
        """Queue the alerts again that a broker acknowledged within ``RESEND_WINDOW_NS`` and nobody confirmed.

        To be called after ``rewind``, when a broker kept nothing of a session that it should know. Returns how many;
        they wait on disk as if they had never been sent.
        """
        ...

    def set_doubt(self, path: int, is_in_doubt: bool, now_mono_ns: int) -> None:
        """Note whether it is unknown what a broker holds of our session; a doubt is on disk before this returns.

        To be set before each connection, for a broker that forgot us knows us again at the next one, until it has said
        that it knows us, or ``forget_session`` was called.
        """
        ...

    def is_in_doubt(self, path: int) -> bool:
        """Whether there is a doubt, perhaps of an earlier start."""
        ...

    def begin_last_try(self) -> None:
        """End every rest: what was refused, or had no subscriber, is tried once more before the end."""
        ...

    @property
    def is_stuck(self) -> bool:
        """Whether all that is left, for every broker, are alerts that it refused or had no subscriber for."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether every broker has everything."""
        ...

    def find_due_mono_ns(self, path: int) -> int | None:
        """When the next alert that rests may be tried again."""
        ...

    def find_flush_mono_ns(self) -> int | None:
        """When ``flush_acks`` has something to do; None: not before another call."""
        ...

    def flush_acks(self, now_mono_ns: int, *, force: bool = False) -> None:
        """Write PUBACKs and receipts that waited long enough, and try a disk again that failed; cheap when not due."""
        ...

    def take_receipt(
        self, source: str, *, upto: int | None = None, event_id: str | None = None, is_rejected: bool = False
    ) -> int:
        """Note the provider's word that it has alerts of a source, up to a sequence number or one by its id.

        What was never handed out is not covered: it could not be received. With ``is_rejected`` the provider has no use
        for it; it is not sent again either. Returns for how many this is news.
        """
        ...

    @property
    def receipts_seen(self) -> bool:
        """Whether a receipt ever came; known over restarts."""
        ...

    def resend_unreceipted(self, now_mono_ns: int, timeout_ns: int) -> int:
        """Queue alerts again that were delivered ``timeout_ns`` ago (doubled with each time) and not confirmed.

        To be called about once a second while receipts are in use. Returns how many.
        """
        ...

    def replay(self, source: str, first: int, last: int, now_mono_ns: int) -> Replayed:
        """Queue messages of a source again by their sequence numbers, at most ``REPLAY_LIMIT``; ids stay."""
        ...

    def purge(self, now_mono_ns: int, max_rows: int) -> int:
        """Delete up to ``max_rows`` messages that are older than the retention, and put the files in order.

        Only when nothing else is to be done: it may wait for the disk. Alerts that were never delivered stay. Returns
        how many were deleted.
        """
        ...

    def depths(self) -> OutboxDepths:
        """Count what is in here."""
        ...

    def close(self) -> Leftover:
        """Write what is not written, end the files in order and release the lock. Nothing may be called after it."""
        ...
