"""An independent subscriber in its own process: when each message came, by the number that stands in it.

Run by ``test_delivery.py``: ``HOST PORT TOPIC_FILTER`` as arguments; a line on stdin asks for what came since the last.
"""

import json
import sys
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks.delivery_load import number_of


def main() -> None:
    host, port, topic = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    heard: list[tuple[int, int]] = []
    ready = threading.Event()
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"listener-{topic.split('/')[2]}",
        clean_session=False,
        protocol=MQTTProtocolVersion.MQTTv311,
    )
    client.reconnect_delay_set(0.05, 0.5)  # type: ignore[arg-type]  # its stub says int, it takes both
    client.on_connect = lambda c, *_: c.subscribe(topic, 1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _c, _u, m: heard.append((number_of(m.payload), time.monotonic_ns()))
    client.connect(host, port)
    client.loop_start()
    ready.wait(20)
    print("ready", flush=True)  # noqa: T201
    for _ in sys.stdin:
        taken = heard[:]
        del heard[: len(taken)]
        print(json.dumps(taken), flush=True)  # noqa: T201
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
