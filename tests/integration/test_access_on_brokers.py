"""Access lists by what brokers do with them: clients with each role's certificate try every topic.

What a role may do is written out here by hand, not taken from the table that makes the lists.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from protocols.mqtt.access import Party, Role, render_mosquitto, render_nats
from rig.brokers.mosquitto import MosquittoBroker
from rig.brokers.nats import NatsBroker
from rig.brokers.process import BrokerProcess
from rig.pki import Pki, make_pki
from tests.bridge.support import end_client
from tests.support import LOOPBACK, wait_until

ROOT = "em/v1/test"
ADMIN = "admin"
NOT_AUTHORISED = 0x87
LIMIT_S = 30.0
QUEUE = 1_000_000
"""``max_queued_messages``. With 0 (no limit) mosquitto 2.0.11 ends the connection of whoever publishes what he may not,
after his PUBACK."""

PARTIES = [
    Party(role=Role.BRIDGE, name="bridge-1"),
    Party(role=Role.PROVIDER, name="provider"),
    Party(role=Role.POLICE, name="police"),
    Party(role=Role.WEARER_READER, name="wearer-reader"),
    Party(role=Role.PROTECTED_READER, name="protected-reader"),
]
WEARERS = {"tag/t-1/alert", "tag/t-1/active", "tag/t-1/position", "tag/t-1/status"}
HERS = {f"protected/p-1/{each}" for each in ("alert", "active", "position", "status", "warning")}
INCIDENT = {"control/t-1/incident"}
FROM_BRIDGE = {"bridge/bridge-1/status", "bridge/bridge-1/heartbeat", "bridge/bridge-1/reply"}
TO_BRIDGE = {"bridge/bridge-1/receipt", "bridge/bridge-1/cmd"}
OTHER_BRIDGE = {f"bridge/bridge-2/{each}" for each in ("status", "heartbeat", "reply", "receipt", "cmd", "canary")}
CANARY = {"bridge/bridge-1/canary"}
CONSUMERS = {"provider/provider/status", "provider/other/status"}
ELSEWHERE = {"tag/t-1/incident", "tag/t-1/x", "protected/p-1", "tag", "bridge/bridge-1", "nothing"}
TOPICS = sorted(WEARERS | HERS | INCIDENT | FROM_BRIDGE | TO_BRIDGE | OTHER_BRIDGE | CANARY | CONSUMERS | ELSEWHERE)
OF_ALL_BRIDGES = {
    f"bridge/{name}/{each}" for name in ("bridge-1", "bridge-2") for each in ("status", "heartbeat", "reply")
}
STATUS_OF_ALL = {"bridge/bridge-1/status", "bridge/bridge-2/status"}

MAY_READ = {
    "bridge-1": TO_BRIDGE | CANARY | CONSUMERS,
    "provider": WEARERS | HERS | INCIDENT | OF_ALL_BRIDGES | CONSUMERS,
    "police": INCIDENT | STATUS_OF_ALL,
    "wearer-reader": WEARERS | STATUS_OF_ALL,
    "protected-reader": HERS | STATUS_OF_ALL,
}
MAY_WRITE = {
    "bridge-1": WEARERS | HERS | INCIDENT | FROM_BRIDGE | CANARY,
    "provider": TO_BRIDGE | {"bridge/bridge-2/receipt", "bridge/bridge-2/cmd", "provider/provider/status"},
    "police": set(),
    "wearer-reader": set(),
    "protected-reader": set(),
}
WHOLE_SIDES = {"tag": WEARERS, "protected": HERS, "control": INCIDENT}
"""A subscription to ``{root}/tag/#`` gives a reader of that side at least this."""


