"""Lines on standard input for a verb that lives in an event loop, until a signal or ``quit`` ends it."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable

from rig.cli.stop_signals import STOP_SIGNALS


async def follow_lines(obey: Callable[[str], Awaitable[None]]) -> None:
    """Hand on each line in turn; return at ``quit`` or at one of the stop signals.

    The end of standard input ends nothing: a program without a terminal runs on until it is told to stop.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        # a thread, since standard input may be a file, which no event loop can wait for
        with contextlib.suppress(RuntimeError, ValueError):  # the loop, or standard input, is closed
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line.strip())

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, lines.put_nowait, None)
    threading.Thread(target=read, name="lines", daemon=True).start()
    try:
        while (line := await lines.get()) is not None and line != "quit":
            if line:
                await obey(line)
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
