"""A provider's subscriber in under sixty lines, to copy: each alert once, receipted when it is on disk.

``python -m rig.provider.minimal_subscriber HOST PORT ROOT NAME FILE [CA [CERT KEY]]``, TAGRIG_BROKER_USER, _PASSWORD.
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


def run(host: str, port: str, root: str, name: str, file: str, *tls: Any) -> None:
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
            topic = f"{root}/bridge/{source.split(':')[3]}/receipt"
        except (ValueError, KeyError, TypeError, IndexError) as exc:  # no event: it must not hold up the next one
            client.ack(message.mid, message.qos)
            return sys.stderr.write(f"{message.topic}: {exc!r}\n")
        last = store.execute("SELECT max(sequence) FROM event WHERE source = ?", (source,)).fetchone()[0]
        row = (source, number, key, message.payload)  # written and synchronised to the disk by the next line
        is_new = store.execute("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?)", row).rowcount
        client.ack(message.mid, message.qos)
        client.publish(topic, json.dumps({"source": source, "id": key}), qos=1)
        place = "in order" if last in {None, number - 1} else "late" if number < last else "after a gap"
        return os.write(1, f"{source} {number} {event['type']} {place if is_new else 'again'}\n".encode())

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, manual_ack=True)
    client.on_connect = lambda client, _data, _flags, reason, _properties: (
        sys.exit(f"refused: {reason}") if reason.is_failure else client.subscribe([(f"{root}/{s}", 1) for s in STREAMS])
    )
    client.on_subscribe, client.on_message = on_subscribe, on_message
    client.username_pw_set(os.environ.get("TAGRIG_BROKER_USER"), os.environ.get("TAGRIG_BROKER_PASSWORD"))
    client.will_set(f"{root}/provider/{name}/status", '{"state":"offline"}', qos=1, retain=True)
    if tls:
        client.tls_set(*tls)
    client.connect(host, int(port), keepalive=15)
    client.loop_forever()


if __name__ == "__main__":
    run(*sys.argv[1:]) if len(sys.argv) > 5 else sys.exit(__doc__)
