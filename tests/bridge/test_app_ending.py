"""A bridge that fails says why it ended, and what is lost."""

from pathlib import Path

import pytest

from bridge import life
from bridge.app import BridgeApp, Ending, Outcome
from bridge.compose import Composer
from bridge.config.load import load_config
from bridge.mqtt.publisher import MqttPublisher
from bridge.plan import make_plan
from devices.clock import SystemClock
from tests.support import LOOPBACK, free_port


async def run(folder: Path, told: list[life.LifeEvent]) -> Outcome:
    device = '[[device]]\nid = "t"\ntransport = "memory:ending"\n'
    (folder / "b.toml").write_text(f'[broker]\nurl = "mqtt://{LOOPBACK}:{free_port()}"\n{device}')
    loaded = load_config(folder / "b.toml")
    app = BridgeApp(
        loaded, make_plan(loaded), clock=SystemClock(), observe=told.append, environment={}, flush_timeout_s=0.1
    )
    return await app.run()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_publisher_that_dies_ends_the_bridge_with_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(MqttPublisher, "_patience_s", lambda _self: 1 / 0)
    told: list[life.LifeEvent] = []
    outcome = await run(tmp_path, told)
    assert outcome.ending is Ending.PUBLISHER_DIED
    assert outcome.lost >= 1
    assert f"{outcome.lost} messages could not be delivered" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    stopped = told[-1]
    assert isinstance(stopped, life.Stopped)
    assert stopped.reason == Ending.PUBLISHER_DIED.value


async def test_task_that_fails_is_not_told_as_asked_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Composer, "heartbeat", lambda *_: 1 / 0)
    told: list[life.LifeEvent] = []
    with pytest.raises(ZeroDivisionError):
        await run(tmp_path, told)
    stopped = told[-1]
    assert isinstance(stopped, life.Stopped)
    assert stopped.reason == Ending.FAILED.value


UNWARNED = """
[broker]
url = "mqtt://{host}:{port}"
[[device]]
id = "his"
transport = "memory:his"
[[device]]
id = "hers"
role = "protected"
transport = "memory:hers"
[[order]]
id = "o"
wearer = "his"
  [[order.protected]]
  device = "hers"
"""


async def test_start_says_loudly_whom_nobody_can_warn(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(UNWARNED.format(host=LOOPBACK, port=free_port()))
    loaded = load_config(tmp_path / "b.toml")
    told: list[life.LifeEvent] = []

    def observe(event: life.LifeEvent) -> None:
        told.append(event)
        if isinstance(event, life.Ready):
            app.request_stop()

    app = BridgeApp(
        loaded, make_plan(loaded), clock=SystemClock(), observe=observe, environment={}, flush_timeout_s=0.1
    )
    await app.run()
    (ready,) = [event for event in told if isinstance(event, life.Ready)]
    assert (ready.smart_tags, ready.without_smart_tag) == ((), ("hers",))
    warned = [event.detail for event in told if isinstance(event, life.Warned)]
    assert "no smart tag was issued to protected person 'hers': nobody warns her" in warned
