"""From the closed stores of one sharing-out to those of the next: rows, sequence numbers and what is kept.

The old stores are only read. The new ones stand in a folder of their own, which counts for nothing until the layout
names it, so that a crash in between leaves the old ones as they were.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import OutboxIoError
from bridge.outbox import schema as sql
from bridge.outbox.rows import OWNER_AT
from bridge.outbox.store import FILE_NAME, Change, OutboxStore, Value

ROWS_PER_INSERT = 500
"""Rows written in one go. Memory: 8 MB of the longest bodies."""

ROWS_PER_COMMIT = 20_000
"""Rows in one transaction. Larger ones make a longer log, smaller ones more waits for the disk; nobody waits for us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldStore:
    """A closed store. ``number`` of its bridge from 1."""

    number: int
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a move did. ``changed_hands`` are devices whose bridge has another number than before."""

    rows: int
    devices: int
    changed_hands: int


def move_all(
    old: Sequence[OldStore], new: Mapping[int, Path], choose: Callable[[str], int], *, has_same_numbers: bool
) -> Moved:
    """Copy everything from the old stores to the new ones.

    Parameters
    ----------
    old : sequence of OldStore
        None of them in use.
    new : mapping of int to Path
        Folder of each new bridge; no store may stand there.
    choose : callable
        Number of the new bridge for a device.
    has_same_numbers : bool
        Whether the bridges are as many as before.

    Raises
    ------
    OutboxError
        A store cannot be read or written; the old ones are as they were.
    """
    with ExitStack() as stack:
        targets = {number: stack.enter_context(_open(folder)) for number, folder in new.items()}
        writers = {number: _Writer(store) for number, store in targets.items()}
        changed: set[str] = set()
        seen: set[str] = set()
        for source in old:
            own = source.number if has_same_numbers else (source.number - 1) % len(new) + 1
            with _open(source.folder) as store:
                # The bridge's own streams and answers to commands belong to no device: any heir will do.
                heirs = {owner: choose(owner) if owner else own for owner in store.owners()}
                seen |= heirs.keys() - {""}
                changed |= {owner for owner, heir in heirs.items() if owner and heir != source.number}
                # As they are: one that cannot be read back is set aside by its next bridge.
                for values in store.raw_rows():
                    writers[heirs.get(values[OWNER_AT], own)].add(values)
                _copy_facts(store, targets, heirs)
        for writer in writers.values():
            writer.finish()
        rows = sum(writer.count for writer in writers.values())
        for number, store in targets.items():
            store.checkpoint(whole=True)
            found = store.ask("SELECT count(*) FROM row")[0][0]
            if found != writers[number].count:
                raise OutboxIoError(
                    f"{new[number] / FILE_NAME}: {writers[number].count} messages were written and {found} are there. "
                    "Next: check the disk; the stores before the move are as they were"
                )
    for folder in new.values():
        sync_folder(folder)
    return Moved(rows=rows, devices=len(seen), changed_hands=len(changed))


def _copy_facts(store: OutboxStore, targets: Mapping[int, OutboxStore], heirs: Mapping[str, int]) -> None:
    """Copy sequence numbers, what is kept, and what the file knows about itself."""
    changes: dict[int, list[Change]] = {number: [] for number in targets}
    for stream in store.sequences():
        values = (stream.source, stream.owner, stream.last, int(stream.lane))
        changes[heirs[stream.owner]].append((sql.SET_SEQUENCE, values))
    for saved in store.kept():
        assert saved.value is not None
        # Nonces of commands are known to all: whoever has the device now must refuse what was obeyed before.
        for number in [heirs[saved.owner]] if saved.owner else list(targets):
            changes[number].append((sql.SET_KEPT, (saved.owner, saved.key, saved.value)))
    facts = [(sql.SET_META, (name, value)) for name, value in store.meta().items()]
    for number, target in targets.items():
        target.begin()
        target.change([*facts, *changes[number]])
        target.commit()


class _Writer:
    """Appends rows to a new store, numbered anew in the order in which they come."""

    def __init__(self, store: OutboxStore) -> None:
        self.count = 0
        self._store = store
        self._waiting: list[tuple[Value, ...]] = []

    def add(self, values: tuple[Value, ...]) -> None:
        self.count += 1
        self._waiting.append((self.count, *values[1:]))
        if len(self._waiting) >= ROWS_PER_INSERT:
            self._write()
        if self.count % ROWS_PER_COMMIT == 0:
            self._store.commit()

    def finish(self) -> None:
        self._write()
        self._store.commit()

    def _write(self) -> None:
        if self._waiting:
            self._store.begin()
            self._store.insert(self._waiting)
            self._waiting.clear()


@contextmanager
def _open(folder: Path) -> Iterator[OutboxStore]:
    store = OutboxStore.open(folder / FILE_NAME)
    try:
        yield store
    finally:
        store.close()


def sync_folder(folder: Path) -> None:
    """Make sure that the names of the files in a folder are on disk, not only what they hold."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
