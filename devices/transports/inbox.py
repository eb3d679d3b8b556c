"""Chunks between the event loop's callbacks and the one task that receives them: ordered, bounded, with an end."""

import asyncio
from collections import deque

from devices.errors import TransportClosedError, TransportError
from devices.transports.base import Chunk

INBOX_CAP_BYTES = 256 * 1024
"""Bytes. Above it a transport stops reading and the operating system (or the sender) holds the rest: policy BLOCK.
Over four minutes of a 9600 Bd line. Larger, a stalled pipeline would work off ever older positions before new ones."""


class Inbox:
    """Where a transport puts what came in.

    Parameters
    ----------
    spec : str
        Names the transport in messages.
    """

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._chunks: deque[Chunk] = deque()
        self._n_bytes = 0
        self._receiver: asyncio.Future[None] | None = None
        self._senders: list[asyncio.Future[None]] = []
        self._end: tuple[type[TransportError], str] | None = None

    @property
    def is_full(self) -> bool:
        """Whether the cap is reached."""
        return self._n_bytes >= INBOX_CAP_BYTES

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be put."""
        return self._end is not None

    def put(self, chunk: Chunk) -> None:
        """Append a chunk; ignored after the end."""
        if self._end is None:
            self._chunks.append(chunk)
            self._n_bytes += len(chunk.data)
            self._wake_receiver()

    def finish(self, error: type[TransportError], message: str) -> None:
        """End the stream: what was put before is still handed out, except after a close."""
        if error is TransportClosedError:
            self._chunks.clear()
            self._n_bytes = 0
            self._end = (error, message)
        elif self._end is None:
            self._end = (error, message)
        self._wake_receiver()
        self.wake_senders()

    def raise_if_over(self) -> None:
        """Raise the error the stream ended with, if it ended."""
        if self._end is not None:
            error, message = self._end
            raise error(message)

    async def get(self) -> Chunk:
        """Wait for the next chunk. Cancelling the wait loses nothing."""
        while not self._chunks:
            self.raise_if_over()
            if self._receiver is not None:
                raise TransportError(f"{self._spec}: another task waits in receive() already; only one may")
            self._receiver = asyncio.get_running_loop().create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None
        chunk = self._chunks.popleft()
        self._n_bytes -= len(chunk.data)
        if self._senders and not self.is_full:
            self.wake_senders()
        return chunk

    async def wait_for_change(self) -> None:
        """Wait until there may be room again; the caller looks at ``is_full`` and waits again if need be."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._senders.append(waiter)
        try:
            await waiter
        finally:
            self._senders.remove(waiter)

    def _wake_receiver(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)

    def wake_senders(self) -> None:
        """Let waiting senders look again."""
        for waiter in self._senders:
            if not waiter.done():
                waiter.set_result(None)
