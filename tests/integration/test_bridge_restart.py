"""``tagrig bridge`` killed and started again: one story at the provider, and a log that accounts for all of it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rig.audit.verify import verify_folder
from tests.bridge.support import ZONES_JSON, BridgeProcess, Line, epoch_bytes, line, start_bridge, subscriber
from tests.support import Mosquitto

__all__ = ["line", "start_bridge"]

CONFIG = """
[bridge]
agency = "t"
[broker]
url = "{url}"
[zones]
file = "zones.geojson"
[[device]]
id = "t"
interval_s = 60
transport = "{spec}"
"""


@pytest.mark.needs("mosquitto")
def test_what_is_raised_when_it_is_killed_is_not_raised_again(
    tmp_path: Path, mosquitto: Mosquitto, line: Line, start_bridge: Callable[..., BridgeProcess]
) -> None:
    (tmp_path / "zones.geojson").write_text(ZONES_JSON)
    (tmp_path / "bridge.toml").write_text(CONFIG.format(url=mosquitto.url, spec=line.spec))
    with subscriber(mosquitto.host, mosquitto.port) as provider:
        first = start_bridge("--config", str(tmp_path / "bridge.toml"))
        first.wait_link("t", "up")
        line.write(epoch_bytes(0, 500) + epoch_bytes(1, 20) + epoch_bytes(2, 20))
        provider.wait_for(lambda: len(provider.on("/control/t/incident")) == 1, within_s=20, what="the incident")
        first.kill()
        again = start_bridge("--config", str(tmp_path / "bridge.toml"))
        again.wait_link("t", "up")
        line.write(epoch_bytes(10, 20) + epoch_bytes(11, 20))
        # positions that were on their way to the disk when it was killed never come
        provider.wait_for(
            lambda: len({message.json["data"]["epoch"] for message in provider.on("/tag/t/position")}) >= 2,
            within_s=20,
            what="positions of the second start",
        )
        snapshot = json.loads(provider.latest["em/v1/t/tag/t/active"].body)["data"]
        assert [each["kind"] for each in snapshot["alerts"]] == ["exclusion_zone_entered"]
        again.kill()
        last = start_bridge("--config", str(tmp_path / "bridge.toml"))
        last.wait_link("t", "up")
        line.write(epoch_bytes(40, 500) + epoch_bytes(41, 500))
        # what was under way when it was killed may come twice
        provider.wait_for(
            lambda: len({message.json["id"] for message in provider.on("/control/t/incident")}) >= 2,
            within_s=20,
            what="the end",
        )
        assert last.stop() == 0
    alerts = list({event["id"]: event for event in provider.alerts()}.values())
    assert [(event["data"]["msg_type"], event["sequence"][-1]) for event in alerts] == [("Alert", "1"), ("Cancel", "2")]
    assert len({event["data"]["alert_id"] for event in alerts}) == 1
    assert len({event["data"]["delivery"]["epoch"] for event in alerts}) == 2
    incidents = {message.json["id"]: message.json["data"] for message in provider.on("/control/t/incident")}
    assert [each["state"] for each in incidents.values()] == ["opened", "updated"]
    assert len({each["incident_id"] for each in incidents.values()}) == 1
    (chain,) = verify_folder(tmp_path / "disclosures")
    assert chain.broken is None, str(chain.broken)
    assert chain.starts == 3
    # Each message that anybody got stands in the log; the log may have some that were cut off on the way.
    files = (tmp_path / "disclosures").glob("*.jsonl")
    logged = {json.loads(row).get("sha256") for path in files for row in path.read_text().splitlines()}
    ours = [message for message in provider.heard if not message.retain]
    assert {hashlib.sha256(message.body).hexdigest() for message in ours if "/bridge/" not in message.topic} <= logged
