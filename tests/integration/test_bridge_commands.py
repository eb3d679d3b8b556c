"""A provider's commands to ``tagrig bridge``: an order loaded by command outlives the process that took it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from protocols.mqtt.commands import IncidentCap, LoadOrder, Ping, ResendActive, Status, WithdrawOrder
from tests.bridge.command_bench import key_pair
from tests.bridge.order_bench import an_order, circle
from tests.bridge.provider import Provider
from tests.bridge.support import BridgeProcess, Line, Subscriber, epoch_bytes, line, start_bridge, subscriber
from tests.support import Mosquitto

__all__ = ["line", "start_bridge"]

Starter = Callable[..., BridgeProcess]

CONFIG = """
[bridge]
id = "b"
agency = "t"
[broker]
url = "{url}"
[commands]
provider_key_file = "provider.pem"
[[device]]
id = "t"
kind = "gnss_receiver"
interval_s = 60
transport = "{spec}"
"""


def zone_alerts(found: Subscriber) -> list[dict]:  # type: ignore[type-arg]
    first = {m.json["id"]: m.json["data"] for m in found.on("/tag/t/alert") if m.json["data"]["zone"]}
    return list(first.values())


@pytest.mark.needs("mosquitto")
def test_an_order_by_command_outlives_kill_9(
    mosquitto: Mosquitto, tmp_path: Path, line: Line, start_bridge: Starter
) -> None:
    (tmp_path / "bridge.toml").write_text(CONFIG.format(url=mosquitto.url, spec=line.spec))
    (tmp_path / "provider.pem").write_bytes(key_pair()[1])
    arguments = ("--config", str(tmp_path / "bridge.toml"))
    with subscriber(mosquitto.host, mosquitto.port) as found:
        provider = Provider(found)
        first = start_bridge(*arguments)
        assert first.wait_ready()["zones"] == 0
        line.write(epoch_bytes(0, 20) + epoch_bytes(1, 20))
        found.wait_for(lambda: bool(found.on("/tag/t/position")), within_s=30, what="a position")
        # He is there already when the order comes.
        assert provider.ask(LoadOrder(order=an_order(wearer="t", features=[circle("z")])))["state"] == "done"
        first.kill()

        second = start_bridge(*arguments)
        assert second.wait_ready()["zones"] == 1
        replayed = provider.ask(Ping(), nonce="asked-000001")
        assert (replayed["state"], replayed["reason"]) == ("refused", "replayed")
        status = provider.ask(Status())["result"]
        assert [(each["order_id"], each["version"]) for each in status["orders"]] == [("p1", 1)]
        assert provider.ask(ResendActive())["result"]["count"] == 1
        found.wait_for(lambda: len(zone_alerts(found)) == 1, within_s=30, what="the alert")
        assert found.latest["em/v1/t/tag/t/active"].json["data"]["alerts"][0]["zone_id"] == "z"
        found.wait_for(lambda: bool(found.on("/control/t/incident")), within_s=30, what="the incident")
        incident_id = found.on("/control/t/incident")[0].json["data"]["incident_id"]
        cap = provider.ask(IncidentCap(incident_id=incident_id))["result"]
        assert "urn:oasis:names:tc:emergency:cap:1.2" in cap["cap_xml"]

        assert provider.ask(WithdrawOrder(order_id="p1", if_version=1, reason="over"))["state"] == "done"
        found.wait_for(lambda: len(zone_alerts(found)) == 2, within_s=30, what="the cancel")
        raised, cancelled = zone_alerts(found)
        assert (cancelled["msg_type"], cancelled["reason"]) == ("Cancel", "order withdrawn")
        assert cancelled["alert_id"] == raised["alert_id"]
        assert second.stop() == 0
