"""The one interface between bytes and the rest: a transport opens, receives chunks, sends bytes, closes."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Bytes as they came in, with the only time stamps that the pipeline ever takes.

    Attributes
    ----------
    data : bytes
        At least one byte.
    t_rx_mono_ns : int
        Monotonic clock when the bytes were handed over by the operating system (in a replay: by the replay).
        Never less than that of the chunk before.
    t_rx_utc_ns : int
        The host's UTC at the same moment (in a replay of a capture: as recorded).
    """

    data: bytes
    t_rx_mono_ns: int
    t_rx_utc_ns: int


class Transport(Protocol):
    """A byte stream to one device. Every implementation passes ``tests/conformance/test_transport.py``.

    One task receives, any task may send. ``open`` may be called again after ``close`` or after the transport was lost.
    """

    @property
    def spec(self) -> str:
        """The specification string this transport was made from; names it in every message."""
        ...

    async def open(self) -> None:
        """Open the stream.

        Raises
        ------
        TransportOpenError
            The port is absent, busy or refused, or open already; the message says which and what to do.
        """
        ...

    async def receive(self) -> Chunk:
        """Wait for bytes, without polling, and return them as soon as there are any.

        Cancelling the wait loses no byte. Once lost, ended or closed it stays so until the next ``open``.

        Raises
        ------
        TransportLostError
            The other side went away (unplugged, hung up). Bytes received before are returned first.
        TransportEndedError
            A replay has no more bytes. Not a fault: nothing will ever come again.
        TransportClosedError
            ``close`` was called, also by another task while this one waits.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Hand all bytes to the operating system; waits while it takes none. A replay lets them go.

        Raises
        ------
        TransportLostError, TransportClosedError
            As for ``receive``. Any part of the bytes may have gone out, also when the call is cancelled.
        """
        ...

    async def close(self) -> None:
        """Release the port. Safe to call twice, and while ``receive`` waits."""
        ...
