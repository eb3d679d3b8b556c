"""Whether a beacon that was heard is the wearer's: genuine, a stranger's, forged, replayed or cloned. Sans-I/O.

What counts as what, in this order:

1. An id of none of the known slots: ``STRANGER``. Known are the slots beside the host's clock and a week before it.
2. A known id under a message that its key did not make: ``FORGED``.
3. An id of a slot before the host's last one: ``REPLAYED``. So is one of the slot before the tag's newest once the
   newest has been heard for ``COPY_NS``: a tag never goes back.
4. Each slot has *streams* of counters. A counter belongs to the stream that it can have come from: not further ahead
   than events fit in the time since, not further behind than events fit in a slot. One that fits no stream begins a
   new one: the first of a slot, or a tag that was restarted.
5. A counter that its stream passed more than ``COPY_NS`` ago: ``REPLAYED``. Passed later, it is a copy: another
   receiver's, a repeat of BlueZ's, or late. Copies are genuine, with a step of 0 or less: they say nothing about now.
6. A stream that goes on when a younger one has been there for ``COPY_NS``: two senders, ``CLONED``, both of them until
   the slot ends, for which of the two is the tag cannot be told.
7. One advertisement at two sites that cannot hear the same sender: ``CLONED``.

Lost advertisements are a step of more than 1, a new slot a new stream. What is not found out: a message passed on
within ``COPY_NS`` at the same site; one of this or the last slot that nobody heard, while the tag is not heard either.
"""

import hmac
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from protocols.ble.adverts import (
    BEACON_KIND,
    BEACON_PURPOSE,
    COMPANY_ID,
    COUNTER_SPAN,
    SLOT_NS,
    SLOT_S,
    TAG_KIND,
    TAG_PURPOSE,
    Beacon,
    TagAdvert,
    decode_beacon,
    decode_tag_advert,
    encode_beacon,
    encode_tag_advert,
    is_tag,
    rolling_id,
    slot_of,
    tag_ids,
    verify_beacon,
)
from protocols.reports import BeaconVerdict

__all__ = [
    "BEACON_KIND",
    "BEACON_PURPOSE",
    "COMPANY_ID",
    "COPY_NS",
    "COUNTER_SPAN",
    "SLOT_NS",
    "SLOT_S",
    "TAG_KIND",
    "TAG_PURPOSE",
    "Beacon",
    "BeaconVerdict",
    "BeaconWatch",
    "Heard",
    "TagAdvert",
    "decode_beacon",
    "decode_tag_advert",
    "encode_beacon",
    "encode_tag_advert",
    "is_tag",
    "rolling_id",
    "slot_of",
    "tag_ids",
]

COPY_NS = 30_000_000_000
"""How late a copy of an advertisement may come. BlueZ keeps a device it has not heard for 30 s and may tell of it
again; a remote radio that lost its network for a moment sends on within it. Less takes those for replays, more gives a
replay more time; a copy never counts as a sign of life."""

MIN_INTERVAL_NS = 20_000_000
"""Shortest advertising interval (Core 6.0, Vol 6, Part B, 4.4.2.2.1): the counter cannot rise faster."""

PAST_SLOTS = 672
"""Slots of the past whose ids are known as replays: a week. An older recording is a stranger's. A week of ids costs
about 70 kB and 2 ms, once."""

MAX_STREAMS = 16
"""Streams kept of one slot: a tag that starts so often in 15 minutes is broken. The one longest unheard is given up."""

_COPY_EVENTS = COPY_NS // MIN_INTERVAL_NS
_SLOT_EVENTS = SLOT_NS // MIN_INTERVAL_NS
_MARK_NS = 1_000_000_000
"""Length of the stretches by which a stream knows what it had passed when: ``COPY_NS`` is kept to within one."""
_SITES_KEPT = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one advertisement turned out to be.

    ``counter_step``: events since the newest one heard of its stream; above 0 it is a sign of life; 0 or less: a copy;
    None: the first of a stream (a sign of life where genuine) or not genuine. ``slot``: the one its id is of, None for
    a stranger's.
    """

    verdict: BeaconVerdict
    counter_step: int | None
    slot: int | None
    rssi_dbm: int | None

    @property
    def is_alive(self) -> bool:
        """Whether the wearer's beacon itself must have sent just now."""
        return self.verdict is BeaconVerdict.GENUINE and (self.counter_step is None or self.counter_step > 0)


class _Mark(NamedTuple):
    """The newest counter of a stream at the end of a stretch of at most ``_MARK_NS``."""

    begin_mono_ns: int
    end_mono_ns: int
    counter: int