class Client:
    """A plain MQTT client with a certificate."""

    def __init__(self, pki: Pki, port: int, name: str, *, is_v5: bool, client_id: str = "", will: str = "") -> None:
        self.name = name
        self.heard: list[tuple[str, bytes]] = []
        self.granted: dict[int, int] = {}
        self.acknowledged: dict[int, int] = {}
        self._answered = threading.Event()
        self._answer: list[ReasonCode] = []
        keep = bool(client_id)
        self._mqtt = mqtt = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or name,
            clean_session=None if is_v5 else not keep,
            protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        context = ssl.create_default_context(cafile=pki.ca_file)
        context.load_cert_chain(pki.pair(name).public, pki.pair(name).private)
        mqtt.tls_set_context(context)
        mqtt.on_connect = self._on_connect
        mqtt.on_message = lambda _c, _u, message: self.heard.append((message.topic, bytes(message.payload)))
        mqtt.on_subscribe = lambda _c, _u, mid, codes, _p: self.granted.__setitem__(mid, codes[0].value)
        mqtt.on_publish = lambda _c, _u, mid, code, _p: self.acknowledged.__setitem__(mid, code.value)
        if will:
            mqtt.will_set(will, name, qos=1)
        if is_v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 600 if keep else 0
            mqtt.connect(LOOPBACK, port, clean_start=not keep, properties=properties)
        else:
            mqtt.connect(LOOPBACK, port)
        mqtt.loop_start()
        self._answered.wait(LIMIT_S)
        if not self._answer or self._answer[0].is_failure:
            self.close()
            raise PermissionError(f"{name} was not let in: {self._answer}")

    def _on_connect(self, _c: paho.Client, _u: object, _f: object, code: ReasonCode, _p: object) -> None:
        self._answer.append(code)
        self._answered.set()

    def subscribe(self, filters: Sequence[str]) -> dict[str, int]:
        """Ask for each filter by itself; give the broker's answers."""
        asked = {each: self._mqtt.subscribe(each, 1)[1] for each in filters}
        wait_until(lambda: set(asked.values()) <= set(self.granted), within_s=LIMIT_S, what=f"SUBACKs of {self.name}")
        return {each: self.granted[mid or 0] for each, mid in asked.items()}

    def publish(self, topics: Sequence[str], body: bytes, *, retain: bool = False) -> dict[str, int]:
        """Publish to each topic, wait for the broker; give its reason codes."""
        sent = {each: self._mqtt.publish(each, body, 1, retain).mid for each in topics}
        wait_until(lambda: set(sent.values()) <= set(self.acknowledged), within_s=LIMIT_S, what="PUBACKs")
        return {each: self.acknowledged[mid] for each, mid in sent.items()}

    def vanish(self) -> None:
        """Drop the connection without a word: the broker sends the will."""
        connection = self._mqtt.socket()
        assert connection is not None
        connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        end_client(self._mqtt)


Connect = Callable[..., Client]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    made, _ = make_pki(
        tmp_path_factory.mktemp("pki"),
        hosts=["localhost", LOOPBACK],
        clients=[*(party.name for party in PARTIES), ADMIN, "stranger"],
        not_after=datetime.now(UTC) + timedelta(days=2),
    )
    return made


def mosquitto(pki: Pki, folder: Path) -> BrokerProcess:
    broker = pki.pair("broker")
    folder.mkdir(exist_ok=True)
    (folder / "acl").write_text(render_mosquitto(PARTIES, ROOT) + f"\nuser {ADMIN}\ntopic readwrite #\n")
    lines = [
        f"acl_file {folder}/acl",
        f"cafile {pki.ca_file}",
        f"certfile {broker.public}",
        f"keyfile {broker.private}",
        "require_certificate true",
        "use_identity_as_username true",
    ]
    return MosquittoBroker(folder, lines=lines, anonymous=False, queue_max=QUEUE)


def nats(pki: Pki, folder: Path) -> BrokerProcess:
    broker = pki.pair("broker")
    users = render_nats(PARTIES, ROOT).replace("  users: [\n", f'  users: [\n    {{ user: "{ADMIN}" }}\n')
    tls = f'cert_file: "{broker.public}", key_file: "{broker.private}", ca_file: "{pki.ca_file}", verify_and_map: true'
    return NatsBroker(folder, lines=[users], mqtt_lines=[f"tls {{ {tls} }}"], sync_always=False)


BROKERS = [
    pytest.param((mosquitto, True), id="mosquitto, 5", marks=pytest.mark.needs("mosquitto")),
    pytest.param((mosquitto, False), id="mosquitto, 3.1.1", marks=pytest.mark.needs("mosquitto")),
    pytest.param((nats, False), id="nats, 3.1.1"),
]


