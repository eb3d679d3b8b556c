"""A bridge with its certificate at a broker with the access lists: each role gets its part, the provider is obeyed."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocols.mqtt.commands import Ping
from protocols.mqtt.refusal import RefusalReason
from protocols.mqtt.signed import sign_command
from rig.pki import Pki
from tests.bridge.support import ZONES_JSON, BridgeProcess, Line, start_bridge, zigzag
from tests.integration.test_access_on_brokers import (
    BROKERS,
    LIMIT_S,
    ROOT,
    Client,
    Connect,
    Secured,
    connect,
    pki,
    secured,
)
from tests.support import LOOPBACK, wait_until

__all__ = ["connect", "pki", "secured", "start_bridge"]

CONFIG = """
[bridge]
agency = "test"
[broker]
url = "mqtts://{host}:{port}"
mqtt_version = "{version}"
ca_file = "{ca}"
cert_file = "{cert}"
key_file = "{key}"
[commands]
provider_key_file = "{provider_key}"
[policy]
canary_interval_s = 0.2
heartbeat_interval_s = 0.2
[zones]
file = "zones.geojson"
[[device]]
id = "t-1"
kind = "gnss_receiver"
interval_s = 60
transport = "{his}"
[[device]]
id = "p-1"
kind = "gnss_receiver"
role = "protected"
interval_s = 60
transport = "{hers}"
"""

FIRST_AND_LAST = [BROKERS[0], BROKERS[-1]]
"""mosquitto with MQTT 5 and NATS."""


@pytest.fixture
def lines() -> Iterator[tuple[Line, Line]]:
    his, hers = Line(), Line()
    yield his, hers
    his.unplug()
    hers.unplug()


def heard(client: Client, ending: str) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(body) for topic, body in list(client.heard) if topic.endswith(ending)]


@pytest.mark.parametrize("secured", FIRST_AND_LAST, indirect=True)
def test_bridge_provider_and_readers_each_with_their_certificate(
    secured: Secured,
    connect: Connect,
    pki: Pki,
    tmp_path: Path,
    start_bridge: Callable[..., BridgeProcess],
    lines: tuple[Line, Line],
) -> None:
    his, hers = lines
    (tmp_path / "zones.geojson").write_text(ZONES_JSON)
    (tmp_path / "bridge.toml").write_text(
        CONFIG.format(
            host=LOOPBACK,
            port=secured.process.port,
            version="5" if secured.is_v5 else "3.1.1",
            ca=pki.ca_file,
            cert=pki.pair("bridge-1").public,
            key=pki.pair("bridge-1").private,
            provider_key=pki.pair("commands").public,
            his=his.spec,
            hers=hers.spec,
        )
    )
    provider, reader = connect("provider"), connect("wearer-reader")
    provider.subscribe(
        [f"{ROOT}/{each}" for each in ("tag/#", "protected/#", "control/#", "bridge/+/reply", "bridge/+/heartbeat")]
    )
    provider.publish([f"{ROOT}/provider/provider/status"], b'{"state":"online"}', retain=True)
    reader.subscribe([f"{ROOT}/{each}" for each in ("tag/#", "bridge/+/status", "protected/#", "#")])
    bridge = start_bridge("--config", "bridge.toml")
    bridge.wait_ready()
    his.write(zigzag(0, 6))
    hers.write(zigzag(0, 2))

    def until(condition: Callable[[], bool], what: str) -> None:
        bridge.wait_for(condition, what=what, within_s=LIMIT_S)

    until(lambda: bool(heard(provider, "/tag/t-1/alert")), "the alert at the provider")
    until(lambda: bool(heard(provider, "/protected/p-1/position")), "her position at the provider")
    until(lambda: bool(heard(reader, "/tag/t-1/alert")), "the alert at the wearers' reader")

    # The canary goes round, the consumer is seen, the receipts are counted: an incident wants one as an alert does.
    until(lambda: bool(heard(provider, "/control/t-1/incident")), "the incident at the provider")
    for event in (heard(provider, "/tag/t-1/alert")[-1], heard(provider, "/control/t-1/incident")[-1]):
        receipt = json.dumps({"source": event["source"], "upto": event["sequence"]}).encode()
        provider.publish([f"{ROOT}/bridge/bridge-1/receipt"], receipt)

    def fares_well() -> bool:
        beats = heard(provider, "/bridge/bridge-1/heartbeat")
        data = beats[-1]["data"] if beats else None
        return data is not None and (
            (data["canary"], data["provider"], data["outbox"]["unreceipted"]) == ("ok", "online", 0)
            and data["outbox"]["receipts"] == 2
        )

    until(fares_well, "a heartbeat of a bridge that fares well")

    # The provider's signature is obeyed once; another's, and the same again, are not.
    def signed(nonce: str, key_of: str = "commands") -> bytes:
        key_pem = pki.pair(key_of).private.read_bytes()
        return sign_command(
            Ping(), key_pem=key_pem, issuer="provider", audience="bridge-1", nonce=nonce, issued_utc_ns=time.time_ns()
        )

    def replies() -> list[tuple[str | None, str, str | None]]:
        found = [each["data"] for each in heard(provider, "/bridge/bridge-1/reply")]
        return [(each["nonce"], each["state"], each["reason"]) for each in found]

    command = [f"{ROOT}/bridge/bridge-1/cmd"]
    good = signed("nonce-of-the-provider")
    provider.publish(command, good)
    until(lambda: ("nonce-of-the-provider", "done", None) in replies(), "the answer")
    provider.publish(command, good)
    until(lambda: ("nonce-of-the-provider", "refused", RefusalReason.REPLAYED) in replies(), "refusal of a replay")
    reader.publish(command, signed("nonce-by-the-reader"))
    provider.publish(command, good[:-8] + b"AAAAAAAA")
    until(lambda: any(reason == RefusalReason.BAD_SIGNATURE for _, _, reason in replies()), "refusal of a forgery")
    assert "nonce-by-the-reader" not in {nonce for nonce, _, _ in replies()}, "the broker refused it"

    assert bridge.stop() == 0
    wait_until(
        lambda: any(each["data"]["state"] == "offline" for each in heard(reader, "/bridge/bridge-1/status")),
        within_s=LIMIT_S,
        what="the farewell at the wearers' reader",
    )
    topics = {topic.removeprefix(f"{ROOT}/") for topic, _ in reader.heard}
    assert {each for each in topics if not each.startswith("tag/t-1/")} == {"bridge/bridge-1/status"}
