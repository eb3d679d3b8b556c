"""``rfc2217://``: the codec by itself, and what a server may do wrong."""

import asyncio
import random
import termios
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import devices.transports.scheme_rfc2217 as module
from devices.errors import TransportOpenError
from devices.serial_door import FlowControl, LineSettings, Parity
from devices.transports import open_transport
from devices.transports.telnet import DO, IAC, SB, SE, WILL, ComPortClient, escape
from tests.conformance.transport_rigs import Rfc2217Rig
from tests.support import LOOPBACK

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    handled: list[asyncio.Task[None]] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        handled.append(task)
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    listening = await asyncio.start_server(once, LOOPBACK, 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"rfc2217://{LOOPBACK}:{port}?baud=4800"
    finally:
        listening.close()
        for task in handled:
            task.cancel()
        await asyncio.gather(*handled, return_exceptions=True)
        await listening.wait_closed()


def test_payload_comes_out_whole_however_it_is_cut() -> None:
    data = random.Random(1).randbytes(5000) + b"\xff\xff\x00\xff"
    wire = (
        bytes((IAC, WILL, 1, IAC, SB, 44, 107, 0, IAC, SE))
        + escape(data[:2500])
        + bytes((IAC, 241))
        + escape(data[2500:])
    )
    for size in (1, 2, 3, 7, 1000, len(wire)):
        client = ComPortClient()
        assert b"".join(client.feed(wire[at : at + size]) for at in range(0, len(wire), size)) == data


def test_confirmations_are_not_confirmed_again() -> None:
    client = ComPortClient()
    client.greet()
    client.out.clear()
    client.feed(bytes((IAC, DO, 44, IAC, DO, 0, IAC, WILL, 0)))
    assert not client.out
    assert client.agreed
    client.feed(bytes((IAC, DO, 24)))
    assert client.out == bytes((IAC, 252, 24)), "an option we do not have is declined"


def test_a_setting_without_end_does_not_fill_memory() -> None:
    client = ComPortClient()
    client.feed(bytes((IAC, SB, 44)) + bytes(1_000_000))
    assert len(client._sub) <= 256
    client.feed(bytes((IAC, SE)))
    assert client.feed(b"data") == b"data"


def test_random_bytes_neither_raise_nor_answer_without_bound() -> None:
    client = ComPortClient()
    rng = random.Random(2)
    for _ in range(200):
        client.feed(rng.randbytes(1000).replace(b"\x00", b"\xff"))
        client.out.clear()


def test_the_settings_are_laid_out_as_the_standard_says() -> None:
    client = ComPortClient()
    client.configure(LineSettings(baud=65535, bits=7, parity=Parity.EVEN, stop=1.5, flow=FlowControl.RTS_CTS))
    assert bytes((IAC, SB, 44, 1, 0, 0, 255, 255, 255, 255, IAC, SE)) in client.out, "255 is doubled inside too"
    assert bytes((IAC, SB, 44, 2, 7, IAC, SE)) in client.out
    assert bytes((IAC, SB, 44, 3, 3, IAC, SE)) in client.out
    assert bytes((IAC, SB, 44, 4, 3, IAC, SE)) in client.out
    assert bytes((IAC, SB, 44, 5, 3, IAC, SE)) in client.out


async def test_the_baud_rate_reaches_the_port_of_the_server(tmp_path: Path) -> None:
    rig = Rfc2217Rig(tmp_path)
    await rig.plug()
    line = rig.make()
    await line.open()
    assert rig.terminal
    assert termios.tcgetattr(rig.terminal.master)[4] == termios.B4800
    await line.close()
    await rig.stop()


async def test_a_server_that_is_no_rfc2217_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEGOTIATION_TIMEOUT_S", 0.1)

    async def chatters(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"$GPTXT,raw*00\r\n")
        await reader.read()

    async with server(chatters) as spec:
        with pytest.raises(TransportOpenError, match=r"does not speak RFC 2217. Next: socket://"):
            await open_transport(spec).open()


async def test_a_server_that_declines_is_named() -> None:
    async def declines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes((IAC, 254, 44)))
        await reader.read()

    async with server(declines) as spec:
        with pytest.raises(TransportOpenError, match="does not speak RFC 2217"):
            await open_transport(spec).open()


async def test_a_server_that_hangs_up_is_told_at_once() -> None:
    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with server(hangs_up) as spec:
        with pytest.raises(TransportOpenError, match="hung up while the port was set up"):
            await open_transport(spec).open()


async def test_a_server_that_sets_another_rate_is_refused() -> None:
    async def other_rate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes((IAC, DO, 44)))
        for code, value in ((101, b"\0\0\x25\x80"), (102, b"\x08"), (103, b"\x01"), (104, b"\x01")):
            writer.write(bytes((IAC, SB, 44, code)) + value + bytes((IAC, SE)))
        await reader.read()

    async with server(other_rate) as spec:
        with pytest.raises(TransportOpenError, match="for baud rate 4800, it set 9600"):
            await open_transport(spec).open()


async def test_a_server_without_an_answer_to_the_settings_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEGOTIATION_TIMEOUT_S", 0.1)

    async def agrees_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes((IAC, DO, 44)))
        await reader.read()

    async with server(agrees_only) as spec:
        with pytest.raises(TransportOpenError, match="did not answer to the line settings"):
            await open_transport(spec).open()
