"""Are a stream's numbers whole? Gaps, duplicates and disorder, per source and epoch, as a consumer must count them."""

from dataclasses import dataclass, field
from enum import Enum, unique

MAX_MISSING = 10_000
"""Missing numbers remembered per stream. Beyond it the oldest are given up as lost; a peer must not grow us."""


@unique
class Arrival(Enum):
    """What a number means in its stream."""

    IN_ORDER = "in order"
    GAP = "after a gap"
    LATE = "fills a gap"
    DUPLICATE = "duplicate"


@dataclass(slots=True)
class _Stream:
    highest: int
    missing: dict[int, None] = field(default_factory=dict)
    given_up: int = 0


class StreamCheck:
    """Follows the sequence numbers of all streams; the first number seen of an epoch begins its count."""

    def __init__(self) -> None:
        self._streams: dict[tuple[str, str], _Stream] = {}
        self.received = 0
        self.duplicates = 0
        self.out_of_order = 0

    def take(self, source: str, epoch: str, sequence: int) -> Arrival:
        """Place a message in its stream."""
        self.received += 1
        stream = self._streams.get((source, epoch))
        if stream is None:
            self._streams[source, epoch] = _Stream(highest=sequence)
            return Arrival.IN_ORDER
        if sequence > stream.highest:
            missing = range(stream.highest + 1, sequence)
            stream.highest = sequence
            for number in missing[-MAX_MISSING:]:
                stream.missing[number] = None
            stream.given_up += max(0, len(missing) - MAX_MISSING)
            while len(stream.missing) > MAX_MISSING:
                del stream.missing[next(iter(stream.missing))]
                stream.given_up += 1
            return Arrival.GAP if missing else Arrival.IN_ORDER
        if sequence in stream.missing:
            del stream.missing[sequence]
            self.out_of_order += 1
            return Arrival.LATE
        self.duplicates += 1
        return Arrival.DUPLICATE

    @property
    def missing(self) -> int:
        """Numbers that never came."""
        return sum(len(stream.missing) + stream.given_up for stream in self._streams.values())

    def missing_by_source(self) -> dict[str, list[int]]:
        """Missing numbers of each stream that has any."""
        return {source: list(stream.missing) for (source, _), stream in self._streams.items() if stream.missing}
