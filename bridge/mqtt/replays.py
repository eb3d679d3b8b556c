"""Replays that were asked for and that the publisher's thread has not queued yet."""

import threading
from concurrent.futures import Future
from dataclasses import dataclass

from bridge.outbox.port import Outbox, Replayed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replay:
    source: str
    first: int
    last: int
    future: "Future[Replayed]"


class Replays:
    """Asked for in any thread, done in the one that owns the outbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: list[_Replay] = []

    def ask(self, source: str, first: int, last: int) -> "Future[Replayed]":
        """Note a wish; its future ends when the messages are queued."""
        future: Future[Replayed] = Future()
        with self._lock:
            self._asked.append(_Replay(source=source, first=first, last=last, future=future))
        return future

    def do(self, outbox: Outbox, now_mono_ns: int) -> None:
        """Queue all that was asked for."""
        for each in self._take():
            if each.future.set_running_or_notify_cancel():
                each.future.set_result(outbox.replay(each.source, each.first, each.last, now_mono_ns))

    def cancel(self) -> None:
        """End what was asked for and will not be done."""
        for each in self._take():
            each.future.cancel()

    def _take(self) -> list[_Replay]:
        if not self._asked:
            return []
        with self._lock:
            taken, self._asked = self._asked, []
            return taken
