"""What every transport promises (``devices/transports/base.py``), held against all of them with a real other end."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from devices.errors import (
    TransportClosedError,
    TransportEndedError,
    TransportError,
    TransportLostError,
    TransportOpenError,
)
from devices.transports import SCHEMES, Chunk, Transport
from devices.transports.descriptor import READ_SIZE
from devices.transports.inbox import INBOX_CAP_BYTES
from tests.conformance.transport_rigs import RIGS, TransportRig

DEADLINE_S = 30.0

LIVE = [rig for rig in RIGS if rig.is_live]
LOSABLE = [rig for rig in RIGS if rig.can_be_lost]
RECORDED = [rig for rig in RIGS if not rig.is_live]
ABSENT = [rig for rig in RIGS if rig.can_be_absent]
EXCLUSIVE = [rig for rig in RIGS if rig.is_exclusive]


def over(rigs: list[type[TransportRig]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", rigs, ids=lambda kind: kind.__name__.removesuffix("Rig"))


@asynccontextmanager
async def rigged(kind: type[TransportRig], folder: Path) -> AsyncIterator[tuple[TransportRig, Transport]]:
    """A transport, not open yet, with the other end in place. Whatever task is left at the end fails the test."""
    tasks = asyncio.all_tasks()
    rig = kind(folder)
    await rig.load(b"$GPTXT,nothing*00\r\n")
    await rig.plug()
    transport = rig.make()
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield rig, transport
    finally:
        await transport.close()
        await rig.stop()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not asyncio.all_tasks() - tasks


async def opened(rig: TransportRig, transport: Transport) -> None:
    await transport.open()
    await rig.attach(transport)


async def receive_bytes(transport: Transport, n: int) -> list[Chunk]:
    chunks = []
    while n > 0:
        chunk = await transport.receive()
        chunks.append(chunk)
        n -= len(chunk.data)
    return chunks


async def heard(rig: TransportRig, transport: Transport, data: bytes) -> list[Chunk]:
    """Open, let the device say ``data``, and return the chunks it came in as."""
    await rig.load(data)
    await opened(rig, transport)
    if not rig.is_live:
        return await receive_bytes(transport, len(data))
    async with asyncio.TaskGroup() as group:
        group.create_task(rig.send(data))
        receiving = group.create_task(receive_bytes(transport, len(data)))
    return receiving.result()


def joined(chunks: list[Chunk]) -> bytes:
    return b"".join(chunk.data for chunk in chunks)


def test_every_scheme_is_in_the_list() -> None:
    assert {rig.scheme for rig in RIGS} == set(SCHEMES)


@over(RIGS)
async def test_it_is_closed_until_it_is_opened(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (_, transport):
        with pytest.raises(TransportClosedError, match="open"):
            await transport.receive()
        with pytest.raises(TransportClosedError):
            await transport.send(b"x")


@over(RIGS)
async def test_messages_name_the_specification(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        assert transport.spec == rig.spec
        with pytest.raises(TransportClosedError) as error:
            await transport.receive()
        assert rig.spec in str(error.value)


@over(RIGS)
async def test_bytes_come_in_order_in_chunks_that_are_never_empty(kind: type[TransportRig], tmp_path: Path) -> None:
    data = random.Random(1).randbytes(kind.big_bytes)
    async with rigged(kind, tmp_path) as (rig, transport):
        chunks = await heard(rig, transport, data)
        assert joined(chunks) == data
        assert all(chunk.data for chunk in chunks)


@over(RIGS)
async def test_stamps_never_step_back_and_lie_within_the_run(kind: type[TransportRig], tmp_path: Path) -> None:
    from devices.clock import SystemClock

    clock = SystemClock()
    async with rigged(kind, tmp_path) as (rig, transport):
        before_ns = clock.mono_ns()
        chunks = await heard(rig, transport, b"$GPTXT,01,01,02,abc*00\r\n" * 500)
        stamps = [chunk.t_rx_mono_ns for chunk in chunks]
        assert stamps == sorted(stamps)
        assert before_ns <= stamps[0]
        assert stamps[-1] <= clock.mono_ns()
        assert all(type(chunk.t_rx_utc_ns) is int for chunk in chunks)


@over(LIVE)
async def test_big_transfers_go_out_whole(kind: type[TransportRig], tmp_path: Path) -> None:
    data = random.Random(2).randbytes(kind.big_bytes)
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        async with asyncio.TaskGroup() as group:
            group.create_task(transport.send(data))
            reading = group.create_task(rig.read(len(data)))
        assert reading.result() == data


@over(LIVE)
async def test_both_directions_at_once(kind: type[TransportRig], tmp_path: Path) -> None:
    up, down = random.Random(3).randbytes(200_000), random.Random(4).randbytes(200_000)
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        async with asyncio.TaskGroup() as group:
            group.create_task(transport.send(down))
            group.create_task(rig.send(up))
            reading = group.create_task(rig.read(len(down)))
            receiving = group.create_task(receive_bytes(transport, len(up)))
        assert reading.result() == down
        assert joined(receiving.result()) == up


@over(LIVE)
async def test_sends_of_two_tasks_do_not_mix(kind: type[TransportRig], tmp_path: Path) -> None:
    n = 100_000
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        async with asyncio.TaskGroup() as group:
            group.create_task(transport.send(b"a" * n))
            group.create_task(transport.send(b"b" * n))
            reading = group.create_task(rig.read(2 * n))
        assert reading.result() == b"a" * n + b"b" * n


@over(LIVE)
async def test_sending_nothing_sends_nothing(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        await transport.send(b"")
        await transport.send(b"x")
        assert await rig.read(1) == b"x"


@over(LIVE)
async def test_what_is_not_received_waits_within_a_bound(kind: type[TransportRig], tmp_path: Path) -> None:
    data = random.Random(5).randbytes(2 * kind.big_bytes)
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.send(data))
            first = await transport.receive()
            inbox = getattr(transport, "inner", transport)
            inbox = getattr(inbox, "_inbox", None) or inbox.inbox
            while not inbox.is_full and kind.big_bytes > INBOX_CAP_BYTES:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0)
            assert inbox._n_bytes < INBOX_CAP_BYTES + READ_SIZE
            rest = await receive_bytes(transport, len(data) - len(first.data))
        assert first.data + joined(rest) == data


@over(LIVE)
async def test_waiting_for_bytes_does_not_poll(kind: type[TransportRig], tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        receiving = asyncio.create_task(transport.receive())
        for _ in range(5):
            await asyncio.sleep(0)
        turns = 0
        select = loop._selector.select  # type: ignore[attr-defined]

        def counted(timeout: float | None = None) -> object:
            nonlocal turns
            turns += 1
            return select(timeout)

        loop._selector.select = counted  # type: ignore[attr-defined]
        try:
            await asyncio.sleep(0.2)  # the observation itself, not a wait for something
        finally:
            loop._selector.select = select  # type: ignore[attr-defined]
        assert turns <= 3, "the loop was woken while the line was silent"
        await rig.send(b"x")
        assert (await receiving).data == b"x"


@over(RIGS)
async def test_closing_ends_a_waiting_receive(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        if not rig.is_live:
            await transport.receive()
            with pytest.raises(TransportEndedError):
                await transport.receive()
        receiving = asyncio.create_task(transport.receive())
        await asyncio.sleep(0)
        await transport.close()
        expected = TransportClosedError if rig.is_live else (TransportClosedError, TransportEndedError)
        with pytest.raises(expected):
            await receiving
        with pytest.raises(TransportClosedError):
            await transport.receive()
        with pytest.raises(TransportClosedError):
            await transport.send(b"x")


@over(LIVE)
async def test_closing_ends_a_waiting_send(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        sending = asyncio.create_task(transport.send(bytes(64 << 20)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not sending.done()
        await transport.close()
        with pytest.raises(TransportClosedError):
            await sending


@over(RIGS)
async def test_closing_twice_or_before_opening_is_safe(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        await transport.close()
        await opened(rig, transport)
        await transport.close()
        await transport.close()


@over(RIGS)
async def test_it_opens_again_after_a_close(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        for n in range(3):
            data = b"round %d\r\n" % n
            assert joined(await heard(rig, transport, data)) == data
            await transport.close()


@over(RIGS)
async def test_opening_what_is_open_is_refused_and_harms_nothing(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        await rig.load(b"still here\r\n")
        await opened(rig, transport)
        with pytest.raises(TransportOpenError, match="open already"):
            await transport.open()
        if rig.is_live:
            await rig.send(b"still here\r\n")
        assert joined(await receive_bytes(transport, 12)) == b"still here\r\n"


@over(RIGS)
async def test_a_cancelled_receive_loses_nothing(kind: type[TransportRig], tmp_path: Path) -> None:
    data = bytes(range(256)) * 20
    async with rigged(kind, tmp_path) as (rig, transport):
        await rig.load(data)
        await opened(rig, transport)
        sending = asyncio.create_task(rig.send(data) if rig.is_live else asyncio.sleep(0))
        got = b""
        turn = 0
        while len(got) < len(data):
            turn += 1
            receiving = asyncio.create_task(transport.receive())
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            if turn % 3:
                receiving.cancel()
            try:
                got += (await receiving).data
            except asyncio.CancelledError:
                await asyncio.sleep(0)
        await sending
        assert got == data


@over(LIVE)
async def test_only_one_task_receives(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        first = asyncio.create_task(transport.receive())
        await asyncio.sleep(0)
        with pytest.raises(TransportError, match="another task"):
            await transport.receive()
        await rig.send(b"for the first")
        assert (await first).data.startswith(b"f")


@over(LOSABLE)
async def test_an_unplugged_line_is_lost_for_receive_and_send(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        receiving = asyncio.create_task(transport.receive())
        await asyncio.sleep(0)
        await rig.unplug()
        with pytest.raises(TransportLostError) as error:
            await receiving
        assert rig.spec in str(error.value) or "hung up" in str(error.value)
        with pytest.raises(TransportLostError):
            await transport.receive()
        with pytest.raises(TransportLostError):
            await transport.send(b"x")
        await transport.close()
        with pytest.raises(TransportClosedError):
            await transport.receive()


@over(LOSABLE)
async def test_bytes_received_before_the_loss_come_first(kind: type[TransportRig], tmp_path: Path) -> None:
    data = b"the last words\r\n" * 10
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        await rig.send(data)
        await rig.taken()
        await rig.unplug()
        assert joined(await receive_bytes(transport, len(data))) == data
        with pytest.raises(TransportLostError):
            await transport.receive()


@over(LOSABLE)
async def test_a_loss_while_sending_is_told_to_the_sender(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        sending = asyncio.create_task(transport.send(bytes(64 << 20)))
        for _ in range(20):
            await asyncio.sleep(0)
        await rig.unplug()
        with pytest.raises(TransportLostError):
            await sending


@over(LOSABLE)
async def test_it_opens_again_after_a_loss(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        for n in range(3):
            data = b"life %d\r\n" % n
            assert joined(await heard(rig, transport, data)) == data
            await rig.unplug()
            with pytest.raises(TransportLostError):
                await transport.receive()
            await rig.plug()


@over(ABSENT)
async def test_an_absent_port_is_named_with_the_next_step(kind: type[TransportRig], tmp_path: Path) -> None:
    rig = kind(tmp_path)
    transport = rig.make()
    try:
        with pytest.raises(TransportOpenError) as error:
            await transport.open()
        assert rig.spec in str(error.value)
        assert "Next:" in str(error.value)
        assert isinstance(error.value, OSError)
        with pytest.raises(TransportClosedError):
            await transport.receive()
    finally:
        await transport.close()
        await rig.stop()


@over(EXCLUSIVE)
async def test_a_port_in_use_is_refused(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        with pytest.raises(TransportOpenError, match="in use"):
            await rig.make().open()
        await rig.send(b"undisturbed")
        assert (await transport.receive()).data.startswith(b"u")


@over(RECORDED)
async def test_a_recording_ends_and_says_so_for_ever(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        assert await heard(rig, transport, b"one line\r\n")
        for _ in range(3):
            with pytest.raises(TransportEndedError, match="over"):
                await transport.receive()
        assert joined(await heard(rig, transport, b"again\r\n")) == b"again\r\n"


@over(RECORDED)
async def test_a_recording_lets_go_of_what_is_sent_to_it(kind: type[TransportRig], tmp_path: Path) -> None:
    async with rigged(kind, tmp_path) as (rig, transport):
        await opened(rig, transport)
        await transport.send(b"x" * 100_000)
