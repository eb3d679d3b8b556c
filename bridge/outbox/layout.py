"""How an outbox is shared out among bridges, and the hand-over when that changes.

::

    outbox/                     one bridge without a part has its store here
      layout.json               how it is shared out now, and where
      layout.lock               shared by every bridge that runs; exclusive while things are moved
      g2/1of4/ ... g2/4of4/     a store each, and served.json: the devices that this bridge ever served

The first bridge that starts with another number of parts, or with a configuration by which a device belongs to another
part, moves everything to a new folder ``g3/`` and then names it in ``layout.json``: that is the one moment that counts.
It does so only while no bridge of the old layout runs. The others wait until it is done.
"""

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bridge.config.schema import BridgeConfig
from bridge.errors import LayoutBusyError, OutboxError, OutboxLockedError
from bridge.outbox.lock import OutboxLock
from bridge.outbox.moving import Moved, OldStore, move_all, sync_folder
from bridge.outbox.store import FILE_NAME, OutboxStore
from bridge.partition import Networks, Part
from devices.clock import Clock

_log = logging.getLogger(__name__)

LAYOUT_NAME = "layout.json"
LOCK_NAME = "layout.lock"
SERVED_NAME = "served.json"
ORDER_KEY = "order/"

WAIT_FOR_MOVE_S = 600.0
"""How long a start waits while another bridge moves things. A million messages take half a minute; a disk that needs
longer than ten minutes is one that a person should look at."""

WAIT_FOR_OTHERS_S = 3.0
"""How long a move waits for others that look at the layout as they start. Those that run do not let go; the service
manager that starts us again has the patience."""

_PAUSE_S = 0.02

Ties = tuple[tuple[str, ...], ...]


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which folders count. ``of`` 0: one bridge without a part; ``ties``: see ``bridge.partition.Networks``."""

    of: int
    generation: int
    ties: Ties = ()

    def folder(self, base: Path, number: int) -> Path:
        """Folder of one bridge's store."""
        if self.generation == 0:
            return base
        return base / f"g{self.generation}" / (f"{number}of{self.of}" if self.of else "whole")

    @property
    def numbers(self) -> range:
        """Numbers of its bridges."""
        return range(1, max(1, self.of) + 1)


class _TiedPerson(msgspec.Struct, frozen=True):
    device: str
    smart_tag: str | None = None


class _TiedOrder(msgspec.Struct, frozen=True):
    """What of an order that the provider loaded says who belongs together."""

    wearer: str
    protected: tuple[_TiedPerson, ...] = ()


