"""What the delivery benchmarks send: alerts and positions of the contract's size, with a number at a fixed place."""

import time

LEAD_NS = 20_000_000
"""From the word go to the first message."""

TAGS = 500
"""Topics that the load is spread over: one alert of a topic is with the broker at a time."""

ALERT_BYTES = 1200
POSITION_BYTES = 700
"""Sizes of both in a run of the demo."""

DIGITS = 10


def body_of(number: int, size: int) -> bytes:
    """JSON of a given size whose last digits are its number."""
    head, tail = b'{"data":"', b'","n":%0*d}' % (DIGITS, number)
    return head + b"x" * (size - len(head) - len(tail)) + tail


def number_of(body: bytes) -> int:
    """Read the number back."""
    return int(body[-1 - DIGITS : -1])


def topic_of(who: str, number: int, stream: str = "alert") -> str:
    """Topic of a message."""
    return f"em/v1/{who}/tag/tag-{number % TAGS}/{stream}"


def wait_until_ns(due_ns: int) -> None:
    """Sleep to a moment of the monotonic clock."""
    while (left_ns := due_ns - time.monotonic_ns()) > 0:
        time.sleep(left_ns / 1e9)
