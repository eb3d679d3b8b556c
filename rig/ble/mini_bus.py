"""Just enough of a D-Bus daemon, in-process, for one service: the emulated org.bluez.

A client sees a bus: SASL, ``Hello``, match rules, unique names, descriptors passed along. Every client has a queue of
its own, so one that reads slowly neither blocks the others nor loses a signal; one that does not read at all is cut off
at a bound, as dbus-daemon does.

Wire format: D-Bus specification, sections "Message Protocol" and "Authentication Protocol". Messages are read and
written by dbus-fast; a few of its private names are used here and nowhere else.
"""

import array
import asyncio
import contextlib
import io
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast._private.unmarshaller import Unmarshaller

from rig.ble.errors import FrontMisuseError
from rig.ble.match_rules import matches, parse_rule

BUS_NAME: Final = "org.freedesktop.DBus"
BUS_PATH: Final = "/org/freedesktop/DBus"

QUEUE_MAX_BYTES: Final = 32 * 1024 * 1024
"""Bytes that may wait for one client before it is cut off. A burst of 100 tags is below 1 MiB; dbus-daemon's own limit
is 127 MiB."""

MESSAGE_MAX_BYTES: Final = 128 * 1024 * 1024
"""Longest message (D-Bus specification)."""

_HEADER_BYTES: Final = 16
_SASL_MAX_BYTES: Final = 16 * 1024
_LITTLE: Final = ord("l")
_CALL_TIMEOUT_S: Final = 60.0
"""How long a client may take to answer a call of the service, seconds: an agent waits for a person."""

_PATH_MAX: Final = 107
"""Longest path of a Unix socket, bytes, on Linux."""

Handler = Callable[[Message], None]


@dataclass(slots=True)
class _Parcel:
    data: memoryview
    descriptors: list[int] = field(default_factory=list)


