"""A provider at a real broker: signs commands, sends them, waits for the last word about each."""

import time

import paho.mqtt.client as paho

from protocols.mqtt.commands import Command
from protocols.mqtt.signed import sign_command
from tests.bridge.command_bench import key_pair
from tests.bridge.support import Subscriber
from tests.support import wait_until

Answer = dict  # type: ignore[type-arg]


class Provider:
    def __init__(self, found: Subscriber, *, root: str = "em/v1/t", bridge_id: str = "b") -> None:
        self._found = found
        self._topic = f"{root}/bridge/{bridge_id}/cmd"
        self._bridge_id = bridge_id
        self._number = 0

    def ask(self, command: Command, *, nonce: str | None = None) -> Answer:
        """Send a command and give the answer that is not ``accepted``; blocks, so not from a loop."""
        self._number += 1
        nonce = nonce or f"asked-{self._number:06}"
        before = len(self.answers(nonce))
        body = sign_command(
            command,
            key_pem=key_pair()[0],
            issuer="provider",
            audience=self._bridge_id,
            nonce=nonce,
            issued_utc_ns=time.time_ns(),
        )
        self.send(body)
        wait_until(lambda: bool(self._last(nonce, before)), within_s=30, what=f"an answer to {command}")
        return self._last(nonce, before)[-1]

    def send(self, body: bytes) -> None:
        client = self._found.client
        assert isinstance(client, paho.Client)
        client.publish(self._topic, body, qos=1)

    def answers(self, nonce: str) -> list[Answer]:
        """Answers to a command, each event once however often it was sent."""
        told = {message.json["id"]: message.json["data"] for message in self._found.on("/reply")}
        return [data for data in told.values() if data["nonce"] == nonce]

    def _last(self, nonce: str, before: int) -> list[Answer]:
        return [each for each in self.answers(nonce)[before:] if each["state"] != "accepted"]
