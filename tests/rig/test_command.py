"""``tagrig command`` against a real bridge, its key made by ``tagrig certs``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from rig.cli.certs import command as certs
from rig.cli.command import command
from tests.bridge.support import BridgeProcess, start_bridge, subscriber
from tests.support import Mosquitto

__all__ = ["start_bridge"]

CONFIG = """
[broker]
url = "{url}"
[commands]
provider_key_file = "certs/commands.pem"
[[device]]
id = "t"
kind = "gnss_receiver"
transport = "memory:nobody"
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert CliRunner().invoke(certs, [str(tmp_path / "certs")]).exit_code == 0
    return tmp_path / "certs"


@pytest.mark.needs("mosquitto")
def test_a_bridge_is_asked_and_its_answers_are_told(
    mosquitto: Mosquitto, tmp_path: Path, keys: Path, start_bridge: Callable[..., BridgeProcess]
) -> None:
    (tmp_path / "bridge.toml").write_text(CONFIG.format(url=mosquitto.url))
    arguments = ["--broker", mosquitto.url, "--key-file", str(keys / "commands-key.pem")]
    with subscriber(mosquitto.host, mosquitto.port) as found:
        start_bridge("--config", str(tmp_path / "bridge.toml")).wait_ready()
        found.wait_for(lambda: bool(found.on("/heartbeat")), within_s=30, what="a heartbeat")
        done = CliRunner().invoke(command, [*arguments, '{"command": "ping"}'])
        assert (done.exit_code, json.loads(done.output)["state"]) == (0, "done")
        (tmp_path / "command.json").write_text('{"command": "withdraw_order", "order_id": "x", "if_version": 1}')
        refused = CliRunner().invoke(command, [*arguments, f"@{tmp_path / 'command.json'}"])
        assert (refused.exit_code, json.loads(refused.output)["reason"]) == (1, "unknown_order")
        silent = CliRunner().invoke(
            command, [*arguments, "--bridge-id", "another", "--wait-s", "0.1", '{"command": "ping"}']
        )
        assert silent.exit_code == 3
        assert "no answer within 0.1 s" in silent.output


def test_what_would_be_refused_is_not_sent(tmp_path: Path, keys: Path) -> None:
    key = str(keys / "commands-key.pem")
    for text, words in (
        ('{"command": "pign"}', "Invalid value 'pign'"),
        ('{"command": "locate_now"}', "missing required field `tag`"),
        ("not json", "malformed"),
        ("@/nowhere", "No such file"),
    ):
        result = CliRunner().invoke(command, ["--key-file", key, text])
        assert result.exit_code == 2
        assert words in result.output
    result = CliRunner().invoke(command, ["--key-file", str(keys / "ca-key.pem"), '{"command": "ping"}'])
    assert (result.exit_code, "Ed25519" in result.output) == (2, True)
    (keys / "commands-key.pem").chmod(0o644)
    result = CliRunner().invoke(command, ["--key-file", key, '{"command": "ping"}'])
    assert (result.exit_code, "chmod 600" in result.output) == (2, True)


def test_a_broker_that_is_not_there_is_told(keys: Path) -> None:
    arguments = ["--broker", "mqtt://127.0.0.1:1", "--key-file", str(keys / "commands-key.pem")]
    result = CliRunner().invoke(command, [*arguments, '{"command": "ping"}'])
    assert result.exit_code == 3
    assert "cannot connect" in result.output