class _Stream:
    """Counters that one start of one sender gave out, as far as they were heard."""

    __slots__ = ("marks", "newest", "sites", "t_first_mono_ns", "t_newest_mono_ns")

    def __init__(self, counter: int, now_mono_ns: int) -> None:
        self.newest = counter
        self.t_first_mono_ns = now_mono_ns
        self.t_newest_mono_ns = now_mono_ns
        self.marks = deque([_Mark(now_mono_ns, now_mono_ns, counter)])
        self.sites: dict[int, str] = {}

    def find_step(self, counter: int, now_mono_ns: int) -> int | None:
        """Return the events from the newest to this counter, or None where it cannot be of this stream."""
        step = _step(self.newest, counter)
        most = (now_mono_ns - self.t_newest_mono_ns + COPY_NS) // MIN_INTERVAL_NS
        return step if -_SLOT_EVENTS <= step <= most else None

    def go_on(self, counter: int, now_mono_ns: int) -> None:
        self.newest = counter
        self.t_newest_mono_ns = now_mono_ns
        begin_mono_ns = self.marks[-1].begin_mono_ns
        if now_mono_ns - begin_mono_ns < _MARK_NS:
            self.marks[-1] = _Mark(begin_mono_ns, now_mono_ns, counter)
        else:
            self.marks.append(_Mark(now_mono_ns, now_mono_ns, counter))

    def has_long_passed(self, counter: int, now_mono_ns: int) -> bool:
        """Whether this counter, not ahead of the newest, was given out more than ``COPY_NS`` ago."""
        limit_mono_ns = now_mono_ns - COPY_NS
        if _step(self.newest, counter) < -_COPY_EVENTS:
            return True
        while len(self.marks) > 1 and self.marks[1].end_mono_ns < limit_mono_ns:
            self.marks.popleft()
        oldest = self.marks[0]
        return oldest.end_mono_ns < limit_mono_ns and _step(oldest.counter, counter) <= 0

    def is_elsewhere(self, counter: int, site: str) -> bool:
        """Whether this counter was heard at another site; remembers where it was heard first."""
        if len(self.sites) >= _SITES_KEPT:
            del self.sites[next(iter(self.sites))]
        return self.sites.setdefault(counter, site) != site


class _Slot:
    """Streams of one slot. ``is_doubled``: two senders were heard in it."""

    __slots__ = ("is_doubled", "streams", "t_first_mono_ns")

    def __init__(self, now_mono_ns: int) -> None:
        self.streams: list[_Stream] = []
        self.is_doubled = False
        self.t_first_mono_ns = now_mono_ns

    def find_stream(self, counter: int, now_mono_ns: int) -> tuple[_Stream, int] | None:
        """Return the stream that this counter fits best, and its step."""
        steps = [(stream, stream.find_step(counter, now_mono_ns)) for stream in self.streams]
        fitting = [(stream, step) for stream, step in steps if step is not None]
        return min(fitting, key=lambda fit: abs(fit[1]), default=None)

    def begin_stream(self, counter: int, now_mono_ns: int) -> _Stream:
        if len(self.streams) >= MAX_STREAMS:
            self.streams.remove(min(self.streams, key=lambda stream: stream.t_newest_mono_ns))
        self.streams.append(_Stream(counter, now_mono_ns))
        return self.streams[-1]

    def has_successor(self, stream: _Stream, now_mono_ns: int) -> bool:
        """Whether a younger stream has been there for longer than a copy of this one may be late."""
        since = (other.t_first_mono_ns for other in self.streams[self.streams.index(stream) + 1 :])
        return any(now_mono_ns - first_mono_ns > COPY_NS for first_mono_ns in since)


