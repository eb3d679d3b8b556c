"""``python -m rig.demo.subscriber``: an independent subscriber; stamps each message on arrival and prints it as a line.

Reads the broker's URL and a topic filter from its first line of standard input, so that it is up before the broker is.
Knows nothing of the bridge but the contract's topics.
"""

import sys
import threading
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from devices.clock import Clock, SystemClock

_QOS: Final = 1
"""At least once: what the contract promises its readers."""
_DEFAULT_PORT: Final = 1883
"""Port of MQTT without TLS (IANA)."""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One line of output: a message and when it came, on the monotonic clock of this machine."""

    topic: str
    t_sub_mono_ns: int
    retain: bool
    payload: msgspec.Raw


class _Printer:
    """Callbacks of the client: subscribe on each connect, print each message."""

    def __init__(self, topic_filter: str, clock: Clock) -> None:
        self._filter = topic_filter
        self._clock = clock
        self._encoder = msgspec.json.Encoder()
        self._out = sys.stdout.buffer

    # Any: paho hands over its own untyped user data, flags and properties
    def on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _props: Any) -> None:
        if reason.is_failure:
            print(f"the broker refused the connection: {reason}", file=sys.stderr, flush=True)  # noqa: T201 - its log
            return
        client.subscribe(self._filter, qos=_QOS)

    def on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: Any, reasons: Any, _props: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            print(f"the broker refused {self._filter}: {refused}", file=sys.stderr, flush=True)  # noqa: T201 - its log
            return
        self._line(b'{"event":"subscribed"}')

    def on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        stamp = self._clock.mono_ns()
        received = Received(
            topic=message.topic, t_sub_mono_ns=stamp, retain=message.retain, payload=msgspec.Raw(message.payload)
        )
        self._line(self._encoder.encode(received))

    def _line(self, line: bytes) -> None:
        self._out.write(line + b"\n")
        self._out.flush()


def main() -> None:
    """Subscribe until standard input ends."""
    url, topic_filter = sys.stdin.readline().split()
    parts = urlsplit(url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    printer = _Printer(topic_filter, SystemClock())
    client.on_connect = printer.on_connect
    client.on_subscribe = printer.on_subscribe
    client.on_message = printer.on_message
    client.connect(parts.hostname or "127.0.0.1", parts.port or _DEFAULT_PORT)
    threading.Thread(target=client.loop_forever, name="mqtt", daemon=True).start()
    sys.stdin.read()
    client.disconnect()


if __name__ == "__main__":
    main()
