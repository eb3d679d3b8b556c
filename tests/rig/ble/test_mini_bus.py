"""The bench's own bus: match rules, full sockets, cut connections, descriptors, garbage."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError, DBusError

from rig.ble import mini_bus
from rig.ble.daemon_bus import DaemonBus
from rig.ble.errors import FrontMisuseError
from rig.ble.match_rules import matches, parse_rule
from rig.ble.mini_bus import BUS_NAME, BUS_PATH, MiniBus
from tests.ble_support import until


@pytest.fixture
async def bus() -> AsyncIterator[MiniBus]:
    with tempfile.TemporaryDirectory(prefix="bus") as folder:
        made = MiniBus(Path(folder) / "bus")
        await made.open()
        yield made
        await made.close()


async def client_of(bus: MiniBus) -> MessageBus:
    made = MessageBus(bus_address=bus.address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
    return await made.connect()


async def gone(client: MessageBus) -> None:
    client.disconnect()
    with contextlib.suppress(EOFError, OSError):
        await client.wait_for_disconnect()  # type: ignore[no-untyped-call]


async def ask(client: MessageBus, member: str, signature: str = "", *body: object) -> Message:
    answer = await client.call(
        Message(
            destination=BUS_NAME, path=BUS_PATH, interface=BUS_NAME, member=member, signature=signature, body=list(body)
        )
    )
    assert answer is not None
    return answer


def signal(path: str = "/org/bluez/hci0", member: str = "PropertiesChanged", size: int = 0) -> Message:
    return Message(
        message_type=MessageType.SIGNAL,
        path=path,
        interface="org.freedesktop.DBus.Properties",
        member=member,
        signature="say",
        body=[path + "/", bytes(size)],
    )


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ("type='signal',path_namespace='/org/bluez'", True),
        ("type=signal,path_namespace=/org/bluez", True),
        ("type='signal',path_namespace='/org/blue'", False),
        ("path='/org/bluez/hci0',member='PropertiesChanged'", True),
        ("path='/org/bluez'", False),
        ("member='InterfacesAdded'", False),
        ("interface='org.freedesktop.DBus.Properties',sender='org.bluez'", True),
        ("interface='org.freedesktop.DBus.ObjectManager'", False),
        ("arg0path='/org/bluez/'", True),
        ("arg0path='/org/bluez/hci0/dev_1'", True),
        ("arg0path='/com/'", False),
        ("arg0='/org/bluez/hci0/'", True),
        ("arg0='x'", False),
        ("type='method_call'", False),
        ("eavesdrop='true'", True),
        ("colour='red'", False),
        ("", True),
    ],
)
def test_a_match_rule_fits_what_it_names(rule: str, fits: bool) -> None:
    assert matches(parse_rule(rule), signal()) is fits


async def test_a_client_that_does_not_read_holds_nobody_up_and_loses_nothing(bus: MiniBus) -> None:
    slow = socket.socket(socket.AF_UNIX)
    slow.connect(str(bus.path))
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(slow, b"\0AUTH EXTERNAL\r\nBEGIN\r\n")
    for message in (
        Message(destination=BUS_NAME, path=BUS_PATH, interface=BUS_NAME, member="Hello", serial=1),
        Message(
            destination=BUS_NAME,
            path=BUS_PATH,
            interface=BUS_NAME,
            member="AddMatch",
            signature="s",
            body=["type='signal'"],
            serial=2,
        ),
    ):
        await loop.sock_sendall(slow, bytes(message._marshall(False)))
    quick = await client_of(bus)
    told: list[Message] = []
    quick.add_message_handler(told.append)
    await ask(quick, "AddMatch", "s", "type='signal'")
    await until(lambda: all(client.rules for client in bus._clients.values()), "both rules")
    for _ in range(2000):
        bus.send(signal(size=500))
    await until(lambda: len(told) >= 2000, "2,000 signals at the one that reads")
    received = 0
    while received < 2000 * 500:
        received += len(await loop.sock_recv(slow, 1 << 20))
    slow.close()
    await gone(quick)


async def test_a_client_that_never_reads_is_cut_off_at_a_bound(bus: MiniBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_bus, "QUEUE_MAX_BYTES", 1 << 20)
    slow = socket.socket(socket.AF_UNIX)
    slow.connect(str(bus.path))
    slow.sendall(b"\0AUTH EXTERNAL\r\nBEGIN\r\n")
    await until(lambda: len(bus.clients) == 1, "the client")
    (client,) = bus._clients.values()
    client.rules.append({})
    for _ in range(40):
        bus.send(signal(size=100_000))
    await until(lambda: not bus.clients, "the cut")
    slow.close()


async def test_garbage_ends_the_connection_that_sent_it_and_no_other(bus: MiniBus) -> None:
    good = await client_of(bus)
    plausible = b"l\x01\0\x01\x04\0\0\0\x01\0\0\0\x10\0\0\0" + b"\x07" * 20
    hello = b"\0AUTH EXTERNAL\r\nBEGIN\r\n"
    for garbage in (hello + b"\xff" * 64, hello + plausible, b"x" * 40_000, b"\0AUTH ANONYMOUS\r\nCANCEL\r\n"):
        bad = socket.socket(socket.AF_UNIX)
        bad.connect(str(bus.path))
        bad.sendall(garbage)
        bad.shutdown(socket.SHUT_WR)
        await until(lambda: len(bus.clients) == 1, "the end of the bad connection")
        bad.close()
    assert (await ask(good, "GetId")).body == [bus.guid]
    await gone(good)


async def test_the_bus_answers_for_itself(bus: MiniBus) -> None:
    client = await client_of(bus)
    me = client.unique_name or ""
    assert (await ask(client, "GetNameOwner", "s", "org.bluez")).body == [":1.0"]
    assert (await ask(client, "GetNameOwner", "s", me)).body == [me]
    assert (await ask(client, "GetNameOwner", "s", "org.none")).error_name == f"{BUS_NAME}.Error.NameHasNoOwner"
    assert (await ask(client, "NameHasOwner", "s", "org.none")).body == [False]
    assert (await ask(client, "RequestName", "su", "org.mine", 0)).body == [1]
    assert (await ask(client, "StartServiceByName", "su", "org.bluez", 0)).body == [2]
    assert set((await ask(client, "ListNames")).body[0]) == {BUS_NAME, "org.bluez", ":1.0", me}
    assert (await ask(client, "Dance")).error_name == f"{BUS_NAME}.Error.UnknownMethod"
    nobody = Message(destination="org.none", path="/", interface="a.b", member="C")
    answer = await client.call(nobody)
    assert answer is not None and answer.error_name == f"{BUS_NAME}.Error.ServiceUnknown"
    await gone(client)


async def test_dropped_clients_may_come_back_and_a_shut_bus_takes_none(bus: MiniBus) -> None:
    client = await client_of(bus)
    went: list[str] = []
    bus.on_peer_gone.append(went.append)
    bus.drop_all()
    with pytest.raises(EOFError):
        await client.wait_for_disconnect()  # type: ignore[no-untyped-call]
    await until(lambda: went == [client.unique_name], "the notice")
    again = await client_of(bus)
    await bus.shut()
    with pytest.raises((OSError, DBusError, AuthError)):
        await client_of(bus)
    assert (await ask(again, "GetId")).body == [bus.guid], "those who were connected stay"
    await bus.open()
    await gone(await client_of(bus))
    await gone(again)


async def test_a_descriptor_goes_along_with_its_reply(bus: MiniBus) -> None:
    read, write = os.pipe()

    def serve(message: Message) -> None:
        bus.send(Message.new_method_return(message, "h", [0], [write]))

    bus.on_call.append(serve)
    client = await client_of(bus)
    answer = await client.call(Message(destination="org.bluez", path="/", interface="a.b", member="C"))
    os.close(write)
    assert answer is not None
    os.write(answer.unix_fds[0], b"through the bus")
    os.close(answer.unix_fds[0])
    assert os.read(read, 100) == b"through the bus"
    os.close(read)
    await gone(client)


async def test_a_call_to_a_client_that_is_gone_or_goes_has_no_answer(bus: MiniBus) -> None:
    call = Message(destination=":1.99", path="/", interface="a.b", member="C")
    assert await bus.call(call) is None
    client = await client_of(bus)
    client.add_message_handler(lambda message: message.member == "Never")
    waiting = asyncio.create_task(
        bus.call(Message(destination=client.unique_name, path="/", interface="a.b", member="Never"))
    )
    await until(lambda: bool(bus._awaited), "the call")
    await gone(client)
    assert await waiting is None


def test_a_path_too_long_for_a_socket_is_told() -> None:
    with pytest.raises(FrontMisuseError, match="107 bytes"):
        MiniBus(Path("/tmp") / ("x" * 120))


@pytest.mark.needs("dbus-daemon")
async def test_a_burst_does_not_end_the_connection_to_a_real_daemon() -> None:
    with tempfile.TemporaryDirectory(prefix="bus") as folder:
        bus = DaemonBus(Path(folder) / "bus")
        await bus.open()
        client = MessageBus(bus_address=bus.address, bus_type=BusType.SYSTEM)
        await client.connect()
        told: list[Message] = []
        client.add_message_handler(told.append)
        await ask(client, "AddMatch", "s", "type='signal',path_namespace='/org/bluez'")
        for _ in range(3000):
            bus.send(signal(size=500))
        await until(lambda: sum(message.path == "/org/bluez/hci0" for message in told) == 3000, "3,000 signals")
        await gone(client)
        await bus.close()


async def test_without_a_dbus_daemon_the_next_step_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FrontMisuseError, match="apt install"):
        DaemonBus(tmp_path / "bus")
