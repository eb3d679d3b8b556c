"""What speaks on a line, heard on real pseudo-terminals; and ``tagrig scan`` over it."""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

import rig.cli.scan as scan
from devices.clock import SystemClock
from devices.probe import ProbeResult, Speaks, is_pseudo_terminal, probe, spec_of
from devices.serial_door import PortInfo
from protocols.nmea.checksum import seal
from protocols.nmea.tag import encode_status
from protocols.reports import Closure, Jamming

SENTENCES = seal("GNRMC,101530.00,A,5012.34567,N,00421.98765,E,0.012,81.30,040325,,,A") + seal(
    "GPGGA,101530.00,5012.34567,N,00421.98765,E,1,09,0.92,57.3,M,46.1,M,,"
)
STATUS = encode_status(
    sequence=1,
    stored=False,
    strap=Closure.CLOSED,
    case=Closure.CLOSED,
    shielded=False,
    jamming=Jamming.NONE,
    battery_pct=80,
    battery_mv=3900,
    charging=False,
    motion=True,
    temperature_c=None,
    firmware="1.4.2",
    t_status_utc_ns=None,
)


@contextmanager
def talking(says: Callable[[int], bytes], *, every_s: float = 0.02) -> Iterator[str]:
    """A pseudo-terminal on which something is said over and over, depending on the rate the reader has set."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    stopping = threading.Event()

    def run() -> None:
        while not stopping.wait(every_s):
            with contextlib.suppress(BlockingIOError):
                os.write(master, says(termios.tcgetattr(master)[4]))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        stopping.set()
        thread.join()
        os.close(master)
        os.close(slave)


def listen(spec: str, *, listen_s: float = 0.5, **options: object) -> ProbeResult:
    return asyncio.run(probe(spec, clock=SystemClock(), listen_ns=round(listen_s * 1e9), **options))  # type: ignore[arg-type]


def test_a_tag_is_known_by_its_status_sentence() -> None:
    with talking(lambda _: SENTENCES + STATUS) as path:
        result = listen(f"pty:{path}", listen_s=20)
    assert (result.speaks, result.firmware, result.baud) == (Speaks.TAG, "1.4.2", None)


def test_a_receiver_is_known_by_its_talkers() -> None:
    with talking(lambda _: SENTENCES) as path:
        result = listen(f"pty:{path}")
    assert result.speaks is Speaks.NMEA
    assert result.talkers
    assert result.n_sentences > 2


def test_silence_is_told_from_bytes_that_do_not_frame() -> None:
    with talking(lambda _: b"") as path:
        assert listen(f"serial:{path}", listen_s=0.2).speaks is Speaks.SILENT
    ubx = b"\xb5\x62\x01\x07\x5c\x00" + random.Random(1).randbytes(94)
    with talking(lambda _: ubx) as path:
        result = listen(f"pty:{path}")
    assert result.speaks is Speaks.BINARY
    assert "u-blox UBX" in result.detail
    with talking(lambda _: SENTENCES.replace(b"*", b"*F")) as path:
        assert "checksums" in listen(f"pty:{path}").detail


def test_the_right_baud_rate_is_found() -> None:
    """A pseudo-terminal carries any rate, so the emulated device looks at the rate and says garbage at a wrong one."""
    garbage = random.Random(2).randbytes(200)
    with talking(lambda speed: SENTENCES if speed == termios.B38400 else garbage) as path:
        result = listen(f"serial:{path}")
    assert (result.speaks, result.baud) == (Speaks.NMEA, 38400)
    assert result.spec == f"serial:{path}?baud=38400"


def test_no_rate_fits() -> None:
    with talking(lambda _: random.Random(3).randbytes(300)) as path:
        result = listen(f"serial:{path}", bauds=(9600, 4800))
    assert result.speaks is Speaks.BINARY
    assert "no NMEA at 9600, 4800 Bd" in result.detail


def test_a_port_that_cannot_be_opened_and_one_that_vanishes() -> None:
    assert listen("serial:/dev/none").speaks is Speaks.UNAVAILABLE
    master, slave = os.openpty()
    tty.setraw(slave)
    timer = threading.Timer(0.1, lambda: (os.close(slave), os.close(master)))
    timer.start()
    result = listen(f"pty:{os.ttyname(slave)}", listen_s=20)
    timer.join()
    assert result.speaks is Speaks.UNAVAILABLE
    assert "hung up" in result.detail


def test_a_path_becomes_the_specification_that_fits_it(tmp_path: Path) -> None:
    with talking(lambda _: b"") as path:
        link = tmp_path / "tag"
        link.symlink_to(path)
        assert is_pseudo_terminal(str(link))
        assert spec_of(str(link)) == f"pty:{link}"
    assert spec_of("/dev/ttyUSB0") == "serial:/dev/ttyUSB0"
    assert spec_of("socket://h:1") == "socket://h:1"


def run_scan(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(scan.command, list(arguments))
    return done.exit_code, done.output


def test_scan_prints_the_string_for_the_configuration() -> None:
    with talking(lambda _: SENTENCES + STATUS) as tag, talking(lambda _: SENTENCES) as receiver:
        code, text = run_scan(tag, receiver, "--listen-s", "0.5")
        assert code == 0
        assert f'transport = "pty:{tag}"' in text
        assert "ankle tag, firmware 1.4.2" in text
        assert f'transport = "pty:{receiver}"' in text
        code, text = run_scan(tag, "--json", "--listen-s", "0.5")
    (row,) = json.loads(text)["ports"]
    assert (row["speaks"], row["firmware"], row["spec"], row["usb"]) == ("tag", "1.4.2", f"pty:{tag}", None)


def test_scan_shows_the_usb_identity_and_names_the_port_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with talking(lambda speed: SENTENCES if speed == termios.B4800 else b"\x80\xf8" * 150) as path:
        port = PortInfo(
            path=path,
            description="FT232R",
            vid=0x0403,
            pid=0x6001,
            serial_number="FT9XQ2LB",
            manufacturer="FTDI",
            product="FT232R USB UART",
            location="1-2",
        )
        monkeypatch.setattr(scan, "list_ports", lambda: [port])
        monkeypatch.setattr(scan, "spec_of", lambda target: f"serial:{target}")
        code, text = run_scan("--listen-s", "0.5")
    assert code == 0
    assert "FTDI FT232R USB UART (0403:6001, serial number FT9XQ2LB, at 1-2)" in text
    assert 'transport = "serial:by-serial=FT9XQ2LB?baud=4800"' in text
    assert "sentences at 4800 Bd" in text


def test_scan_without_ports_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "list_ports", list)
    code, text = run_scan()
    assert code == 0
    assert "No serial ports found. Next:" in text
    code, text = run_scan("--json", "--no-bluetooth")
    assert json.loads(text) == {"ports": [], "bluetooth": None}


def test_scan_without_a_bluetooth_service_says_so_and_lists_the_ports(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/absent")
    with talking(lambda _: SENTENCES) as path:
        code, text = run_scan(path, "--bluetooth", "--listen-s", "0.5")
        assert code == 0
        assert "sentences" in text
        assert "Bluetooth not scanned: default adapter: the Bluetooth service cannot be reached: D-Bus at" in text
        _, text = run_scan(path, "--bluetooth", "--json", "--listen-s", "0.5")
    report = json.loads(text)
    assert report["ports"][0]["speaks"] == "nmea"
    assert report["bluetooth"]["tags"] == [] and "absent" in report["bluetooth"]["problem"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["/dev/ttyUSB99"], 3, "does not exist"),
        (["socket:nohost"], 2, "socket://host:port"),
        (["--listen-s", "0", "/dev/ttyUSB99"], 2, "--listen-s"),
        (["--baud", "3", "/dev/ttyUSB99"], 2, "--baud"),
    ],
)
def test_scan_exit_codes(arguments: list[str], code: int, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from rig.cli import main; main()", "scan", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_long_scan_shows_its_progress() -> None:
    with talking(lambda _: b"") as path:
        code, text = run_scan(path, "--listen-s", "2.2")
    assert code == 0
    assert "listening: 0 of 1 ports done, 1 of at most 2 s" in text
