"""AgentManager1: who is asked when a tag wants a passkey."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dbus_fast import Message, MessageType

from rig.ble.front.objects import Bus
from rig.ble.front.replies import BluezError, Reply
from rig.ble.pairing import PairingHelp

AGENT: Final = "org.bluez.Agent1"

_CAPABILITIES: Final = {
    "": (True, True),
    "KeyboardDisplay": (True, True),
    "KeyboardOnly": (True, False),
    "DisplayYesNo": (False, True),
    "DisplayOnly": (False, True),
    "NoInputNoOutput": (False, False),
}
"""Capability to (can enter, can show); an empty one counts as KeyboardDisplay (BlueZ ``doc/agent-api``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Agent:
    owner: str
    path: str
    capability: str


class Agents:
    """The agents that clients have registered.

    Parameters
    ----------
    bus : Bus
        Where they are called.
    system_passkey : callable
        What the person at the host types when there is no agent; None: nobody is there.
    """

    def __init__(self, bus: Bus, system_passkey: Callable[[], int | None]) -> None:
        self._bus = bus
        self._system_passkey = system_passkey
        self._agents: list[_Agent] = []

    def _of(self, owner: str) -> _Agent | None:
        return next((agent for agent in self._agents if agent.owner == owner), None)

    async def register(self, call: Message) -> Reply:
        """Register a client's agent."""
        path, capability = call.body
        if capability not in _CAPABILITIES:
            raise BluezError("InvalidArguments", "Invalid arguments in method call")
        if self._of(call.sender or "") is not None:
            raise BluezError("AlreadyExists", "Already Exists")
        self._agents.append(_Agent(owner=call.sender or "", path=path, capability=capability))
        return Reply()

    async def unregister(self, call: Message) -> Reply:
        """Forget a client's agent."""
        agent = self._of(call.sender or "")
        if agent is None or agent.path != call.body[0]:
            raise BluezError("DoesNotExist", "Does Not Exist")
        self._agents.remove(agent)
        return Reply()

    async def request_default(self, call: Message) -> Reply:
        """Make a client's agent the one that is asked for everybody."""
        agent = self._of(call.sender or "")
        if agent is None:
            raise BluezError("DoesNotExist", "Does Not Exist")
        self._agents.remove(agent)
        self._agents.insert(0, agent)
        return Reply()

    def peer_gone(self, name: str) -> None:
        """Forget the agent of a client that left the bus."""
        self._agents = [agent for agent in self._agents if agent.owner != name]

    def help_for(self, client: str, device_path: str) -> PairingHelp:
        """Say what the user can do in a pairing that this client asked for."""
        agent = self._of(client) or next(iter(self._agents), None)
        if agent is None:
            passkey = self._system_passkey()
            if passkey is None:
                return PairingHelp()

            async def typed() -> int | None:
                return passkey

            return PairingHelp(can_enter=True, enter_passkey=typed)
        can_enter, can_show = _CAPABILITIES[agent.capability]
        asked = agent

        async def enter() -> int | None:
            answer = await self._ask(asked, "RequestPasskey", "o", [device_path])
            return None if answer is None else int(answer.body[0])

        async def show(passkey: int) -> None:
            await self._ask(asked, "DisplayPasskey", "ouq", [device_path, passkey, 0])

        async def confirm(passkey: int) -> bool:
            return await self._ask(asked, "RequestConfirmation", "ou", [device_path, passkey]) is not None

        return PairingHelp(
            can_enter=can_enter, can_show=can_show, enter_passkey=enter, show_passkey=show, confirm=confirm
        )

    async def _ask(self, agent: _Agent, member: str, signature: str, body: list[object]) -> Message | None:
        answer = await self._bus.call(
            Message(
                destination=agent.owner,
                path=agent.path,
                interface=AGENT,
                member=member,
                signature=signature,
                body=body,
            )
        )
        return None if answer is None or answer.message_type is MessageType.ERROR else answer
