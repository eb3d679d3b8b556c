"""Two ledgers and their comparison: what was confirmed as kept, and what an independent subscriber read.

See `tests.delivery.lines` for how they are kept.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from tests.delivery.lines import LineFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One arrival at the subscriber."""

    t_mono_ns: int
    topic: str
    source: str
    sequence: int
    event_id: str
    attempt: int
    durable: bool
    submitted_mono_ns: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One message that the publisher's side spoke of: given to it, or reported as committed."""

    source: str
    sequence: int
    event_id: str
    durable: bool


@dataclass
class ReaderLedger:
    """What subscribers wrote down, in order of arrival at each."""

    files: list[LineFile]
    heard: list[Heard] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def refresh(self) -> "ReaderLedger":
        for file in self.files:
            for t, topic, source, sequence, event_id, attempt, durable, submitted, digest in file.read_new():
                self.heard.append(
                    Heard(
                        t_mono_ns=int(t),
                        topic=topic,
                        source=source,
                        sequence=int(sequence),
                        event_id=event_id,
                        attempt=int(attempt),
                        durable=durable == "1",
                        submitted_mono_ns=int(submitted),
                        digest=digest,
                    )
                )
                self.ids.add(event_id)
        return self


@dataclass
class KeptLedger:
    """What one or several lives of a publisher wrote down."""

    file: LineFile
    entries: list[Kept] = field(default_factory=list)

    def refresh(self) -> list[Kept]:
        for source, sequence, event_id, durable in self.file.read_new():
            kept = Kept(source=source, sequence=int(sequence), event_id=event_id, durable=durable == "1")
            self.entries.append(kept)
        return self.entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The comparison. ``disordered``: first arrivals after a later one of the same stream; ``changed``: ids that came
    with two contents; ``renumbered``: numbers of a stream that came with two ids; ``phantoms``: never submitted."""

    confirmed: int
    arrivals: int
    distinct: int
    lost: list[Kept]
    duplicates: int
    disordered: list[Heard]
    changed: list[Heard]
    renumbered: list[Heard]
    phantoms: list[Heard]
    gaps: list[str]

    def __str__(self) -> str:
        return (
            f"{self.confirmed} confirmed, {self.arrivals} arrivals, {self.distinct} distinct, {len(self.lost)} lost, "
            f"{self.duplicates} duplicates, {len(self.disordered)} disordered, {len(self.renumbered)} renumbered, "
            f"{len(self.changed)} changed, {len(self.phantoms)} phantoms, {len(self.gaps)} gaps"
        )

    def check(self, *, may_come_late: int = 0) -> "Verdict":
        """Fail unless nothing is lost, no tag's order is broken, and each duplicate is the same message.

        ``may_come_late``: so many first arrivals may come after a later one of their stream: some brokers hand on
        again, after newer ones, what was on its way to a subscriber when it lost its connection.
        """
        bad = {
            name: found[:5]
            for name in ("lost", "disordered", "changed", "renumbered", "phantoms", "gaps")
            if (found := getattr(self, name)) and not (name == "disordered" and len(found) <= may_come_late)
        }
        if bad:
            pytest.fail(f"{self}: {bad}")
        return self


def compare(submitted: Iterable[Kept], confirmed: Iterable[Kept], heard: Iterable[Heard]) -> Verdict:
    """Compare the ledgers."""
    heard = list(heard)
    confirmed = list(confirmed)
    given = {kept.event_id for kept in submitted}
    digests: dict[str, str] = {}
    number_ids: dict[tuple[str, int], str] = {}
    highest: dict[str, int] = defaultdict(int)
    disordered, changed, renumbered, phantoms = [], [], [], []
    duplicates = 0
    for each in heard:
        if each.event_id not in given:
            phantoms.append(each)
        key = (each.source, each.sequence)
        if number_ids.setdefault(key, each.event_id) != each.event_id:
            renumbered.append(each)
        if each.event_id in digests:
            duplicates += 1
            if digests[each.event_id] != each.digest:
                changed.append(each)
            continue
        digests[each.event_id] = each.digest
        if each.sequence < highest[each.source]:
            disordered.append(each)
        highest[each.source] = max(highest[each.source], each.sequence)
    numbers: dict[str, set[int]] = defaultdict(set)
    for source, sequence in number_ids:
        numbers[source].add(sequence)
    gaps = [
        f"{source}: {len(set(range(1, max(found) + 1)) - found)} missing below {max(found)}"
        for source, found in numbers.items()
        if len(found) != max(found)
    ]
    return Verdict(
        confirmed=len({kept.event_id for kept in confirmed}),
        arrivals=len(heard),
        distinct=len(digests),
        lost=[kept for kept in confirmed if kept.event_id not in digests],
        duplicates=duplicates,
        disordered=disordered,
        changed=changed,
        renumbered=renumbered,
        phantoms=phantoms,
        gaps=gaps,
    )


def percentile(values: Iterable[float], share: float) -> float:
    """Value below which that share of the sorted values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