class BeaconWatch:
    """Judges the beacon of one order's wearer. Holds three slots and a week of ids, however much is sent.

    Parameters
    ----------
    key : bytes
        The beacon's key.
    site_by_receiver : Mapping[str, str]
        Places of fixed receivers that are farther apart than a beacon can be heard; a receiver that is not in it, such
        as one that is carried about, is in no place.
    """

    __slots__ = (
        "_counts",
        "_current",
        "_key",
        "_newest_slot",
        "_now_mono_ns",
        "_past",
        "_site_by_receiver",
        "_slot",
        "_slots",
    )

    def __init__(self, key: bytes, *, site_by_receiver: Mapping[str, str] | None = None) -> None:
        rolling_id(key, 0, BEACON_PURPOSE)  # a key that is too short is told here, not at the first advertisement
        self._key = key
        self._site_by_receiver = dict(site_by_receiver or {})
        self._slot: int | None = None
        self._current: tuple[tuple[int, bytes], ...] = ()
        self._past: dict[bytes, int] = {}
        self._slots: dict[int, _Slot] = {}
        self._newest_slot = -1
        self._now_mono_ns = 0
        self._counts: Counter[BeaconVerdict] = Counter()

    @property
    def counts(self) -> dict[BeaconVerdict, int]:
        """Advertisements by verdict."""
        return dict(self._counts)

    def hear(
        self,
        beacon: Beacon,
        *,
        t_rx_utc_ns: int,
        t_rx_mono_ns: int,
        rssi_dbm: int | None = None,
        receiver: str | None = None,
    ) -> Heard:
        """Judge one advertisement that was heard.

        ``t_rx_utc_ns`` is used for the slot only, so that a clock that is set does not stretch a time; the order of
        ``t_rx_mono_ns`` between receivers does not matter. ``rssi_dbm`` is handed on and decides nothing: a body in
        between costs more than the next room.
        """
        self._now_mono_ns = max(self._now_mono_ns, t_rx_mono_ns)
        self._know_slots(slot_of(t_rx_utc_ns))
        verdict, step, slot = self._judge(beacon, self._now_mono_ns, receiver)
        self._counts[verdict] += 1
        return Heard(verdict=verdict, counter_step=step, slot=slot, rssi_dbm=rssi_dbm)

    def _judge(
        self, beacon: Beacon, now_mono_ns: int, receiver: str | None
    ) -> tuple[BeaconVerdict, int | None, int | None]:
        slot = self._find_slot(beacon.rolling_id)
        if slot is None:
            return BeaconVerdict.STRANGER, None, None
        if not verify_beacon(self._key, slot, beacon):
            return BeaconVerdict.FORGED, None, slot
        assert self._slot is not None
        if slot < self._slot - 1 or self._is_left(slot, now_mono_ns):
            return BeaconVerdict.REPLAYED, None, slot
        if slot not in self._slots:
            self._slots[slot] = _Slot(now_mono_ns)
            self._newest_slot = max(self._newest_slot, slot)
        verdict, step = self._judge_counter(self._slots[slot], beacon.counter, now_mono_ns, receiver)
        return verdict, step, slot

    def _judge_counter(
        self, slot: _Slot, counter: int, now_mono_ns: int, receiver: str | None
    ) -> tuple[BeaconVerdict, int | None]:
        fit = slot.find_stream(counter, now_mono_ns)
        if fit is None:
            stream, step = slot.begin_stream(counter, now_mono_ns), None
        else:
            stream, step = fit
            if step <= 0 and stream.has_long_passed(counter, now_mono_ns):
                return BeaconVerdict.REPLAYED, None
            if step > 0:
                stream.go_on(counter, now_mono_ns)
                slot.is_doubled |= slot.has_successor(stream, now_mono_ns)
        site = self._site_by_receiver.get(receiver) if receiver is not None else None
        if slot.is_doubled or (site is not None and stream.is_elsewhere(counter, site)):
            return BeaconVerdict.CLONED, None
        return BeaconVerdict.GENUINE, step

    def _is_left(self, slot: int, now_mono_ns: int) -> bool:
        """Whether the tag went on to a later slot, longer ago than a copy may be late."""
        if slot >= self._newest_slot:
            return False
        newest = self._slots.get(self._newest_slot)
        return newest is None or now_mono_ns - newest.t_first_mono_ns > COPY_NS

    def _find_slot(self, pseudonym: bytes) -> int | None:
        """Return the slot of an id, of those that are known; the ones in use are compared in constant time."""
        found = None
        for slot, known in self._current:
            if hmac.compare_digest(known, pseudonym):
                found = slot
        return self._past.get(pseudonym) if found is None else found

    def _know_slots(self, slot: int) -> None:
        """Make known the ids around a slot of the host's clock, and forget what is no longer beside it."""
        if slot == self._slot:
            return
        self._slot = slot
        near = range(max(slot - 1, 0), slot + 2)
        past = range(max(slot - PAST_SLOTS, 0), near.start)
        known = {of_slot: pseudonym for pseudonym, of_slot in self._past.items()} | dict(self._current)
        ids = {
            of_slot: known.get(of_slot) or rolling_id(self._key, of_slot, BEACON_PURPOSE) for of_slot in (*past, *near)
        }
        self._current = tuple((of_slot, ids[of_slot]) for of_slot in near)
        self._past = {ids[of_slot]: of_slot for of_slot in past}
        self._slots = {of_slot: heard for of_slot, heard in self._slots.items() if of_slot in near}


def _step(start: int, counter: int) -> int:
    """Return how far a counter is ahead of another one, modulo its width: half a span ahead at most, or behind."""
    return (counter - start + COUNTER_SPAN // 2) % COUNTER_SPAN - COUNTER_SPAN // 2
