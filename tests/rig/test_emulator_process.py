"""The emulator as its users meet it: a process, a port, bytes."""

import json
import math
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from protocols.nmea import NmeaDecoder
from protocols.nmea.tag import encode_command
from protocols.rejects import Reject
from protocols.reports import CommandAck, CommandOutcome, CommandVerb, Fix, TagStatus
from rig.emulator.pty_port import PtyPort
from rig.errors import PseudoTerminalError
from rig.truth.records import TruthCommand, TruthEnd, TruthEpoch, TruthEvent, TruthHeader, read_truth
from tests.rig.support import ROOT, EmulatorProcess, make_tag, run_tag, wire
from tests.support import wait_until


def test_a_plain_reader_gets_the_models_bytes(tmp_path: Path) -> None:
    link, truth = tmp_path / "tag", tmp_path / "truth.jsonl"
    with EmulatorProcess(
        "--link", str(link), "--seed", "5", "--speed", "x20", "--duration-s", "20",
        "--event", "strap_cut@7", "--truth", str(truth), "--wait-for-open",
    ) as tag:  # fmt: skip
        ready = tag.word()
        assert ready["event"] == "ready"
        assert str(link.readlink()) == ready["port"]
        tag.open(str(link))
        data = tag.read_all()
        assert tag.word()["event"] == "started"
        ended = tag.word()
        assert tag.process.wait(timeout=10) == 0
    assert ended["event"] == "ended"
    assert ended["bytes_lost"] == ended["bytes_unheard"] == 0
    assert ended["bytes_written"] == len(data)
    assert data == wire(run_tag(make_tag("strap_cut@7", seed=5), 19.99))
    assert not link.exists()
    header, *records = read_truth(truth)
    assert isinstance(header, TruthHeader)
    epochs = [r for r in records if isinstance(r, TruthEpoch)]
    assert [r.kind for r in records if isinstance(r, TruthEvent)] == ["strap_cut"]
    assert isinstance(records[-1], TruthEnd)
    assert [e.sequence for e in epochs] == [r.sequence for r in NmeaDecoder().feed(data) if isinstance(r, TagStatus)]
    # absolute deadlines: tag time and the machine's clock do not part
    for epoch in epochs:
        due_ns = header.start_mono_ns + epoch.t_s / 20 * 1e9
        assert epoch.t_write_mono_ns >= due_ns


def test_two_runs_of_one_seed_are_the_same_to_the_byte(tmp_path: Path) -> None:
    got = []
    for _ in range(2):
        with EmulatorProcess("--seed", "11", "--speed", "max", "--duration-s", "300", "--profile", "urban") as tag:
            tag.open(tag.word()["port"])
            got.append(tag.read_all())
    assert got[0] == got[1]
    assert sum(isinstance(r, Fix) for r in NmeaDecoder().feed(got[0])) == 300


def test_an_unpaced_tag_waits_for_its_reader_and_loses_nothing() -> None:
    with EmulatorProcess("--seed", "2", "--speed", "max", "--duration-s", "2000") as tag:
        tag.open(tag.word()["port"])
        data = tag.read_all()
        tag.word()
        ended = tag.word()
    assert ended["epochs"] == 2000
    assert ended["bytes_lost"] == 0
    assert len(data) == ended["bytes_written"]
    assert not [r for r in NmeaDecoder().feed(data) if isinstance(r, Reject)]


