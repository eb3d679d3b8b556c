"""Keeps an embedded broker running: started again on its port and its store, whenever it ends by itself."""

import asyncio
from collections.abc import Callable

from bridge.embedded_broker import EmbeddedBroker
from bridge.errors import BrokerStartError
from devices.clock import Clock

RESTART_FIRST_S = 0.5
RESTART_LAST_S = 30.0
"""Bounds of the wait between attempts to start an embedded broker again: what took its port often lets go at once; a
person who mends the cause should not wait for minutes."""


async def guard(embedded: EmbeddedBroker, clock: Clock, warn: Callable[[str], None]) -> None:
    """Watch it until cancelled."""
    while True:
        await embedded.ended()
        warn("the embedded broker ended by itself; it is started again")
        await _restart(embedded, clock, warn)


async def _restart(embedded: EmbeddedBroker, clock: Clock, warn: Callable[[str], None]) -> None:
    """Try until it runs, off the loop: devices are read and judged meanwhile, and alerts are kept."""
    attempts = 0
    while True:
        try:
            await asyncio.to_thread(embedded.restart)
        except BrokerStartError as exc:
            attempts += 1
            delay_s = min(RESTART_LAST_S, RESTART_FIRST_S * 2.0 ** min(attempts - 1, 10))
            warn(
                f"the embedded broker cannot be started again (attempt {attempts}): {exc}; "
                f"alerts are kept, the next attempt is in {delay_s:g} s"
            )
            await clock.sleep_until(clock.mono_ns() + int(delay_s * 1e9))
        else:
            return
