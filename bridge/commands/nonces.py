"""Which commands were taken before: each nonce once, also over a restart. Pure; time is data."""

from collections import OrderedDict
from collections.abc import Iterable

from bridge.publisher import Saved

MAX_NONCES = 100_000
"""Commands within one window. A provider that sends more is one that has lost control of its key."""

ROOM = "nonce/"
"""Start of the keys under which nonces are kept."""

FLOOR = "nonce-floor"
"""Key of the time below which nonces are forgotten, and every command is too old whatever the clock says."""

MAX_FORGOTTEN = 32
"""Nonces forgotten in one transaction: it must not grow with the hour before."""


class Nonces:
    """Nonces of commands within the window.

    What is older than the window is forgotten, and refused from then on: also if the wall clock is set back.

    Parameters
    ----------
    window_ns : int
        How old a command may be; one from the future may be as far ahead.
    """

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._issued_utc_ns: OrderedDict[str, int] = OrderedDict()
        self._floor_utc_ns = 0

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._issued_utc_ns)

    @property
    def is_full(self) -> bool:
        """Whether no further command can be taken."""
        return len(self._issued_utc_ns) >= MAX_NONCES

    def is_known(self, nonce: str) -> bool:
        """Whether a command was taken before."""
        return nonce in self._issued_utc_ns

    def is_forgotten(self, issued_utc_ns: int) -> bool:
        """Whether a command is of a time of which nobody remembers the nonces."""
        return issued_utc_ns <= self._floor_utc_ns

    def take(self, nonce: str, issued_utc_ns: int, now_utc_ns: int) -> tuple[Saved, ...]:
        """Note a command and forget what is too old; says what is to be kept."""
        self._issued_utc_ns[nonce] = issued_utc_ns
        saves = [Saved(owner="", key=f"{ROOM}{nonce}", value=str(issued_utc_ns).encode())]
        oldest_utc_ns = now_utc_ns - self._window_ns
        forgotten = 0
        while forgotten < MAX_FORGOTTEN:
            first = next(iter(self._issued_utc_ns))
            if first == nonce or self._issued_utc_ns[first] > oldest_utc_ns:
                break
            self._floor_utc_ns = max(self._floor_utc_ns, self._issued_utc_ns.pop(first))
            saves.append(Saved(owner="", key=f"{ROOM}{first}", value=None))
            forgotten += 1
        if forgotten:
            saves.append(Saved(owner="", key=FLOOR, value=str(self._floor_utc_ns).encode()))
        return tuple(saves)

    def restore(self, kept: Iterable[Saved]) -> None:
        """Remember what an earlier start kept."""
        found = []
        for saved in kept:
            if saved.value is None or not (saved.key == FLOOR or saved.key.startswith(ROOM)):
                continue
            try:
                issued_utc_ns = int(saved.value)
            except ValueError:
                continue
            if saved.key == FLOOR:
                self._floor_utc_ns = max(self._floor_utc_ns, issued_utc_ns)
            else:
                found.append((issued_utc_ns, saved.key.removeprefix(ROOM)))
        for issued_utc_ns, nonce in sorted(found):
            self._issued_utc_ns[nonce] = issued_utc_ns
