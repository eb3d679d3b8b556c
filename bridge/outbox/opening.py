"""Opening the outbox's file at a start: on a full disk, after a machine that went down."""

import contextlib
from pathlib import Path

from bridge.errors import OutboxCorruptError, OutboxFullError
from bridge.outbox import schema as sql
from bridge.outbox.ballast import Ballast
from bridge.outbox.store import OutboxStore

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


def open_store(path: Path, ballast: Ballast) -> tuple[OutboxStore, dict[str, str]]:
    """Open the file for this start; on a full disk with the room that was kept for that."""
    try:
        return _begin_store(path)
    except OutboxFullError:
        if not ballast.release():
            raise
        return _begin_store(path)


def _begin_store(path: Path) -> tuple[OutboxStore, dict[str, str]]:
    store = OutboxStore.open(path)
    with contextlib.ExitStack() as on_error:
        on_error.callback(store.close)
        meta = store.meta()
        boot_id = BOOT_ID_FILE.read_text().strip() if BOOT_ID_FILE.exists() else ""
        # A killed process leaves a sound file. Only a machine that went down may have torn it.
        if meta.get("clean", "1") != "1" and meta.get("boot_id") != boot_id and (damage := store.find_damage()):
            raise OutboxCorruptError(
                f"{path}: is damaged: {damage}. Next: move it and its -wal file away, keep them as evidence, check the "
                "disk, start again; what waited in it is not sent, and streams begin anew with 1"
            )
        store.begin()
        store.change([(sql.SET_META, ("clean", "0")), (sql.SET_META, ("boot_id", boot_id))])
        store.commit()
        on_error.pop_all()
    return store, meta
