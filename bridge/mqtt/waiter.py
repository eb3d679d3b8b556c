"""What the publisher's thread sleeps on: the sockets of its paths, and a way to wake it from other threads.

epoll where the system has it: ``select`` refuses descriptors beyond 1,023, and a bridge with many tags has them.
"""

import contextlib
import selectors
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from devices.clock import Clock, selecting_by

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """A socket and what to wait for on it: ``READ``, or ``READ | WRITE``."""

    sock: socket.socket
    mask: int


class Waiter:
    """One thread waits, any may wake it.

    Parameters
    ----------
    clock : Clock
        Its time is what passes.
    """

    def __init__(self, clock: Clock) -> None:
        self._selector = selectors.DefaultSelector()
        self._select = selecting_by(clock, self._selector)
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, READ)
        self._awake = threading.Event()
        self._registered: dict[int, Interest] = {}

    def wake(self) -> None:
        """End the wait under way, or the next one. One byte is enough, however often this is called meanwhile."""
        if not self._awake.is_set():
            self._awake.set()
            # A full pipe wakes the thread as well; a closed one means that it has ended, which is told elsewhere.
            with contextlib.suppress(OSError):
                self._wake_write.send(b"\0")

    def wait(self, interests: Mapping[int, Interest], timeout_s: float) -> dict[int, int]:
        """Wait for sockets, by key; give the masks of those that are ready."""
        self._sync(interests)
        ready: dict[int, int] = {}
        for key, mask in self._select(timeout_s):
            if key.fileobj is self._wake_read:
                # In this order: what is handed over between the two is found by this very turn.
                while self._drain():
                    pass
                self._awake.clear()
            else:
                ready[key.data] = mask
        return ready

    def forget(self, key: int) -> None:
        """Stop waiting for a socket, at once: its number may be another's soon."""
        interest = self._registered.pop(key, None)
        if interest is not None:
            self._selector.unregister(interest.sock)

    def close(self) -> None:
        """Release everything; waking is harmless afterwards."""
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()

    def _sync(self, interests: Mapping[int, Interest]) -> None:
        """Take over what changed; first what goes, for a new socket may have the number of one that was closed."""
        for key, old in list(self._registered.items()):
            new = interests.get(key)
            if new is None or new.sock is not old.sock:
                self.forget(key)
        for key, interest in interests.items():
            registered = self._registered.get(key)
            if registered is None:
                self._selector.register(interest.sock, interest.mask, key)
            elif registered.mask != interest.mask:
                self._selector.modify(interest.sock, interest.mask, key)
            self._registered[key] = interest

    def _drain(self) -> bool:
        try:
            return bool(self._wake_read.recv(64))
        except BlockingIOError:
            return False
