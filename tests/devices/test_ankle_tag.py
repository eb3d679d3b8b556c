"""The driver: on a memory line with a clock that the test moves, then on a real pseudo-terminal."""

import asyncio
import os
import random
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from devices.ankle_tag import IDLE_CLOSE_NS, AnkleTag
from devices.baud_watch import UNFRAMED_AFTER_NS
from devices.clock import Clock, SystemClock
from devices.errors import CommandTimeoutError
from devices.events import DeviceEvent, LinkEvent, LinkState
from devices.transports import Transport, open_transport
from protocols.errors import EncodeError
from protocols.nmea import NmeaDecoder
from protocols.nmea.checksum import seal
from protocols.nmea.command_link import ACK_TIMEOUT_NS, MAX_ATTEMPTS, MAX_PENDING
from protocols.nmea.tag import CommandReceiver, encode_ack, encode_status
from protocols.rejects import Reject
from protocols.reports import (
    Closure,
    CommandAck,
    CommandOutcome,
    CommandVerb,
    Fix,
    Jamming,
    TagStatus,
)
from tests.devices.manual_clock import ManualClock

MS = 1_000_000
S = 1_000 * MS
T0_UTC_NS = 1_735_689_600_000_000_000  # 2025-01-01T00:00:00Z


def rmc(second: int) -> bytes:
    return seal(f"GPRMC,0000{second:02},A,5012.3456,N,00421.9876,E,0.5,10.0,010125,,,A")


def gga(second: int) -> bytes:
    return seal(f"GPGGA,0000{second:02},5012.3456,N,00421.9876,E,1,08,1.0,499.6,M,48.0,M,,")


def status(second: int) -> bytes:
    return encode_status(
        sequence=second,
        stored=False,
        strap=Closure.CLOSED,
        case=Closure.CLOSED,
        shielded=False,
        jamming=Jamming.NONE,
        battery_pct=80,
        battery_mv=3900,
        charging=False,
        motion=True,
        temperature_c=21.5,
        firmware="1.4.2",
        t_status_utc_ns=T0_UTC_NS + second * S,
    )


