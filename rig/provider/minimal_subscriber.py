"""A provider's subscriber in under sixty lines, to copy: each alert once, receipted when it is on disk.

``python -m rig.provider.minimal_subscriber HOST PORT ROOT NAME FILE [CA_FILE]``, and TAGRIG_BROKER_USER, _PASSWORD.
"""

import json
import os
import sqlite3
import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

STREAMS = ("tag/+/alert", "protected/+/alert", "protected/+/warning", "control/+/incident")
TABLE = "CREATE TABLE IF NOT EXISTS event (source, sequence INTEGER, id, body, PRIMARY KEY (source, sequence, id))"


def run(host: str, port: str, root: str, name: str, file: str, ca_file: str | None = None) -> None:
    """Follow a bridge's alerts for ever; an error ends the program, and whatever started it starts it again."""
    store = sqlite3.connect(file, isolation_level=None)
    store.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + TABLE)

    def on_subscribe(client: mqtt.Client, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            raise SystemExit(f"the broker refused a subscription: {reasons}")
        client.publish(f"{root}/provider/{name}/status", '{"state":"online"}', qos=1, retain=True)

    def on_message(client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> Any:
        try:
            event = json.loads(message.payload)
            number, key, source = int(event["sequence"]), event["id"], event["source"]
            bridge = source.split(":")[3]
        except (ValueError, KeyError, TypeError, IndexError) as exc:  # no event: it must not hold up the next one
            client.ack(message.mid, message.qos)
            return sys.stderr.write(f"{message.topic}: {exc!r}\n")
        last = store.execute("SELECT max(sequence) FROM event WHERE source = ?", (source,)).fetchone()[0]
        row = (source, number, key, message.payload)  # written and synchronised to the disk by the next line
        is_new = store.execute("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?)", row).rowcount
        client.ack(message.mid, message.qos)
        client.publish(f"{root}/bridge/{bridge}/receipt", json.dumps({"source": source, "id": key}), qos=1)
        if is_new:  # of two events about one alert the higher number is the newer, whichever came first
            place = "in order" if last in {None, number - 1} else "late" if number < last else "after a gap"
            sys.stdout.write(f"{source} {number} {event['type']} {place}\n")
        return sys.stdout.flush()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, manual_ack=True)
    client.on_connect = lambda client, *_: client.subscribe([(f"{root}/{each}", 1) for each in STREAMS])
    client.on_subscribe, client.on_message = on_subscribe, on_message
    client.username_pw_set(os.environ.get("TAGRIG_BROKER_USER"), os.environ.get("TAGRIG_BROKER_PASSWORD"))
    client.will_set(f"{root}/provider/{name}/status", '{"state":"offline"}', qos=1, retain=True)
    if ca_file:
        client.tls_set(ca_file)
    client.connect(host, int(port), keepalive=15)
    client.loop_forever()


if __name__ == "__main__":
    run(*sys.argv[1:])
