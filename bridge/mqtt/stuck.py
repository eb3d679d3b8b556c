"""A way that is open again while TCP still waits.

While nothing is acknowledged TCP doubles its wait between retransmissions. After some seconds in a tunnel the way is
open again, and the connection goes on sleeping for as long as it was gone. A new connection gets through at once; so
while TCP waits, one is knocked with, and who is let in tells that the old one need not be waited for.

A broker that is slow and not gone is never mistaken for that: its kernel acknowledges what we send, and TCP waits for
nothing.
"""

import contextlib
import errno
import logging
import select
import socket

from devices.clock import Clock

_log = logging.getLogger(__name__)

STUCK_BACKOFF = 2
"""Doublings of TCP's wait, in the kernel's own count. Two are 0.6 s of silence on a fast way; one is a lost packet,
which TCP mends sooner than a new connection would."""

KNOCK_EVERY_NS = 100_000_000
KNOCK_FOR_NS = 300_000_000
"""A new connection is tried this often, and each has so long to be let in: 300 ms are a round trip over two satellites.
More tries load a network that is just coming back; fewer leave alerts waiting for it."""

_BACKOFF_AT = 4
"""Offset of ``tcpi_backoff``, one byte, in ``struct tcp_info`` (linux/tcp.h); the first bytes of it never change."""


class StuckWatch:
    """Watches one path's connection; does nothing where the kernel does not tell.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._knock: socket.socket | None = None
        self._knock_mono_ns = 0

    def close(self) -> None:
        """Give up knocking."""
        knock, self._knock = self._knock, None
        if knock is not None:
            knock.close()

    def find_due_mono_ns(self, sock: socket.socket | None) -> int | None:
        """When to look again; None: there is nothing to look for yet."""
        if self._knock is not None or _is_backed_off(sock):
            return self._clock.mono_ns() + KNOCK_EVERY_NS // 4
        return None

    def is_open_again(self, sock: socket.socket | None) -> bool:
        """Whether a new connection would get through while this one waits."""
        if not _is_backed_off(sock):
            self.close()
            return False
        assert sock is not None
        now = self._clock.mono_ns()
        if self._knock is None:
            if now - self._knock_mono_ns >= KNOCK_EVERY_NS:
                self._begin(sock, now)
            return False
        answer = _find_answer(self._knock)
        if answer is None:
            if now - self._knock_mono_ns >= KNOCK_FOR_NS:
                self.close()
            return False
        self.close()
        return answer

    def _begin(self, sock: socket.socket, now_mono_ns: int) -> None:
        self._knock_mono_ns = now_mono_ns
        with contextlib.suppress(OSError):
            peer = sock.getpeername()
            self._knock = knock = socket.socket(sock.family, socket.SOCK_STREAM)
            knock.setblocking(False)
            code = knock.connect_ex(peer)
            if code not in {0, errno.EINPROGRESS}:
                self.close()


def _find_answer(knock: socket.socket) -> bool | None:
    """Say whether it was let in; None: not known yet."""
    poll = select.poll()
    poll.register(knock, select.POLLOUT)
    if not poll.poll(0):
        return None
    return knock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def _is_backed_off(sock: socket.socket | None) -> bool:
    if sock is None or not hasattr(socket, "TCP_INFO"):
        return False
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BACKOFF_AT + 1)
    except OSError:
        return False
    return len(told) > _BACKOFF_AT and told[_BACKOFF_AT] >= STUCK_BACKOFF
