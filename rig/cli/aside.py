"""Text that is written by a thread of its own.

A terminal that was stopped, a reader that hangs or a disk that fails must not stop who has something to tell.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

MAX_WAITING = 10_000
"""Texts that wait for a reader, 2 MB. Beyond it the newest are left out and counted: what runs must go on."""

PATIENCE_S = 2.0
"""How long the end waits for what was not written yet. More delays the next start for the sake of its log."""


class Aside:
    """A stream for one that is slow. ``write`` never waits; may be called from any thread.

    Parameters
    ----------
    stream : TextIO
    on_end : callable
        Told, in the writing thread, why nothing can be written any more. What comes later is dropped.
    """

    def __init__(self, stream: TextIO, on_end: Callable[[OSError], None] = lambda _: None) -> None:
        self._stream = stream
        self._on_end = on_end
        self._waiting: deque[str] = deque()
        self._news = threading.Condition()
        self._left_out = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="aside", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Take a text over."""
        with self._news:
            if self._is_over:
                return len(text)
            if len(self._waiting) >= MAX_WAITING:
                self._left_out += 1
            else:
                self._waiting.append(text)
                self._news.notify()
        return len(text)

    def flush(self) -> None:
        """Do nothing: what was taken over is written as soon as it can be."""

    def close(self, timeout_s: float = PATIENCE_S) -> int:
        """Write what waits, at most for so long; give how many texts were left out."""
        with self._news:
            self._is_over = True
            self._news.notify()
        self._thread.join(timeout_s)
        return self._left_out + len(self._waiting)

    def _run(self) -> None:
        try:
            fd = _find_descriptor(self._stream)
            while (texts := self._take()) is not None:
                _write("".join(texts), self._stream, fd)
        except (OSError, ValueError) as exc:
            # ValueError: the stream was closed.
            with self._news:
                self._is_over = True
                self._waiting.clear()
            self._on_end(exc if isinstance(exc, OSError) else OSError(0, str(exc)))

    def _take(self) -> list[str] | None:
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._is_over)
            texts = list(self._waiting)
            self._waiting.clear()
            return texts or None


def _find_descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, AttributeError):
        return None


def _write(text: str, stream: TextIO, fd: int | None) -> None:
    if fd is None:
        stream.write(text)
        stream.flush()
        return
    # Past the stream's buffer: its lock would be held by a write that hangs, and the interpreter's end wants it.
    data = memoryview(text.encode(errors="backslashreplace"))
    while data:
        data = data[os.write(fd, data) :]