@dataclass
class Secured:
    """A running broker that has the access lists."""

    process: BrokerProcess
    is_v5: bool


@pytest.fixture(params=BROKERS)
def secured(request: pytest.FixtureRequest, pki: Pki, tmp_path: Path) -> Iterator[Secured]:
    make, is_v5 = request.param
    process: BrokerProcess = make(pki, tmp_path / "broker")
    process.start()
    try:
        yield Secured(process, is_v5)
    finally:
        process.stop()


@pytest.fixture
def connect(secured: Secured, pki: Pki) -> Iterator[Connect]:
    """Connect clients; they are closed at the end."""
    made: list[Client] = []

    def open_client(name: str, **options: str) -> Client:
        made.append(Client(pki, secured.process.port, name, is_v5=secured.is_v5, **options))
        return made[-1]

    yield open_client
    for each in made:
        each.close()


def below(names: set[str]) -> list[str]:
    return [f"{ROOT}/{name}" for name in sorted(names)]


def test_each_role_reads_what_it_may_and_nothing_else(connect: Connect) -> None:
    admin = connect(ADMIN)
    readers = {party.name: connect(party.name) for party in PARTIES}
    wide = [f"{ROOT}/{side}/#" for side in WHOLE_SIDES]
    hopes = ["#", f"{ROOT}/#", "+/#", "$SYS/#", "$MQTT/#", "$MQTT/msgs/#", "$MQTT/rmsgs/#", "$MQTT/sub/#", "$JS/#"]
    for reader in readers.values():
        reader.subscribe([*below(set(TOPICS)), *wide, *hopes])
    # The second round is the signal that all of the first, wanted or not, has been routed.
    for body in (b"first", b"second"):
        admin.publish(below(set(TOPICS)), body)
        for name, reader in readers.items():
            expected = {(topic, body) for topic in below(MAY_READ[name])}
            wait_until(lambda r=reader, e=expected: e <= set(r.heard), within_s=LIMIT_S, what=f"topics of {name}")
    for name, reader in readers.items():
        got = {topic for topic, body in reader.heard if body == b"first"}
        # A side's readers may hear of streams that a later version adds to their side.
        assert got - set(below({"tag/t-1/incident", "tag/t-1/x", "tag", "protected/p-1"})) == set(below(MAY_READ[name]))
        foreign = [topic for topic, _ in reader.heard if not topic.startswith(f"{ROOT}/")]
        assert not foreign, f"{name} read the broker's own topics"
    wearer_side = {topic for topic, _ in readers["wearer-reader"].heard}
    assert not {topic for topic in wearer_side if "/protected" in topic}


def test_each_role_writes_what_it_may_and_nothing_else(connect: Connect, secured: Secured) -> None:
    admin = connect(ADMIN)
    assert set(admin.subscribe(["#"]).values()) == {1}
    inner = [
        "$MQTT/msgs/em/v1/test/tag/t-1/alert",
        "$MQTT/rmsgs/x",
        "$JS/API/STREAM/NAMES",
        "$SYS/x",
        f"{ROOT}/tag/t-1.alert",
    ]
    for party in PARTIES:
        codes = connect(party.name).publish([*below(set(TOPICS)), *inner], party.name.encode())
        if secured.is_v5:
            refused = {topic for topic, code in codes.items() if code == NOT_AUTHORISED}
            assert refused == {*codes} - set(below(MAY_WRITE[party.name])), "MQTT 5 tells the publisher"
    admin.publish([f"{ROOT}/end"], b"end")
    wait_until(lambda: (f"{ROOT}/end", b"end") in admin.heard, within_s=LIMIT_S, what="the last message")
    for party in PARTIES:
        expected = set(below(MAY_WRITE[party.name]))
        body = party.name.encode()
        wait_until(
            lambda e=expected, b=body: e <= {t for t, each in admin.heard if each == b},
            within_s=LIMIT_S,
            what=f"all that {party.name} may write",
        )
        assert {topic for topic, each in admin.heard if each == body} == expected