class _Client:
    """One connection to the bus."""

    def __init__(self, bus: "MiniBus", sock: socket.socket, name: str) -> None:
        self.bus = bus
        self.sock = sock
        self.name = name
        self.rules: list[dict[str, str]] = []
        self.hung_up = asyncio.Event()
        self._out: deque[_Parcel] = deque()
        self._waiting = 0
        self._serial = 0
        self._writing = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        buffer = bytearray()
        try:
            await self._authenticate(loop, buffer)
            while True:
                while (message := self._take(buffer)) is not None:
                    self.bus.route(self, message)
                data = await loop.sock_recv(self.sock, 65536)
                if not data:
                    return
                buffer += data
        except (ConnectionError, OSError, EOFError):
            return
        finally:
            self._drop_output()
            self.sock.close()
            self.hung_up.set()
            self.bus.gone(self)

    async def _authenticate(self, loop: asyncio.AbstractEventLoop, buffer: bytearray) -> None:
        while True:
            data = await loop.sock_recv(self.sock, 4096)
            if not data or len(buffer) > _SASL_MAX_BYTES:
                raise EOFError
            buffer += data
            while (end := buffer.find(b"\r\n")) >= 0:
                line = bytes(buffer[:end]).lstrip(b"\0")
                del buffer[: end + 2]
                if line == b"BEGIN":
                    return
                if line.startswith(b"AUTH EXTERNAL"):
                    await loop.sock_sendall(self.sock, b"OK " + self.bus.guid.encode() + b"\r\n")
                elif line == b"NEGOTIATE_UNIX_FD":
                    await loop.sock_sendall(self.sock, b"AGREE_UNIX_FD\r\n")
                elif line.startswith(b"AUTH"):
                    await loop.sock_sendall(self.sock, b"REJECTED EXTERNAL\r\n")
                else:
                    await loop.sock_sendall(self.sock, b"ERROR\r\n")

    def _take(self, buffer: bytearray) -> Message | None:
        if len(buffer) < _HEADER_BYTES:
            return None
        order = "<" if buffer[0] == _LITTLE else ">"
        (body,) = struct.unpack_from(order + "I", buffer, 4)
        (fields,) = struct.unpack_from(order + "I", buffer, 12)
        size = _HEADER_BYTES + (fields + 7 & ~7) + body
        if size > MESSAGE_MAX_BYTES:
            raise EOFError
        if len(buffer) < size:
            return None
        stream: Any = io.BytesIO(bytes(buffer[:size]))
        try:
            message = Unmarshaller(stream).unmarshall()
        except (ValueError, TypeError, LookupError, struct.error) as exc:
            raise EOFError from exc
        del buffer[:size]
        if message is None:
            raise EOFError
        return message

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def send(self, message: Message) -> None:
        message.serial = message.serial or self.next_serial()
        parcel = _Parcel(memoryview(bytes(message._marshall(True))), [os.dup(fd) for fd in message.unix_fds])  # noqa: SLF001
        self._waiting += len(parcel.data)
        self._out.append(parcel)
        if self._waiting > QUEUE_MAX_BYTES:
            self.hang_up()
        elif not self._writing:
            self._flush()

    def _flush(self) -> None:
        while self._out:
            parcel = self._out[0]
            control = []
            if parcel.descriptors:
                control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", parcel.descriptors))]
            try:
                sent = self.sock.sendmsg([parcel.data], control)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop_output()
                return
            if sent:
                _close_all(parcel)
            self._waiting -= sent
            if sent < len(parcel.data):
                parcel.data = parcel.data[sent:]
                if not self._writing:
                    self._writing = True
                    asyncio.get_running_loop().add_writer(self.sock, self._more)
                return
            self._out.popleft()
        self._stop_writing()

    def _more(self) -> None:
        self._flush()

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            asyncio.get_running_loop().remove_writer(self.sock)

    def _drop_output(self) -> None:
        self._stop_writing()
        for parcel in self._out:
            _close_all(parcel)
        self._out.clear()
        self._waiting = 0

    def hang_up(self) -> None:
        """Cut the connection; the client sees the end of its stream."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


def _close_all(parcel: _Parcel) -> None:
    for descriptor in parcel.descriptors:
        os.close(descriptor)
    parcel.descriptors.clear()


class MiniBus:
    """A bus with one service on it.

    Parameters
    ----------
    path : Path
        Where its Unix socket stands, 107 bytes at most.
    """

    def __init__(self, path: Path) -> None:
        if len(os.fsencode(path)) > _PATH_MAX:
            raise FrontMisuseError(
                f"{path}: longer than the {_PATH_MAX} bytes of a socket's path. Next: a shorter folder"
            )
        self.path = path
        self.guid = os.urandom(16).hex()
        self.on_call: list[Handler] = []
        self.on_peer_gone: list[Callable[[str], None]] = []
        self._clients: dict[str, _Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._listening: socket.socket | None = None
        self._count = 0
        self._serial = 0
        self._awaited: dict[tuple[str, int], asyncio.Future[Message]] = {}

    @property
    def address(self) -> str:
        """What ``DBUS_SYSTEM_BUS_ADDRESS`` is set to."""
        return f"unix:path={self.path}"

    @property
    def clients(self) -> tuple[str, ...]:
        """Unique names of those who are connected."""
        return tuple(self._clients)

    async def open(self) -> None:
        """Listen for clients."""
        self.path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.setblocking(False)
        listening.bind(str(self.path))
        listening.listen(128)
        self._listening = listening
        self._accepting = asyncio.create_task(self._accept(listening), name="mini bus")

    async def close(self) -> None:
        """Cut all clients off and wait until their ends are closed, so that they leave nothing behind."""
        await self.shut()
        clients = list(self._clients.values())
        for client in clients:
            client.hang_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for answer in self._awaited.values():
            answer.cancel()

    async def shut(self) -> None:
        """Stop listening: who comes now finds no bus. Those who are connected stay."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._accepting = None
        if self._listening is not None:
            self._listening.close()
            self._listening = None
            self.path.unlink(missing_ok=True)

    def drop_all(self) -> None:
        """Cut every client off, as when the daemon is restarted; they may come back at once."""
        for client in list(self._clients.values()):
            client.hang_up()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listening)
            sock.setblocking(False)
            self._count += 1
            client = _Client(self, sock, f":1.{self._count}")
            self._clients[client.name] = client
            task = asyncio.create_task(client.run(), name=f"mini bus client {client.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def gone(self, client: _Client) -> None:
        """Forget a client whose connection has ended."""
        self._clients.pop(client.name, None)
        for key in [key for key in self._awaited if key[0] == client.name]:
            self._awaited.pop(key).cancel()
        for call in self.on_peer_gone:
            call(client.name)

    # --- the service's side -------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Send a signal to all who asked for it, or a reply to the one it is for."""
        message.sender = ":1.0"
        if message.message_type is MessageType.SIGNAL:
            for client in list(self._clients.values()):
                if any(matches(rule, message) for rule in client.rules):
                    message.serial = client.next_serial()
                    client.send(message)
        elif (asker := self._clients.get(message.destination or "")) is not None:
            message.serial = asker.next_serial()
            asker.send(message)

    async def call(self, message: Message) -> Message | None:
        """Call a client and wait for its answer; None where it went away or did not answer in time."""
        client = self._clients.get(message.destination or "")
        if client is None:
            return None
        message.sender = ":1.0"
        message.serial = client.next_serial()
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._awaited[client.name, message.serial] = answer
        client.send(message)
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                return await _none_if_cancelled(answer)
        except TimeoutError:
            return None
        finally:
            self._awaited.pop((client.name, message.serial), None)

    # --- the clients' side --------------------------------------------------------------------------------------

    def route(self, client: _Client, message: Message) -> None:
        """Take a message of a client to where it is meant to go."""
        message.sender = client.name
        if message.message_type in {MessageType.METHOD_RETURN, MessageType.ERROR}:
            answer = self._awaited.get((client.name, message.reply_serial or 0))
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif message.message_type is not MessageType.METHOD_CALL:
            return
        elif message.destination == BUS_NAME:
            self._answer(client, message)
        elif message.destination in {"org.bluez", ":1.0"}:
            for handler in self.on_call:
                handler(message)
        elif MessageFlag.NO_REPLY_EXPECTED not in message.flags:
            error = Message.new_error(
                message, f"{BUS_NAME}.Error.ServiceUnknown", f"The name {message.destination} is not on this bus"
            )
            error.sender = BUS_NAME
            client.send(error)

    def _answer(self, client: _Client, message: Message) -> None:
        body: list[Any] = list(message.body)
        match message.member:
            case "Hello":
                reply = Message.new_method_return(message, "s", [client.name])
            case "AddMatch":
                client.rules.append(parse_rule(body[0]))
                reply = Message.new_method_return(message)
            case "RemoveMatch":
                with contextlib.suppress(ValueError):
                    client.rules.remove(parse_rule(body[0]))
                reply = Message.new_method_return(message)
            case "RequestName" | "ReleaseName":
                reply = Message.new_method_return(message, "u", [1])
            case "StartServiceByName":
                reply = Message.new_method_return(message, "u", [2])
            case "NameHasOwner":
                reply = Message.new_method_return(message, "b", [self._owner(body[0]) is not None])
            case "GetNameOwner":
                owner = self._owner(body[0])
                reply = (
                    Message.new_method_return(message, "s", [owner])
                    if owner is not None
                    else Message.new_error(message, f"{BUS_NAME}.Error.NameHasNoOwner", f"no owner of {body[0]}")
                )
            case "ListNames":
                reply = Message.new_method_return(message, "as", [[BUS_NAME, "org.bluez", ":1.0", *self._clients]])
            case "GetId":
                reply = Message.new_method_return(message, "s", [self.guid])
            case _:
                reply = Message.new_error(
                    message, f"{BUS_NAME}.Error.UnknownMethod", f"this bus does not know {message.member}"
                )
        if MessageFlag.NO_REPLY_EXPECTED not in message.flags:
            reply.sender = BUS_NAME
            reply.destination = client.name
            client.send(reply)

    def _owner(self, name: str) -> str | None:
        if name in {"org.bluez", ":1.0"}:
            return ":1.0"
        return name if name in self._clients or name == BUS_NAME else None


async def _none_if_cancelled(answer: asyncio.Future[Message]) -> Message | None:
    await asyncio.wait({answer})
    return None if answer.cancelled() else answer.result()