def test_commands_are_answered_while_it_writes(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    with EmulatorProcess("--seed", "3", "--rate-hz", "20", "--truth", str(truth)) as tag:
        tag.open(tag.word()["port"])
        tag.read_until(b"$PTRGS")
        os.write(tag.fd, encode_command(1, CommandVerb.FIRMWARE_QUERY))
        os.write(tag.fd, encode_command(2, CommandVerb.VIBRATE, "3") * 2)
        os.write(tag.fd, encode_command(3, CommandVerb.REPORT_INTERVAL, "3600"))
        data = tag.read_until(b"$PTRGA,3,OK,3600*")
        os.write(tag.fd, encode_command(4, CommandVerb.LOCATE_NOW))
        data += tag.read_until(b"$PTRGS", within_s=10)
    answers = [r for r in NmeaDecoder().feed(data + b"\r\n") if isinstance(r, CommandAck)]
    assert [(a.command_id, a.outcome) for a in answers] == [(i, CommandOutcome.DONE) for i in (1, 2, 2, 3, 4)]
    commands = [r for r in read_truth(truth) if isinstance(r, TruthCommand)]
    assert [(c.verb, c.repeated) for c in commands] == [
        ("FIRMWARE", False), ("VIBRATE", False), ("VIBRATE", True), ("INTERVAL", False), ("LOCATE", False),
    ]  # fmt: skip


def test_what_nobody_reads_is_lost_and_counted_and_a_late_reader_gets_only_news() -> None:
    with EmulatorProcess("--seed", "3", "--rate-hz", "20", "--duration-s", "2.5") as tag:
        port = tag.word()["port"]
        tag.word()
        # closed at first: a second of the tag's time goes unheard
        time_to_open = time.monotonic() + 1.0
        wait_until(lambda: time.monotonic() > time_to_open, within_s=3, what="a second")
        tag.open(port)
        first = next(
            r
            for r in NmeaDecoder().feed(tag.read_until(b"$PTRGS,1,2026") + tag.read_until(b"\r\n"))
            if isinstance(r, TagStatus)
        )
        assert first.sequence > 15
        # open but not read: the buffer of the terminal fills, the tag goes on
        tag.process.wait(timeout=15)
        ended = tag.word()
    assert ended["epochs"] == 50
    assert ended["bytes_unheard"] > 3000
    assert ended["t_s"] == 2.5


def test_it_does_not_hang_when_the_reader_stops_reading() -> None:
    with EmulatorProcess("--seed", "3", "--rate-hz", "20", "--speed", "x20", "--duration-s", "30") as tag:
        tag.open(tag.word()["port"])
        tag.word()
        tag.process.wait(timeout=20)
        ended = tag.word()
    assert ended["epochs"] == 600
    assert ended["bytes_lost"] > 50_000


def test_sentences_take_their_time_at_a_baud_rate(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    with EmulatorProcess(
        "--seed", "3", "--baud", "9600", "--duration-s", "1.5", "--truth", str(truth), "--wait-for-open"
    ) as tag:
        tag.open(tag.word()["port"])
        data = tag.read_all()
    epoch = next(r for r in read_truth(truth) if isinstance(r, TruthEpoch))
    header = next(r for r in read_truth(truth) if isinstance(r, TruthHeader))
    assert len(data) > 500
    # the stamp is that of the write that completed the epoch: never before the last bit of a UART
    took_s = (epoch.t_write_mono_ns - header.start_mono_ns) / 1e9
    assert took_s >= epoch.bytes_written * 10 / 9600


def test_tags_that_are_held_start_as_one(tmp_path: Path) -> None:
    starts = []
    with EmulatorProcess("--hold", "--seed", "1") as one, EmulatorProcess("--hold", "--seed", "2") as two:
        for tag in (one, two):
            assert tag.word()["event"] == "ready"
        at_ns = time.monotonic_ns() + 10_000_000
        for tag in (one, two):
            assert tag.process.stdin is not None
            tag.process.stdin.write(f"go {at_ns}\n".encode())
            tag.process.stdin.flush()
            starts.append(tag.word()["start_mono_ns"])
    assert starts == [at_ns, at_ns]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--event", "strap_cutt@3"], 2, "strap_cut"),
        (["--event", "profile=mars@3"], 2, "open_sky"),
        (["--event", "battery=140@3"], 2, "0 to 100"),
        (["--event", "strap_cut"], 2, "NAME[=VALUE]@SECONDS"),
        (["--speed", "fast"], 2, "x10"),
        (["--start-utc", "2026-01-01T00:00:00"], 2, "time zone"),
        (["--track", "README.md"], 2, "GeoJSON"),
        (["--scenario", "pyproject.toml"], 2, "pyproject.toml"),
        (["--link", "README.md"], 3, "choose another --link"),
    ],
)
def test_a_users_mistake_is_told_without_a_traceback(arguments: list[str], code: int, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from rig.cli import main; main()", "emulate", "ankle", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_tells_open_from_closed_and_forgets_what_was_left_unread(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "deep" / "link")
    try:
        assert not port.is_open()
        assert port.write(b"unheard") == 0
        assert port.bytes_unheard == 7
        for text in (b"first", b"second"):
            fd = os.open(port.name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            assert port.is_open()
            assert port.write(text) == len(text)
            if text == b"second":
                wait_until(lambda fd=fd: _readable(fd), within_s=2, what="bytes")
                assert os.read(fd, 100) == b"second"
            os.close(fd)
            wait_until(lambda: not port.is_open(), within_s=2, what="the hang-up")
        (tmp_path / "file").write_text("mine")
        with pytest.raises(PseudoTerminalError, match="choose another"):
            PtyPort(tmp_path / "file")
    finally:
        port.close()
    port.close()
    assert not (tmp_path / "deep" / "link").is_symlink()


def _readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_the_port_is_raw_from_the_first_byte() -> None:
    port = PtyPort()
    fd = os.open(port.path, os.O_RDWR | os.O_NOCTTY)
    try:
        assert port.is_open()
        sent = bytes(range(256))
        port.write(sent)
        got = b""
        while len(got) < 256:
            got += os.read(fd, 256)
        assert got == sent
    finally:
        os.close(fd)
        port.close()


def test_json_lines_are_json(tmp_path: Path) -> None:
    with EmulatorProcess("--seed", "1", "--duration-s", "1", "--speed", "x20") as tag:
        tag.open(tag.word()["port"])
        tag.read_all()
        assert tag.process.stdout is not None
        for line in tag.process.stdout:
            assert math.isfinite(json.loads(line).get("t_s", 0))
