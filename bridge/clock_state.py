"""Whether the kernel holds the machine's clock for synchronised: what a court asks of every time in a record."""

import ctypes

from protocols.mqtt.words import ClockState

_TIME_ERROR = 5
"""``adjtimex``: the clock is not synchronised."""

_TIMEX_BYTES = 512
"""Room for ``struct timex``, which has 208 bytes on 64-bit Linux; the kernel writes no more than its own size."""


def read_clock_state() -> ClockState:
    """Ask the kernel; ``unknown`` where it cannot be asked. A container sees its host's clock, and its host's word."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return "unknown"
    state = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state < 0:
        return "unknown"
    return "unsynced" if state == _TIME_ERROR else "synced"
