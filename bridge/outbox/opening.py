"""Opening the outbox's file at a start: on a full disk, after a machine that went down."""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.errors import OutboxFullError
from bridge.outbox import schema as sql
from bridge.outbox.ballast import BALLAST_NAME, Ballast
from bridge.outbox.port import OutboxTrouble, TroubleKind, TroubleListener
from bridge.outbox.store import LAST_MAX, OutboxStore, corrupt_error
from bridge.publisher import Lane, Saved

_log = logging.getLogger(__name__)

STATE_SKIP = 1_000
"""Numbers of a stream of states that are left out after a start without an orderly end: those of the last 50 ms were
given and not saved. A gap among states means nothing; a number given twice would."""

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a file told about earlier starts; without a file, nothing.

    Attributes
    ----------
    was_clean : bool
        The process before ended in order.
    receipts_seen : bool
    last_number : int
    newest_utc_ns : int or None
        Of the newest row.
    sequences : mapping
        Last number of each stream.
    kept : tuple of Saved
    """

    was_clean: bool = True
    receipts_seen: bool = False
    last_number: int = 0
    newest_utc_ns: int | None = None
    sequences: Mapping[str, int] = field(default_factory=dict)
    kept: tuple[Saved, ...] = ()


def tell_if_lost(path: Path, on_trouble: TroubleListener) -> None:
    """Tell that an earlier start left an outbox here and that it is gone: else that would look like a first start."""
    try:
        is_there = path.exists()
        if (is_there and path.stat().st_size > 0) or not (is_there or (path.parent / BALLAST_NAME).exists()):
            return
    except OSError:
        # What is wrong with the disk is told when the file is opened.
        return
    detail = (
        f"{path}: an earlier outbox was here and is {'empty' if is_there else 'gone'}: what waited in it is lost, and "
        "numbers begin anew with 1. Next: check the disk, and tell the provider"
    )
    _log.error("%s", detail)
    on_trouble(OutboxTrouble(kind=TroubleKind.LOST, detail=detail))


def open_store(path: Path, ballast: Ballast) -> tuple[OutboxStore, Found]:
    """Open the file for this start; on a full disk with the room that was kept for that."""
    try:
        return _begin_store(path)
    except OutboxFullError:
        if not ballast.release():
            raise
        return _begin_store(path)


def _begin_store(path: Path) -> tuple[OutboxStore, Found]:
    store = OutboxStore.open(path)
    with contextlib.ExitStack() as on_error:
        on_error.callback(store.close)
        meta = store.meta()
        was_clean = meta.get("clean", "1") == "1"
        boot_id = BOOT_ID_FILE.read_text().strip() if BOOT_ID_FILE.exists() else ""
        # A killed process leaves a sound file. Only a machine that went down may have torn it.
        if not was_clean and meta.get("boot_id") != boot_id and (damage := store.find_damage()):
            raise corrupt_error(path, damage)
        if (last := store.last_number()) > LAST_MAX:
            raise corrupt_error(path, f"a message has number {last}")
        newest = next(iter(store.ask(sql.NEWEST)), None)
        found = Found(
            was_clean=was_clean,
            receipts_seen="receipts_seen" in meta,
            last_number=newest[0] if newest else 0,
            newest_utc_ns=newest[1] if newest else None,
            sequences={
                each.source: each.last + (0 if was_clean or each.lane is not Lane.STATE else STATE_SKIP)
                for each in store.sequences()
            },
            kept=store.kept(),
        )
        store.begin()
        store.change([(sql.SET_META, ("clean", "0")), (sql.SET_META, ("boot_id", boot_id))])
        store.commit()
        on_error.pop_all()
    return store, found
