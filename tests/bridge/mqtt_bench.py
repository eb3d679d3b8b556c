"""A publisher on a real or scripted broker, with an outbox in memory, and what it told."""

from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest

from bridge.mqtt.presence import Presence
from bridge.mqtt.publisher import BrokerState, MqttPublisher
from bridge.mqtt.settings import MqttSettings, PathSettings, TlsSettings
from bridge.outbox.memory import MemoryOutbox
from bridge.publisher import DeliveryTrouble, DeliveryTroubleKind, Inbound, Lane, Message
from devices.clock import SystemClock
from protocols.mqtt.words import OnOff
from tests.support import LOOPBACK, wait_until

STATUS = "em/v1/t/bridge/b/status"


def status(state: str) -> Message:
    body = msgspec.json.encode({"state": state})
    return Message(topic=STATUS, body=body, lane=Lane.STATE, retain=True)


def say(state: OnOff, reason: str) -> Message:
    """Make a status as a publisher asks for it; the will says that it is one."""
    return status("offline by will" if reason == "connection lost" else state)


def alert(n: int, tag: str = "t1") -> Message:
    return Message(
        topic=f"em/v1/t/tag/{tag}/alert",
        body=msgspec.json.encode({"n": n}),
        lane=Lane.ALERT,
        owner=tag,
        event_id=f"{tag}-{n}",
        source=f"urn:{tag}",
        sequence=n + 1,
    )


def position(n: int) -> Message:
    return Message(topic="em/v1/t/tag/t1/position", body=msgspec.json.encode({"n": n}), lane=Lane.POSITION)


def endpoint(
    port: int,
    version: str = "5",
    *,
    host: str = LOOPBACK,
    client_id: str = "bridge-t",
    tls: TlsSettings | None = None,
    username: str | None = None,
    password: str | None = None,
) -> MqttSettings:
    return MqttSettings(
        host=host,
        port=port,
        client_id=client_id,
        version=version,  # type: ignore[arg-type]
        tls=tls,
        username=username,
        password=password,
    )


class Bench:
    """Not started yet. ``paths``: per path its endpoints; further arguments are the publisher's own."""

    def __init__(self, *paths: Sequence[MqttSettings], max_positions: int = 5000, **rest: object) -> None:
        self.states: list[BrokerState] = []
        self.troubles: list[DeliveryTrouble] = []
        self.commits: list[tuple[list[Message], bool]] = []
        self.inbound: list[Inbound] = []
        names = ("main", "second")
        rest.setdefault("on_committed", lambda messages, is_durable: self.commits.append((list(messages), is_durable)))
        rest.setdefault("outbox", MemoryOutbox(max_positions=max_positions, paths=len(paths)))
        self.publisher = MqttPublisher(
            paths=[PathSettings(endpoints=tuple(each), name=name) for each, name in zip(paths, names, strict=False)],
            clock=SystemClock(),
            presence=Presence(topic=STATUS, make=say),
            on_state=self.states.append,
            on_inbound=self.inbound.append,
            on_trouble=self.troubles.append,
            **rest,  # type: ignore[arg-type]
        )

    def wait_connected(self, *, paths: int = 1) -> None:
        wait_until(
            # What is told comes after what can be asked.
            lambda: (
                all(path.connected for path in self.publisher.stats().paths[:paths]) and self._told_connected(paths)
            ),
            within_s=20,
            what="connection",
        )

    def _told_connected(self, paths: int) -> bool:
        return len({state.path for state in self.states if state.connected}) >= paths

    def wait_trouble(self, kind: DeliveryTroubleKind, *, is_over: bool = False) -> DeliveryTrouble:
        def found() -> list[DeliveryTrouble]:
            return [each for each in list(self.troubles) if each.kind is kind and each.is_over is is_over]

        wait_until(lambda: bool(found()), within_s=30, what=f"{kind} {'over' if is_over else 'begun'}")
        return found()[-1]


Maker = Callable[..., Bench]


@pytest.fixture
def bench() -> Iterator[Maker]:
    """Start publishers that end with the test; a port may stand for an endpoint."""
    made: list[Bench] = []

    def make(port: int, version: str = "5", **rest: object) -> Bench:
        made.append(Bench([endpoint(port, version)], **rest))  # type: ignore[arg-type]
        made[-1].publisher.start()
        return made[-1]

    yield make
    for each in made:
        each.publisher.close(0.0)