@dataclass(slots=True, kw_only=True)
class Home:
    """A bridge's place in the layout, held until ``close`` or the end of the process.

    Attributes
    ----------
    folder : Path
        For its outbox.
    ties : tuple of tuples of str
        For ``bridge.partition.restrict``.
    moved : Moved or None
        What was moved to make this place.
    """

    folder: Path
    ties: Ties
    moved: Moved | None
    _fd: int

    def close(self) -> None:
        """Let the layout be changed; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def take_home(base: Path, config: BridgeConfig, part: Part | None, *, clock: Clock) -> Home:
    """Find the folder of a bridge's store; hand over first if devices belong to another bridge than before.

    Parameters
    ----------
    base : Path
        ``outbox.folder``; the same for all bridges of a layout, on a local disk.
    config : BridgeConfig
        The whole one, not a part.
    part : Part or None
    clock : Clock

    Raises
    ------
    LayoutBusyError
        Things must be moved and bridges run; names their process ids.
    OutboxError
        The folder, the layout or a store cannot be used. Nothing was changed.
    """
    of, number = (part.of, part.number) if part is not None else (0, 1)
    moved: Moved | None = None
    while True:
        fd = _lock(base, fcntl.LOCK_SH, clock, WAIT_FOR_MOVE_S)
        try:
            layout = _read(base)
            mine = _find_misplaced(base, layout, config, of) if layout.of == of else "another number of bridges"
            if mine is None:
                folder = layout.folder(base, number)
                _tidy(base, layout)
                _note_served(folder, layout, config, part)
                home = Home(folder=folder, ties=layout.ties, moved=moved, _fd=fd)
                fd = -1
                return home
        finally:
            if fd >= 0:
                os.close(fd)
        moved = _move(base, config, of, clock) or moved


def find_stores(base: Path) -> tuple[Path, ...]:
    """Folders of all stores that count now, for who reads them from outside; empty: there is none yet.

    Raises
    ------
    OutboxError
        The layout cannot be read.
    """
    layout = _read(base)
    folders = (layout.folder(base, number) for number in layout.numbers)
    return tuple(folder for folder in folders if (folder / FILE_NAME).exists())


def _move(base: Path, config: BridgeConfig, of: int, clock: Clock) -> Moved | None:
    """Make the next layout; None: somebody else did."""
    try:
        fd = _lock(base, fcntl.LOCK_EX, clock, WAIT_FOR_OTHERS_S)
    except LayoutBusyError as exc:
        layout = _read(base)
        if layout.of == of and _find_misplaced(base, layout, config, of) is None:
            # Moved by another that started at the same moment, and that runs already.
            return None
        holders = sorted(_holders(base, layout))
        raise LayoutBusyError(
            f"{base}: is shared out among {max(1, layout.of)} bridges and would be moved to {max(1, of)}, but "
            f"{'; '.join(holders) or 'a bridge that is starting uses it'}. Next: stop all bridges first"
        ) from exc
    try:
        old = _read(base)
        if old.of == of and _find_misplaced(base, old, config, of) is None:
            return None
        return _hand_over(base, old, config, of)
    finally:
        os.close(fd)


def _hand_over(base: Path, old: Layout, config: BridgeConfig, of: int) -> Moved:
    stores = [OldStore(number=n, folder=old.folder(base, n)) for n in old.numbers]
    stores = [each for each in stores if (each.folder / FILE_NAME).exists()]
    with ExitStack() as stack:
        for each in stores:
            # Nobody who knows of layouts can have one; a bridge that does not may.
            stack.callback(OutboxLock(each.folder).release)
        ties = tuple(sorted({tie for each in stores for tie in _ties(each.folder)}))
        networks = Networks(config, ties)
        numbers = networks.numbers(of) if of else {}
        new = Layout(of=of, generation=old.generation + 1, ties=ties)
        fresh = base / f"g{new.generation}"
        try:
            # Of a move that did not come to its end.
            if fresh.exists():
                shutil.rmtree(fresh)
            folders = {n: new.folder(base, n) for n in new.numbers}
            for folder in folders.values():
                folder.mkdir(parents=True, mode=0o700)
            moved = Moved(rows=0, devices=0, changed_hands=0)
            # Without anything to move no store is made: one without a layout.json would look like a lost layout.
            if stores:
                moved = move_all(
                    stores,
                    folders,
                    lambda owner: (numbers.get(owner) or networks.number_of(owner, of)) if of else 1,
                    has_same_numbers=old.of == of,
                )
            sync_folder(fresh)
            _write(base, new)
        except OSError as exc:
            raise OutboxError(
                f"{base}: cannot be shared out anew: {exc.strerror or exc}. Next: make room or check the rights; the "
                "stores before the move are as they were"
            ) from exc
    if stores:
        _tell(base, old, of, moved)
    return moved


def _tell(base: Path, old: Layout, of: int, moved: Moved) -> None:
    _log.warning(
        "%s: moved from %d to %d bridges: %d messages, %d devices, of which %d have another bridge now",
        base,
        max(1, old.of),
        max(1, of),
        moved.rows,
        moved.devices,
        moved.changed_hands,
    )


def _find_misplaced(base: Path, layout: Layout, config: BridgeConfig, of: int) -> str | None:
    """Find a device that another bridge served before, by what all bridges of a layout wrote down."""
    if not of:
        return None
    numbers = Networks(config, layout.ties).numbers(of)
    for number in layout.numbers:
        for device in _served(layout.folder(base, number)):
            if numbers.get(device, number) != number:
                return device
    return None


def _note_served(folder: Path, layout: Layout, config: BridgeConfig, part: Part | None) -> None:
    """Write down which devices have a history here: what they leave must not stay behind when they move."""
    if part is None:
        return
    numbers = Networks(config, layout.ties).numbers(part.of)
    before = set(_served(folder))
    now = before | {device for device, number in numbers.items() if number == part.number}
    if now != before:
        _replace(folder / SERVED_NAME, msgspec.json.encode(sorted(now)))


def _served(folder: Path) -> Collection[str]:
    path = folder / SERVED_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as exc:
        raise OutboxError(
            f"{path}: cannot be read ({exc}). Next: restore it; it lists the devices served here"
        ) from exc


def _ties(folder: Path) -> Iterator[tuple[str, ...]]:
    """Who belongs together by the orders that the provider loaded into a store."""
    store = OutboxStore.open(folder / FILE_NAME)
    try:
        kept = store.kept()
    finally:
        store.close()
    for saved in kept:
        if not saved.key.startswith(ORDER_KEY) or saved.value is None:
            continue
        try:
            order = msgspec.json.decode(saved.value, type=_TiedOrder)
        except msgspec.MsgspecError as exc:
            raise OutboxError(
                f"{folder / FILE_NAME}: {saved.key!r} is no order ({exc}), so nobody knows who belongs together. Next: "
                "start the old number of bridges again and withdraw it"
            ) from exc
        people = [name for each in order.protected for name in (each.device, each.smart_tag) if name is not None]
        if people:
            yield tuple(sorted({order.wearer, *people}))


def _tidy(base: Path, layout: Layout) -> None:
    """Delete what an earlier layout left: everything in it was moved before ``layout.json`` named the new one."""
    if layout.generation == 0:
        return
    for folder in base.glob("g*"):
        if folder.name[1:].isdecimal() and int(folder.name[1:]) < layout.generation:
            shutil.rmtree(folder, ignore_errors=True)
    for path in _files_of_one(base):
        path.unlink(missing_ok=True)


def _files_of_one(base: Path) -> Iterable[Path]:
    """Files of a store without a part; its lock stays, an empty file."""
    return (*base.glob(f"{FILE_NAME}*"), base / "ballast")


def _holders(base: Path, layout: Layout) -> Iterator[str]:
    for number in layout.numbers:
        folder = layout.folder(base, number)
        if not folder.exists():
            continue
        try:
            OutboxLock(folder).release()
        except OutboxLockedError as exc:
            yield str(exc).partition(". Next")[0]


def _lock(base: Path, kind: int, clock: Clock, patience_s: float) -> int:
    """Lock the layout; the descriptor holds it."""
    try:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(base / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise OutboxError(
            f"{base}: cannot be used as a folder for the outbox ({exc.strerror}). Next: make it writable for "
            "this user, or set outbox.folder"
        ) from exc
    deadline_mono_ns = clock.mono_ns() + int(patience_s * 1e9)
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if clock.mono_ns() >= deadline_mono_ns:
                os.close(fd)
                raise LayoutBusyError(
                    f"{base}: was moved by another bridge for {patience_s:g} s. Next: look whether that one still works"
                ) from exc
            time.sleep(_PAUSE_S)
        else:
            return fd


def _read(base: Path) -> Layout:
    path = base / LAYOUT_NAME
    try:
        layout = msgspec.json.decode(path.read_bytes(), type=Layout)
    except FileNotFoundError:
        found = sorted(folder.name for folder in base.glob("g*") if any(folder.rglob(FILE_NAME)))
        # g1 beside the store of one bridge: the first move, broken off before it counted.
        if found and not (found == ["g1"] and (base / FILE_NAME).exists()):
            raise OutboxError(
                f"{path}: is missing, and stores stand in {', '.join(found)}. Next: restore it, for example "
                '{"of":4,"generation":' + found[-1][1:] + "} for the last of them among four bridges"
            ) from None
        return Layout(of=0, generation=0)
    except (OSError, msgspec.MsgspecError) as exc:
        raise OutboxError(f"{path}: cannot be read ({exc}). Next: restore it; nothing was changed") from exc
    if layout.generation and not (base / f"g{layout.generation}").is_dir():
        raise OutboxError(
            f"{path}: names g{layout.generation}, which is not there. Next: restore both from the same moment"
        )
    return layout


def _write(base: Path, layout: Layout) -> None:
    _replace(base / LAYOUT_NAME, msgspec.json.encode(layout))


def _replace(path: Path, body: bytes) -> None:
    """Write a file at once or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with draft.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)
