"""The agent that answers BlueZ's question for a passkey, over a real D-Bus connection to an emulated BlueZ."""

import pytest

from devices.bluez_agent import AGENT_PATH, PasskeyAgent
from devices.errors import LinkAuthError
from rig.ble.bench import BleBench
from rig.ble.front.hooks import Hook
from rig.ble.front.replies import BluezError
from tests.ble_support import ble_bench

__all__ = ["ble_bench"]

ADDRESS = "C0:DE:00:00:00:01"
DEVICE = "/org/bluez/hci0/dev_C0_DE_00_00_00_01"
OTHER = "/org/bluez/hci0/dev_C0_DE_00_00_00_02"


async def test_it_answers_for_its_tag_only_and_only_while_it_is_there(ble_bench: BleBench) -> None:
    agents = ble_bench.front.agents
    async with PasskeyAgent(ADDRESS, 4711) as agent:
        help_ = agents.help_for("nobody", OTHER)
        assert help_.enter_passkey is not None and await help_.enter_passkey() is None
        assert not agent.was_asked
        help_ = agents.help_for("nobody", DEVICE)
        assert help_.can_enter and not help_.can_show and help_.enter_passkey is not None
        assert await help_.enter_passkey() == 4711
        assert agent.was_asked
        assert help_.confirm is not None and not await help_.confirm(4711), "numbers are not confirmed unseen"
    assert agents.help_for("nobody", DEVICE).enter_passkey is None


async def test_a_service_that_refuses_or_is_not_there_is_an_error_of_ours(
    ble_bench: BleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ble_bench.front.hooks.active.append(
        Hook(member="RegisterAgent", error=BluezError("AlreadyExists", "Already Exists"), times=1)
    )
    with pytest.raises(LinkAuthError, match="RegisterAgent"):
        async with PasskeyAgent(ADDRESS, 4711):
            pytest.fail(f"{AGENT_PATH} was registered")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")
    with pytest.raises(LinkAuthError, match="no agent for the passkey"):
        async with PasskeyAgent(ADDRESS, 4711):
            pytest.fail("there is no bus")