def test_retained_messages_wait_only_for_those_who_may_read_them(connect: Connect) -> None:
    admin = connect(ADMIN)
    admin.publish(below(set(TOPICS)), b"kept", retain=True)
    for party in PARTIES:
        reader = connect(party.name)
        reader.subscribe([*below(set(TOPICS)), f"{ROOT}/#", "#"])
        expected = {(topic, b"kept") for topic in below(MAY_READ[party.name])}
        wait_until(lambda r=reader, e=expected: e <= set(r.heard), within_s=LIMIT_S, what=f"retained for {party.name}")
        admin.publish(below(MAY_READ[party.name]), b"after")
        later = {(topic, b"after") for topic in below(MAY_READ[party.name])}
        wait_until(lambda r=reader, e=later: e <= set(r.heard), within_s=LIMIT_S, what="what came after")
        got = {topic for topic, _ in reader.heard} - set(below(ELSEWHERE))
        assert got == set(below(MAY_READ[party.name]))


def test_session_of_another_gives_nothing_of_his(connect: Connect) -> None:
    """A wearer-side reader connects under the client id of the provider, whose session waits with her positions."""
    admin, provider = connect(ADMIN), connect("provider", client_id="the-session")
    assert provider.subscribe(below(HERS)) == dict.fromkeys(below(HERS), 1)
    provider.close()
    admin.publish(below(HERS), b"hers")
    thief = connect("wearer-reader", client_id="the-session")
    thief.subscribe(below(WEARERS))
    admin.publish(below(HERS), b"hers, later")
    admin.publish(below(WEARERS), b"his")
    expected = {(topic, b"his") for topic in below(WEARERS)}
    wait_until(lambda: expected <= set(thief.heard), within_s=LIMIT_S, what="what a wearer-side reader may read")
    assert set(thief.heard) == expected


def test_will_cannot_say_what_its_owner_may_not(connect: Connect) -> None:
    admin = connect(ADMIN)
    admin.subscribe(["#"])
    connect("wearer-reader", will=f"{ROOT}/tag/t-1/alert").vanish()
    connect("bridge-1", will=f"{ROOT}/bridge/bridge-1/status").vanish()
    allowed = (f"{ROOT}/bridge/bridge-1/status", b"bridge-1")
    wait_until(lambda: allowed in admin.heard, within_s=LIMIT_S, what="the bridge's will")
    assert set(admin.heard) == {allowed}


def test_a_name_that_is_not_listed_gets_nothing(connect: Connect, secured: Secured) -> None:
    if isinstance(secured.process, NatsBroker):
        with pytest.raises(PermissionError, match="was not let in"):
            connect("stranger")
        return
    admin, stranger = connect(ADMIN), connect("stranger")
    stranger.subscribe(["#"])
    stranger.publish(below(set(TOPICS)), b"stranger")
    admin.subscribe(["#"])
    admin.publish(below(set(TOPICS)), b"end")
    wait_until(lambda: len(admin.heard) >= len(TOPICS), within_s=LIMIT_S, what="the admin's own messages")
    assert {body for _, body in admin.heard} == {b"end"}
    assert not stranger.heard


def log_in(port: int, name: str, password: str) -> ReasonCode:
    """Answer of the broker to a user name and a password."""
    answers: list[ReasonCode] = []
    mqtt = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv311)
    mqtt.username_pw_set(name, password)
    mqtt.on_connect = lambda _c, _u, _f, code, _p: answers.append(code)
    mqtt.connect(LOOPBACK, port)
    deadline = time.monotonic() + LIMIT_S
    while not answers and time.monotonic() < deadline:
        mqtt.loop(0.1)
    mqtt.disconnect()
    mqtt._reset_sockets()
    assert answers, "no answer"
    return answers[0]


def test_nats_takes_passwords_from_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for party in PARTIES:
        monkeypatch.setenv(f"TAGRIG_PASSWORD_{party.name.upper().replace('-', '_')}", f"word-of-{party.name}")
    broker = NatsBroker(tmp_path, lines=[render_nats(PARTIES, ROOT, by_password=True)], sync_always=False)
    broker.start()
    try:
        assert not log_in(broker.port, "wearer-reader", "word-of-wearer-reader").is_failure
        assert log_in(broker.port, "wearer-reader", "word-of-provider").is_failure
        assert log_in(broker.port, "stranger", "word-of-provider").is_failure
    finally:
        broker.stop()