class Followed:
    """A driver that runs, and everything it said."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self.events: list[DeviceEvent] = []
        self.tag = AnkleTag(
            device_id="tag-1", transport=transport, clock=clock, on_event=self.heard, rng=random.Random(1)
        )
        self._changed = asyncio.Event()

    def heard(self, event: DeviceEvent) -> None:
        self.events.append(event)
        self._changed.set()

    @property
    def links(self) -> list[LinkEvent]:
        return [event.report for event in self.events if isinstance(event.report, LinkEvent)]

    @property
    def states(self) -> list[LinkState]:
        return [link.state for link in self.links]

    def of(self, kind: type) -> list[DeviceEvent]:
        return [event for event in self.events if isinstance(event.report, kind)]

    async def until(self, kind: type, n: int = 1) -> None:
        async with asyncio.timeout(20):
            while len(self.of(kind)) < n:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def following(transport: Transport, clock: Clock) -> AsyncIterator[Followed]:
    before = asyncio.all_tasks()
    followed = Followed(transport, clock)
    task = asyncio.create_task(followed.tag.run())
    try:
        yield followed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not asyncio.all_tasks() - before, "the driver left tasks behind"


@asynccontextmanager
async def on_memory(name: str) -> AsyncIterator[tuple[ManualClock, Transport, Followed]]:
    clock = ManualClock(utc_ns=T0_UTC_NS)
    device = open_transport(f"memory:{name}?end=device", clock=clock)
    await device.open()
    async with following(open_transport(f"memory:{name}", clock=clock), clock) as followed:
        await clock.settle()
        yield clock, device, followed
    await device.close()


async def test_reports_come_in_stream_order_with_their_stamps() -> None:
    async with on_memory("order") as (clock, device, followed):
        await clock.advance(5 * MS)
        await device.send(rmc(1) + gga(1))
        await clock.advance(20 * MS)
        await device.send(status(1))
        t_rx_ns = clock.mono_ns()
        await clock.settle()
        fix, said = followed.events[1:]
        assert isinstance(fix.report, Fix) and fix.report.sequence == 1
        assert isinstance(said.report, TagStatus) and said.report.firmware == "1.4.2"
        for event in (fix, said):
            assert event.device_id == "tag-1"
            assert event.stamps.t_rx_mono_ns == t_rx_ns == event.stamps.t_decoded_mono_ns
            assert event.stamps.t_rx_utc_ns == clock.utc_ns()
        assert followed.states == [LinkState.UP]
        assert followed.links[0].gap_ns is None


async def test_an_epoch_closes_after_the_line_was_idle_and_not_before() -> None:
    async with on_memory("idle") as (clock, device, followed):
        await device.send(rmc(1))
        await clock.advance(IDLE_CLOSE_NS - MS)
        await device.send(gga(1))
        await clock.advance(IDLE_CLOSE_NS - 1)
        assert not followed.of(Fix), "the second sentence began the silence anew"
        await clock.advance(1)
        (event,) = followed.of(Fix)
        assert isinstance(event.report, Fix) and event.report.hdop == 1.0, "one fix of both sentences"
        assert event.stamps.t_decoded_mono_ns - event.stamps.t_rx_mono_ns == IDLE_CLOSE_NS
        await clock.advance(10 * S)
        assert len(followed.of(Fix)) == 1


async def test_the_events_equal_what_the_decoder_alone_gives() -> None:
    data = b"".join(rmc(n) + gga(n) + status(n) for n in range(40)) + b"noise$GPRMC,brok\x00en*11\r\n" + rmc(50)
    alone = NmeaDecoder()
    expected = alone.feed(data) + alone.close()
    async with on_memory("equal") as (clock, device, followed):
        rng = random.Random(3)
        at = 0
        while at < len(data):
            n = rng.randrange(1, 60)
            await device.send(data[at : at + n])
            at += n
            await clock.settle()
        await device.close()
        await clock.settle()
        got = [event.report for event in followed.events if not isinstance(event.report, LinkEvent)]
        assert len(got) == len(expected)
        # The host's UTC resolves dates in the driver; the reports here carry their own.
        assert got == expected
        health = followed.tag.health
        assert health.nmea.rejects_by_reason == alone.counters.rejects_by_reason
        assert health.nmea.bytes_in == len(data)
        assert health.nmea.fixes == alone.counters.fixes


async def test_a_lost_line_is_reopened_and_the_gap_is_an_event() -> None:
    async with on_memory("gap") as (clock, device, followed):
        await device.send(rmc(1))
        await clock.settle()
        await device.close()
        await clock.settle()
        assert followed.states == [LinkState.UP, LinkState.LOST]
        assert len(followed.of(Fix)) == 1, "the open epoch is handed on before the loss"
        assert [type(event.report) for event in followed.events] == [LinkEvent, Fix, LinkEvent]
        lost_ns = clock.mono_ns()
        await clock.advance(30 * S)
        n_tried = followed.tag.health.line.open_failures
        assert 30 / 5 <= n_tried <= 30 / 2.5 + 10, "backoff reaches its cap"
        assert followed.states.count(LinkState.LOST) == 2, "once for the loss, once for what the next opening found"
        await device.open()
        await clock.advance(5 * S)
        up = followed.links[-1]
        assert up.state is LinkState.UP
        assert up.gap_ns is not None and 30 * S <= up.gap_ns <= clock.mono_ns() - lost_ns
        await device.send(rmc(2) + gga(2) + rmc(3))
        await clock.settle()
        fix = followed.of(Fix)[-1].report
        assert isinstance(fix, Fix) and fix.offset == 0, "offsets count from the opening"
        assert followed.tag.health.line.opened == 2
        assert followed.tag.health.line.lost == 1


async def test_the_first_reopening_comes_within_fifty_milliseconds() -> None:
    async with on_memory("quick") as (clock, device, followed):
        await device.send(rmc(1))
        await clock.settle()
        await device.close()
        await device.open()
        await clock.advance(50 * MS)
        assert followed.states == [LinkState.UP, LinkState.LOST, LinkState.UP]


async def test_a_port_that_opens_and_dies_without_a_byte_is_not_tried_ever_faster() -> None:
    async with on_memory("flapping") as (clock, device, followed):
        for _ in range(200):
            await device.close()
            await device.open()
            await clock.advance(100 * MS)
        assert followed.tag.health.line.opened < 20


async def test_a_port_that_was_never_there_is_named_once() -> None:
    clock = ManualClock()
    async with following(open_transport("memory:absent", clock=clock), clock) as followed:
        await clock.advance(60 * S)
        assert followed.states == [LinkState.LOST]
        assert "nothing is plugged in" in followed.links[0].detail
        assert followed.tag.health.line.open_failures > 10


async def test_a_wrong_baud_rate_is_named_and_ends_when_sentences_frame(tmp_path: Path) -> None:
    clock = ManualClock(utc_ns=T0_UTC_NS)
    master, slave = os.openpty()
    tty.setraw(slave)
    rng = random.Random(4)
    spec = f"serial:{os.ttyname(slave)}?baud=4800"
    async with following(open_transport(spec, clock=clock), clock) as followed:

        async def say(data: bytes) -> None:
            """Write, and return once the driver has taken it."""
            wanted = followed.tag.health.nmea.bytes_in + len(data)
            os.write(master, data)
            async with asyncio.timeout(10):
                while followed.tag.health.nmea.bytes_in < wanted:  # noqa: ASYNC110 - a counter has no event
                    await asyncio.sleep(0.001)

        await clock.settle()
        for _ in range(4):
            await say(rng.randbytes(100))
            await clock.advance(UNFRAMED_AFTER_NS // 3)
        assert followed.states == [LinkState.UP, LinkState.WRONG_BAUD]
        assert "at 4800 Bd" in followed.links[-1].detail and spec in followed.links[-1].detail
        assert "9600" in followed.links[-1].detail
        assert followed.tag.health.link is LinkState.WRONG_BAUD
        await say(b"\r\n" + rmc(1) + rmc(2))
        assert followed.states == [LinkState.UP, LinkState.WRONG_BAUD, LinkState.UP]
        assert followed.tag.health.line.wrong_baud == 1
    os.close(master)
    os.close(slave)


async def test_a_command_is_sent_and_answered() -> None:
    async with on_memory("command") as (clock, device, followed):
        asking = asyncio.create_task(followed.tag.command(CommandVerb.VIBRATE, "3"))
        await clock.settle()
        (command,) = CommandReceiver().feed((await device.receive()).data)
        assert not isinstance(command, Reject)
        assert (command.verb, command.argument) == (CommandVerb.VIBRATE, "3")
        await device.send(encode_ack(command.command_id, CommandOutcome.DONE, "3"))
        ack = await asking
        assert (ack.outcome, ack.value) == (CommandOutcome.DONE, "3")
        assert [event.report for event in followed.of(CommandAck)] == [ack], "the answer is an event as well"
        await clock.advance(20 * S)
        health = followed.tag.health.line
        assert (health.commands_sent, health.commands_resent, health.commands_acked) == (1, 0, 1)


async def test_a_command_is_sent_again_until_it_is_answered() -> None:
    async with on_memory("again") as (clock, device, followed):
        asking = asyncio.create_task(followed.tag.command(CommandVerb.LOCATE_NOW))
        await clock.advance(ACK_TIMEOUT_NS)
        receiver = CommandReceiver()
        first, second = receiver.feed((await device.receive()).data + (await device.receive()).data)
        assert first == second
        assert not isinstance(first, Reject)
        await device.send(encode_ack(first.command_id, CommandOutcome.REFUSED))
        assert (await asking).outcome is CommandOutcome.REFUSED


async def test_a_tag_that_never_answers_is_given_up_loudly() -> None:
    async with on_memory("deaf") as (clock, _, followed):
        asking = asyncio.create_task(followed.tag.command(CommandVerb.FIRMWARE_QUERY))
        await clock.advance(MAX_ATTEMPTS * ACK_TIMEOUT_NS - 1)
        assert not asking.done()
        await clock.advance(1)
        with pytest.raises(CommandTimeoutError, match=r"no answer to FIRMWARE in 4 attempts.*line is up.*Next:"):
            await asking
        assert followed.tag.health.line.commands_expired == 1


async def test_commands_while_the_line_is_down_go_out_once_it_is_back() -> None:
    async with on_memory("down") as (clock, device, followed):
        await device.close()
        await clock.settle()
        asking = asyncio.create_task(followed.tag.command(CommandVerb.VIBRATE))
        await clock.settle()
        await device.open()
        await clock.advance(ACK_TIMEOUT_NS)
        (command,) = CommandReceiver().feed((await device.receive()).data)
        assert not isinstance(command, Reject)
        await device.send(encode_ack(command.command_id, CommandOutcome.DONE))
        assert (await asking).outcome is CommandOutcome.DONE
        assert followed.tag.health.line.send_failures == 1


async def test_what_cannot_be_sent_is_the_callers_error() -> None:
    async with on_memory("misuse") as (clock, _, followed):
        with pytest.raises(EncodeError):
            await followed.tag.command(CommandVerb.VIBRATE, "a,b")
        tasks = [asyncio.create_task(followed.tag.command(CommandVerb.LOCATE_NOW)) for _ in range(MAX_PENDING)]
        await clock.settle()
        with pytest.raises(EncodeError, match="wait for an answer"):
            await followed.tag.command(CommandVerb.LOCATE_NOW)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, CommandTimeoutError) for outcome in outcomes), "nobody waits for a driver that ended"
    with pytest.raises(CommandTimeoutError, match="not running"):
        await followed.tag.command(CommandVerb.LOCATE_NOW)


async def test_a_replay_ends_the_run_with_everything_handed_on(tmp_path: Path) -> None:
    log = tmp_path / "x.nmea"
    log.write_bytes(rmc(1) + gga(1) + rmc(2) + gga(2) + b"$GPRMC,trunc")
    followed = Followed(open_transport(f"replay:{log}?pace=max"), SystemClock())
    async with asyncio.timeout(10):
        await followed.tag.run()
    assert len(followed.of(Fix)) == 2
    assert len(followed.of(Reject)) == 1
    assert followed.states == [LinkState.UP, LinkState.ENDED]
    assert isinstance(followed.events[-1].report, LinkEvent)


async def test_an_error_of_the_listener_is_not_swallowed(tmp_path: Path) -> None:
    log = tmp_path / "x.nmea"
    log.write_bytes(rmc(1))

    def broken(event: DeviceEvent) -> None:
        raise ZeroDivisionError

    tag = AnkleTag(
        device_id="tag-1",
        transport=open_transport(f"replay:{log}?pace=max"),
        clock=SystemClock(),
        on_event=broken,
    )
    with pytest.raises(ZeroDivisionError):
        await tag.run()


async def test_on_a_real_terminal_through_an_unplug(tmp_path: Path) -> None:
    link = tmp_path / "tag"
    async with following(open_transport(f"serial:{link}?baud=9600"), SystemClock()) as followed:
        for n in range(3):
            master, slave = os.openpty()
            tty.setraw(slave)
            link.symlink_to(os.ttyname(slave))
            async with asyncio.timeout(20):
                while followed.tag.health.line.opened <= n:
                    await followed.until(LinkEvent, len(followed.links) + 1)
            os.write(master, rmc(n + 1) + gga(n + 1) + status(n + 1))
            await followed.until(TagStatus, n + 1)
            link.unlink()
            os.close(master)
            os.close(slave)
    assert followed.states.count(LinkState.UP) == 3
    gaps = [link.gap_ns for link in followed.links if link.state is LinkState.UP]
    assert gaps[0] is None
    assert all(gap is not None and gap > 0 for gap in gaps[1:])
    assert len(followed.of(Fix)) == 3


@pytest.mark.corpus
async def test_real_logs_through_the_driver_equal_the_decoder_alone(corpus: Path) -> None:
    logs = sorted((corpus / "nmea" / "gpsd").glob("*.log"))[::5]
    assert len(logs) > 10
    for log in logs:
        alone = NmeaDecoder()
        utc_ns = SystemClock().utc_ns()
        expected = alone.feed(log.read_bytes(), t_rx_utc_ns=utc_ns) + alone.close()
        followed = Followed(open_transport(f"replay:{log}?pace=max"), ManualClock(utc_ns=utc_ns))
        async with asyncio.timeout(60):
            await followed.tag.run()
        got = [event.report for event in followed.events if not isinstance(event.report, LinkEvent)]
        assert got == expected, log.name
