"""``python -m rig.demo.subscriber``: an independent subscriber; stamps each message on arrival and prints it as a line.

Reads the broker's URL, a topic filter and a client id from its first line of standard input, so that it is up before
the broker is. The broker keeps its session: what comes while the broker or the connection is gone is not lost.
Knows nothing of the bridge but the contract's topics.
"""

import sys
import threading

import msgspec

from devices.clock import SystemClock
from rig.provider.subscriber import LinkWord, Subscriber
from rig.runs.received import Received


def _print_all(subscriber: Subscriber) -> None:
    encoder = msgspec.json.Encoder()
    while True:
        heard = subscriber.queue.get()
        if isinstance(heard, LinkWord):
            if heard.is_error:
                print(heard.text, file=sys.stderr, flush=True)  # noqa: T201 - its log
                continue
            line = b'{"event":"subscribed"}'
        else:
            line = encoder.encode(
                Received(
                    topic=heard.topic,
                    t_sub_mono_ns=heard.t_mono_ns,
                    retain=heard.retain,
                    payload=msgspec.Raw(heard.body),
                )
            )
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


def main() -> None:
    """Subscribe until standard input ends."""
    url, topic_filter, client_id = sys.stdin.readline().split()
    subscriber = Subscriber(url, (topic_filter,), clock=SystemClock(), client_id=client_id)
    threading.Thread(target=_print_all, args=(subscriber,), name="printer", daemon=True).start()
    subscriber.start()
    sys.stdin.read()
    subscriber.stop()


if __name__ == "__main__":
    main()
