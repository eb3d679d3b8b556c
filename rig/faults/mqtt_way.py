"""A way between the bridge and its broker that can be slow, refuse, lose acknowledgements or send them twice.

It stands in a thread of its own with real time: neither it nor a bench on virtual time holds the other up. Bytes
pass unread but for the heads of packets from the broker: an acknowledgement must be known from a message.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from enum import Enum, unique
from types import TracebackType
from typing import Final, Self

from rig.errors import BenchBrokenError

HOST: Final = "127.0.0.1"

_READ: Final = 65_536
"""Bytes read at once."""

_START_S: Final = 10.0
"""To open a listening socket; it bounds a hang."""

_PUBACK: Final = 4
"""Packet type of PUBACK, in the high half of a packet's first byte (MQTT 5.0, 2.1.2)."""

_BODY_MAX: Final = 268_435_455
"""Longest remaining length that MQTT can write (MQTT 5.0, 1.5.5)."""


@unique
class Acks(Enum):
    """What becomes of the broker's acknowledgements."""

    PASS = "pass"
    LOSE = "lose"
    TWICE = "twice"


class MqttWay:
    """A TCP relay that listens on loopback and connects each client to the broker.

    Parameters
    ----------
    port : int
        The broker's, on ``host``.
    host : str

    Attributes
    ----------
    connections : int
        Taken so far, refused ones included.
    acks_lost, acks_repeated : int
    """

    def __init__(self, port: int, *, host: str = HOST) -> None:
        self._to = (host, port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ending: asyncio.Event | None = None
        self._up = threading.Event()
        self._relays: set[asyncio.Task[None]] = set()
        self._delay_s = 0.0
        self._refusing = False
        self._acks = Acks.PASS
        self.port = 0
        self.connections = 0
        self.acks_lost = 0
        self.acks_repeated = 0

    @property
    def url(self) -> str:
        """Where the bridge connects."""
        return f"mqtt://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        """Listen."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="mqtt way", daemon=True)
        self._thread.start()
        if not self._up.wait(_START_S):
            raise BenchBrokenError(f"the way to the broker did not listen within {_START_S:g} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every connection, and the thread."""
        if self._loop is not None and self._ending is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(_START_S)

    # --- faults: from any thread ----------------------------------------------------------------------------------

    def set_delay(self, delay_ms: float) -> None:
        """Have each packet take so long, each way; 0 ends it."""
        self._delay_s = delay_ms / 1000

    def set_acks(self, acks: Acks) -> None:
        """Let acknowledgements pass, get lost, or come twice."""
        self._acks = acks

    def set_refusing(self, refusing: bool) -> None:
        """End every connection, and each new one at once; or take them again."""
        self._refusing = refusing
        if refusing:
            self.cut()

    def cut(self) -> None:
        """End every connection that is open."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cut)

    # --- in the thread --------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        server = await asyncio.start_server(self._take, HOST, self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._ending.wait()
        server.close()
        self._cut()
        await asyncio.gather(*self._relays, return_exceptions=True)
        await server.wait_closed()

    def _cut(self) -> None:
        for relay in self._relays:
            relay.cancel()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        try:
            if not self._refusing:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await self._relay(reader, writer)
        except asyncio.CancelledError:
            # cut: the connection ends here, its task in order
            pass
        finally:
            self._relays.discard(task)
            await _close(writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(*self._to)
        try:
            async with asyncio.TaskGroup() as group:
                up = group.create_task(self._pump(_some(reader), onward))
                down = group.create_task(self._pump(self._packets(there), writer))
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
                up.cancel()
                down.cancel()
        finally:
            await _close(onward)

    async def _pump(self, read: Callable[[], Awaitable[bytes]], writer: asyncio.StreamWriter) -> None:
        """Read on while earlier bytes are on their way: a delay must not be a limit of the rate."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue(10_000)

        async def write() -> None:
            while (item := await queue.get()) is not None:
                due, data = item
                if (left_s := due - loop.time()) > 0:
                    await asyncio.sleep(left_s)
                writer.write(data)
                await writer.drain()

        writing = asyncio.create_task(write())
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while data := await read():
                    await queue.put((loop.time() + self._delay_s, data))
            await queue.put(None)
            with contextlib.suppress(OSError):
                await writing
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    def _packets(self, reader: asyncio.StreamReader) -> Callable[[], Awaitable[bytes]]:
        async def read() -> bytes:
            while True:
                packet = await _packet(reader)
                if not packet or packet[0] >> 4 != _PUBACK or self._acks is Acks.PASS:
                    return packet
                if self._acks is Acks.TWICE:
                    self.acks_repeated += 1
                    return packet + packet
                self.acks_lost += 1

        return read


def _some(reader: asyncio.StreamReader) -> Callable[[], Awaitable[bytes]]:
    return lambda: reader.read(_READ)


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """Read one MQTT packet whole; empty at the end of the connection."""
    head = await reader.read(1)
    if not head:
        return b""
    length = shift = 0
    while True:
        byte = await reader.readexactly(1)
        head += byte
        length |= (byte[0] & 127) << shift
        shift += 7
        if not byte[0] & 128 or shift > 21:
            break
    return head + await reader.readexactly(min(length, _BODY_MAX))


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
