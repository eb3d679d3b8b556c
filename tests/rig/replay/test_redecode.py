"""The captured bytes are held against the reports that were judged: pauses, losses, damage, a crash."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from devices.ankle_tag import AnkleTag
from devices.capture import CaptureHeader, CapturingTransport, capture_path
from devices.events import DeviceEvent
from devices.transports import Transport, open_transport
from protocols.nmea.checksum import seal
from rig.replay.journal_file import JournaledStart, read_journal
from rig.replay.redecode import Redecoded, redecode
from tests.bridge.bench import CONFIG, LAT, LON, T0_UTC_NS, Bench
from tests.devices.manual_clock import ManualClock

MS = 1_000_000


class Line:
    """A real driver on a captured line, its reports judged by a journaled pipeline, a turn for each moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bench = Bench(folder, config=CONFIG)
        self.clock: ManualClock = self.bench.clock
        self.pending: list[DeviceEvent] = []
        self.second = 0
        self.device: Transport = open_transport(f"memory:{folder}?end=device", clock=self.clock)
        inner = open_transport(f"memory:{folder}", clock=self.clock)
        self.capture = CapturingTransport(
            inner,
            capture_path(folder / "captures", "tag", T0_UTC_NS),
            CaptureHeader(
                device_id="tag",
                transport="memory",
                tagrig_version="0",
                t_start_mono_ns=self.clock.mono_ns(),
                t_start_utc_ns=T0_UTC_NS,
            ),
            clock=self.clock,
        )
        self.tag = AnkleTag(
            device_id="tag",
            transport=self.capture,
            clock=self.clock,
            on_event=self.pending.append,
            rng=random.Random(1),
        )

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            await self.device.send(piece)
            await self.clock.settle()
        self.judge()

    async def wait(self, ms: int) -> None:
        await self.clock.advance(ms * MS)
        self.judge()

    def judge(self) -> None:
        if self.pending:
            batch, self.pending[:] = list(self.pending), []
            self.bench.pipeline.process(batch)

    def epoch(self) -> bytes:
        self.second += 1
        where = f"{LAT:.0f}00.{self.second:04},N,{abs(LON):03.0f}30.0000,W"
        return seal(f"GPRMC,1200{self.second:02},A,{where},0.5,10.0,010126,,,A") + seal(
            f"GPGGA,1200{self.second:02},{where},1,08,1.0,5.0,M,48.0,M,,"
        )


@asynccontextmanager
async def followed(line: Line) -> AsyncIterator[Line]:
    await line.device.open()
    task = asyncio.create_task(line.tag.run())
    await line.clock.settle()
    try:
        yield line
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        line.judge()
        await line.device.close()
        line.capture.close_capture()


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setattr(Bench, "journal_file", tmp_path / "journal.jsonl")
    return Line(tmp_path)


def checked(line: Line) -> Redecoded:
    (found,) = redecode(line.folder / "captures", starts(line))
    return found


def starts(line: Line) -> list[JournaledStart]:
    return read_journal(line.folder / "journal.jsonl")


async def test_bytes_give_the_reports_that_were_judged_over_pauses_damage_and_losses(line: Line) -> None:
    async with followed(line):
        for _ in range(3):
            await line.say(line.epoch())
            await line.wait(1000)
        whole = line.epoch()
        await line.say(whole[:20])
        await line.wait(160)
        await line.say(whole[20:90])
        # A pause in the midst of an epoch: the driver closes it, and the rest comes late.
        await line.wait(160)
        await line.say(whole[90:], b"\x00garbage$GPRMC,1*00\r\n", line.epoch(), line.epoch())
        await line.device.close()
        await line.wait(300)
        await line.device.open()
        await line.wait(20_000)
        await line.say(line.epoch(), line.epoch()[:30])
    line.bench.pipeline.finish(line.clock.mono_ns())
    found = checked(line)
    assert found.differing == ()
    assert found.is_identical
    assert found.reports == found.identical >= 10
    assert found.not_judged == 0


async def test_a_report_that_no_bytes_say_is_named(line: Line) -> None:
    async with followed(line):
        await line.say(line.epoch())
        await line.wait(1000)
    line.bench.fix("tag", 0)
    line.bench.pipeline.finish(line.clock.mono_ns())
    found = checked(line)
    assert not found.is_identical
    assert "1 reports were judged that no bytes say, first Fix" in found.differing[0]
    assert "(" not in found.differing[0], "a whole report is no message"


async def test_bytes_that_say_something_else_are_named_with_both(line: Line) -> None:
    async with followed(line):
        await line.say(line.epoch())
        await line.wait(1000)
    line.bench.pipeline.finish(line.clock.mono_ns())
    journal = line.folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"satellites_used":8', b'"satellites_used":9'))
    found = checked(line)
    first = found.differing[0]
    assert first.startswith("judged was Fix of 20")
    assert first.endswith("Z at byte 0 with satellites_used 9, the bytes say 8")


async def test_bytes_that_a_bridge_that_died_did_not_judge_are_counted(line: Line) -> None:
    async with followed(line):
        await line.say(line.epoch())
        await line.wait(1000)
        await line.say(line.epoch())
        await line.clock.advance(1000 * MS)
        line.pending.clear()
    found = checked(line)
    assert (found.is_identical, found.not_judged) == (True, 1)
    line.bench.pipeline.finish(line.clock.mono_ns())
    assert "never judged" in checked(line).differing[0]
