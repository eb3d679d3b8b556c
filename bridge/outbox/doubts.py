"""Brokers of which we do not know what they hold of our session; known over restarts.

A broker that forgot us makes a new session when we connect, and calls it the old one the next time. Who is killed in
between would never learn that what had been acknowledged was lost. So the doubt is on disk before we connect, and goes
once the broker has said that it knows us, or what it may have lost waits on disk again.
"""

from bridge.outbox import schema as sql
from bridge.outbox.disk import Disk


class Doubts:
    """By path.

    Parameters
    ----------
    disk : Disk
    paths : range
    """

    def __init__(self, disk: Disk, paths: range) -> None:
        self._disk = disk
        self._present = {path for path in paths if disk.find_text(sql.FIND_META, (_name(path),)) == "1"}

    def __contains__(self, path: object) -> bool:
        """Whether there is doubt."""
        return path in self._present

    def set(self, path: int, is_in_doubt: bool, now_mono_ns: int) -> None:
        """Put a doubt on disk, before returning, or forget it with the next commit; nothing where it is so already."""
        if is_in_doubt == (path in self._present):
            return
        self._present ^= {path}
        self._disk.note((sql.SET_META, (_name(path), "1" if is_in_doubt else "0")), now_mono_ns)
        if is_in_doubt:
            self._disk.flush(now_mono_ns, force=True)


def _name(path: int) -> str:
    return f"doubt_{path}"
