"""Answers BlueZ's question for a tag's passkey while a pairing is under way.

bleak offers no agent, and BlueZ asks the agent of the program that calls ``Pair``, or the default one. This is the only
module of ``devices`` that speaks D-Bus itself.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from devices.errors import LinkAuthError

AGENT_PATH = "/org/tagrig/agent"
"""Where BlueZ finds our agent on our own connection."""
CALL_S = 5.0
"""s. BlueZ answers each call of an agent's registration in milliseconds."""

_BLUEZ = "org.bluez"
_MANAGER_PATH = "/org/bluez"
_MANAGER = "org.bluez.AgentManager1"
_AGENT = "org.bluez.Agent1"
_FAILURES = (DBusFastError, OSError, EOFError)


class PasskeyAgent:
    """BlueZ's default agent for as long as the context lasts, for one tag and its passkey.

    Parameters
    ----------
    address : str
        The tag that is paired; questions about any other are rejected.
    passkey : int

    Attributes
    ----------
    was_asked : bool
        Whether the passkey was asked for. A pairing that succeeds without it protects against nobody in the middle.
    """

    def __init__(self, address: str, passkey: int) -> None:
        self.was_asked = False
        self._device = f"dev_{address.upper().replace(':', '_')}"
        self._passkey = passkey
        self._bus: MessageBus | None = None

    async def __aenter__(self) -> Self:
        """Register with BlueZ; ``LinkAuthError`` where it refuses."""
        self._bus = MessageBus(bus_type=BusType.SYSTEM)
        try:
            async with asyncio.timeout(CALL_S):
                await self._bus.connect()
                self._bus.add_message_handler(self._answer)
                await self._call("RegisterAgent", "os", [AGENT_PATH, "KeyboardOnly"])
                await self._call("RequestDefaultAgent", "o", [AGENT_PATH])
        except _FAILURES as exc:
            await self._close()
            raise LinkAuthError(f"no agent for the passkey: {exc}") from exc
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place of the default agent back."""
        with contextlib.suppress(*_FAILURES, LinkAuthError):
            async with asyncio.timeout(CALL_S):
                await self._call("UnregisterAgent", "o", [AGENT_PATH])
        await self._close()

    async def _call(self, member: str, signature: str, body: list[Any]) -> None:
        assert self._bus is not None
        reply = await self._bus.call(
            Message(
                destination=_BLUEZ,
                path=_MANAGER_PATH,
                interface=_MANAGER,
                member=member,
                signature=signature,
                body=body,
            )
        )
        if reply.message_type is MessageType.ERROR:
            raise LinkAuthError(f"BlueZ refused {member}: {reply.error_name} {reply.body}")

    async def _close(self) -> None:
        if self._bus is None:
            return
        bus, self._bus = self._bus, None
        bus.disconnect()
        if bus.unique_name is not None:
            with contextlib.suppress(*_FAILURES):
                async with asyncio.timeout(CALL_S):
                    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or message.interface != _AGENT:
            return None
        if message.member in ("Release", "Cancel"):
            return Message.new_method_return(message)
        if message.member == "RequestPasskey" and str(message.body[0]).endswith(self._device):
            self.was_asked = True
            return Message.new_method_return(message, "u", [self._passkey])
        return Message.new_error(message, "org.bluez.Error.Rejected", "only the passkey of one tag is known here")
