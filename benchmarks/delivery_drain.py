"""A backlog on disk: how soon an outbox with it is open, how fast it drains, how late alerts beside it are.

Run by ``test_delivery.py``: ``PORT FOLDER BACKLOG ALERTS RATE`` as arguments; a line on stdin begins it, a line of JSON
is the answer.
"""

import json
import sys
import time
from pathlib import Path

from benchmarks.delivery_load import ALERT_BYTES, LEAD_NS, POSITION_BYTES, wait_until_ns
from benchmarks.delivery_ours import CountingOutbox, make_publisher, message_of
from bridge.publisher import Lane
from devices.clock import SystemClock

BATCH = 2_000
LOOK_S = 0.005


def main() -> None:
    port, folder, backlog, alerts, rate = int(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6])
    clock = SystemClock()
    outbox, _ = CountingOutbox.open(folder, paths=1, clock=clock, max_positions=2 * backlog)
    for first in range(0, backlog, BATCH):
        numbers = range(first, min(first + BATCH, backlog))
        outbox.write([message_of(n, POSITION_BYTES, Lane.POSITION, "position") for n in numbers], clock.mono_ns())
    outbox.close()
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()

    opening_ns = time.monotonic_ns()
    outbox, _ = CountingOutbox.open(folder, paths=1, clock=clock, max_positions=2 * backlog)
    outbox.watch()
    open_ms = (time.monotonic_ns() - opening_ns) / 1e6
    publisher, up = make_publisher(outbox, "127.0.0.1", port, "5")
    publisher.start()
    assert up.wait(20)
    begun_ns = time.monotonic_ns()
    asked = []
    if alerts:
        outbox.wanted = alerts
        start_ns = begun_ns + LEAD_NS
        for index in range(alerts):
            due_ns = start_ns + int(index * 1e9 / rate)
            wait_until_ns(due_ns)
            publisher.submit(message_of(index, ALERT_BYTES, Lane.ALERT, "alert"))
            asked.append((index, due_ns))
        assert outbox.all_acked.wait(60)
        left = publisher.stats().queued_positions
    else:
        while publisher.stats().queued_positions or publisher.stats().in_flight:
            time.sleep(LOOK_S)
        left = 0
    took_s = (time.monotonic_ns() - begun_ns) / 1e9
    found = {
        "open_ms": open_ms,
        "drain_s": took_s,
        "left": left,
        "alerts": [(index, due_ns, outbox.acked_ns[index]) for index, due_ns in asked],
    }
    print(json.dumps(found), flush=True)  # noqa: T201
    sys.stdin.readline()
    publisher.close(0)


if __name__ == "__main__":
    main()
