"""All faults of one byte line, both directions: what a wrapper round a transport, or a bench, is driven by."""

from collections.abc import Awaitable, Callable
from typing import Final

from rig.faults.bytes import ByteFault

READY: Final = 0
"""A time that has come: what is due then goes on at once."""


class Chain:
    """The faults of one direction, one behind the other in the order they began. Pure: time is an argument.

    Attributes
    ----------
    bytes_in, bytes_out : int
        What was taken and what went on so far.
    """

    def __init__(self) -> None:
        self._faults: dict[str, ByteFault] = {}
        self._released: list[bytes] = []
        self.bytes_in = 0
        self.bytes_out = 0
        self.on_change: list[Callable[[], None]] = []
        """Called after a fault began or ended, or began to hold bytes back: ``due_ns`` is to be asked anew."""

    @property
    def is_idle(self) -> bool:
        """Whether bytes pass untouched."""
        return not self._faults and not self._released

    @property
    def due_ns(self) -> int | None:
        """When ``take`` wants to be called though nothing has come."""
        if self._released:
            return READY
        return min((due for each in self._faults.values() if (due := each.due_ns) is not None), default=None)

    def take(self, data: bytes, t_ns: int) -> list[bytes]:
        """Take what came in (perhaps nothing) and give the pieces that go on now, in order, none empty."""
        self.bytes_in += len(data)
        held = self.due_ns is not None
        out, self._released = self._released, []
        out += self._through(list(self._faults.values()), [data] if data else [], t_ns)
        self.bytes_out += sum(map(len, out))
        if not held and self.due_ns is not None:
            self._tell()
        return out

    def put(self, key: str, fault: ByteFault) -> None:
        """Let a fault begin, behind those that are on."""
        self._faults[key] = fault
        self._tell()

    def remove(self, key: str, t_ns: int) -> None:
        """End a fault; what it held back goes on, through those behind it. One that is not on is no error."""
        if key not in self._faults:
            return
        keys = list(self._faults)
        behind = [self._faults[each] for each in keys[keys.index(key) + 1 :]]
        self._released += self._through(behind, self._faults.pop(key).end(), t_ns)
        self._tell()

    def forget(self) -> None:
        """Lose what is held: the line was unplugged."""
        self._released.clear()
        for fault in self._faults.values():
            fault.end()

    @staticmethod
    def _through(faults: list[ByteFault], pieces: list[bytes], t_ns: int) -> list[bytes]:
        for fault in faults:
            # once with nothing first: what is due goes before what comes now
            pieces = [out for piece in (b"", *pieces) for out in fault.take(piece, t_ns) if out]
        return pieces

    def _tell(self) -> None:
        for changed in self.on_change:
            changed()


class LineFaults:
    """Faults of one line.

    Attributes
    ----------
    up, down : Chain
        From the device and to it.
    """

    def __init__(self) -> None:
        self.up = Chain()
        self.down = Chain()
        self._unplugged: set[str] = set()
        self.on_plug: list[Callable[[], Awaitable[None]]] = []
        """Awaited after the port vanished or came back."""

    @property
    def is_unplugged(self) -> bool:
        """Whether the port is gone."""
        return bool(self._unplugged)

    async def unplug(self, key: str) -> None:
        """Let the port vanish; what is under way is lost."""
        was = self.is_unplugged
        self._unplugged.add(key)
        self.up.forget()
        self.down.forget()
        if not was:
            await self._tell()

    async def plug(self, key: str) -> None:
        """Let the port come back, once nothing else keeps it away."""
        was = self.is_unplugged
        self._unplugged.discard(key)
        if was and not self.is_unplugged:
            await self._tell()

    async def _tell(self) -> None:
        for changed in self.on_plug:
            await changed()
