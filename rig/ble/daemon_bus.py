"""A real dbus-daemon of the bench's own, for those who trust no imitation: the front is one of its clients.

The daemon gets a configuration of its own with an open policy, because the system's forbids owning ``org.bluez``.
"""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from rig.ble.errors import FrontMisuseError
from rig.ble.mini_bus import BUS_NAME, BUS_PATH, Handler

_START_S: Final = 5.0
"""Time for the daemon to listen, seconds; it takes some 10 ms."""

_CALL_TIMEOUT_S: Final = 60.0
"""How long a client may take to answer a call, seconds: an agent waits for a person."""

_CONFIGURATION: Final = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="*" eavesdrop="true"/>
  </policy>
</busconfig>
"""


class _PatientSocket:
    """A socket that has written nothing where it is full: dbus-fast takes the error for the end of the bus."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, data: memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def sendmsg(self, data: Any, control: Any) -> int:
        return self._sock.sendmsg(data, control)


class DaemonBus:
    """A dbus-daemon process with the front connected to it; the same to the front and the bench as `MiniBus`.

    Parameters
    ----------
    path : Path
        Where its Unix socket stands.
    executable : str, optional
        The daemon; found on PATH where not given.
    """

    def __init__(self, path: Path, executable: str | None = None) -> None:
        found = executable or shutil.which("dbus-daemon")
        if found is None:
            raise FrontMisuseError("there is no dbus-daemon. Next: apt install dbus-daemon, or use the bench's own bus")
        self.path = path
        self._executable = found
        self.on_call: list[Handler] = []
        self.on_peer_gone: list[Callable[[str], None]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._bus: MessageBus | None = None
        self._restart: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """What ``DBUS_SYSTEM_BUS_ADDRESS`` is set to."""
        return f"unix:path={self.path}"

    async def open(self) -> None:
        """Start the daemon and own ``org.bluez``."""
        configuration = self.path.with_suffix(".conf")
        configuration.write_text(_CONFIGURATION.format(path=self.path))
        self._process = await asyncio.create_subprocess_exec(
            self._executable,
            f"--config-file={configuration}",
            "--nofork",
            "--nopidfile",
            "--print-address=1",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(_START_S):
            told = await self._process.stdout.readline()
        if not told:
            raise FrontMisuseError(f"{self._executable} ended with code {await self._process.wait()}")
        bus = MessageBus(bus_address=self.address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
        await bus.connect()
        writer: Any = bus._writer  # noqa: SLF001
        writer.sock = _PatientSocket(writer.sock)
        bus.add_message_handler(self._take)
        self._bus = bus
        await bus.request_name("org.bluez")
        await bus.call(
            Message(
                destination=BUS_NAME,
                path=BUS_PATH,
                interface=BUS_NAME,
                member="AddMatch",
                signature="s",
                body=[f"type='signal',sender='{BUS_NAME}',member='NameOwnerChanged'"],
            )
        )

    def _take(self, message: Message) -> bool:
        if message.message_type is MessageType.SIGNAL:
            if message.member == "NameOwnerChanged" and message.body[0].startswith(":") and not message.body[2]:
                for call in self.on_peer_gone:
                    call(message.body[0])
            return True
        if message.message_type is MessageType.METHOD_CALL and message.interface != "org.freedesktop.DBus.Peer":
            for handler in self.on_call:
                handler(message)
            return True
        return False

    def send(self, message: Message) -> None:
        """Send a signal to all who asked for it, or a reply to the one it is for."""
        if self._bus is None or not self._bus.connected:
            return
        # The sender of a reply closes its descriptors; the message may wait in the queue for longer.
        message.unix_fds = [os.dup(descriptor) for descriptor in message.unix_fds]

        def sent(future: asyncio.Future[None]) -> None:
            for descriptor in message.unix_fds:
                os.close(descriptor)
            if not future.cancelled():
                future.exception()

        self._bus.send(message).add_done_callback(sent)

    async def call(self, message: Message) -> Message | None:
        """Call a client and wait for its answer; None where it went away or did not answer in time."""
        if self._bus is None or not self._bus.connected:
            return None
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                return await self._bus.call(message)
        except (TimeoutError, DBusError, EOFError, OSError):
            return None

    async def close(self) -> None:
        """End the daemon, and with it every connection."""
        if self._restart is not None:
            await asyncio.gather(self._restart, return_exceptions=True)
        await self.shut()

    async def shut(self) -> None:
        """End the daemon."""
        if self._bus is not None:
            self._bus.disconnect()
            with contextlib.suppress(EOFError, OSError):
                await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
            self._bus = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.wait()
            self._process = None
        self.path.unlink(missing_ok=True)

    def drop_all(self) -> None:
        """Restart the daemon: every client is cut off."""
        if self._process is None or self._restart is not None:
            return

        async def restart() -> None:
            await self.shut()
            await self.open()
            self._restart = None

        self._restart = asyncio.create_task(restart(), name="restart of dbus-daemon")
