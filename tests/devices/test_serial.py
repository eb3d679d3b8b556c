"""``serial:``: lookup by identity, settings that reach the terminal, a line that a UART's reader must survive."""

import os
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.clock import SystemClock
from devices.errors import TransportOpenError
from devices.inventory import find_by_path, find_by_serial, stable_target
from devices.serial_door import LineSettings, PortInfo
from devices.transports import SCHEMES, open_transport
from devices.transports.scheme_serial import SerialTransport
from devices.transports.spec import parse_spec


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


def port(path: str, serial_number: str | None = None, location: str | None = None) -> PortInfo:
    return PortInfo(path=path, serial_number=serial_number, location=location, vid=0x0403, pid=0x6001)


def transport(spec: str, ports: list[PortInfo], interface: int | None = None) -> SerialTransport:
    return SerialTransport(
        parse_spec(spec, SCHEMES),
        SystemClock(),
        settings=LineSettings(baud=9600),
        interface=interface,
        list_ports=lambda: ports,
    )


async def test_a_port_is_found_by_its_serial_number_at_each_opening(terminal: tuple[int, str]) -> None:
    master, path = terminal
    ports = [port("/dev/ttyUSB0", "OTHER"), port("/dev/ttyUSB9", "FT9XQ2LB")]
    line = transport("serial:by-serial=FT9XQ2LB", ports)
    with pytest.raises(TransportOpenError, match="/dev/ttyUSB9"):
        await line.open()
    ports[1] = port(path, "FT9XQ2LB")
    await line.open()
    os.write(master, b"here")
    assert (await line.receive()).data == b"here"
    await line.close()


async def test_an_absent_serial_number_lists_what_is_there() -> None:
    with pytest.raises(TransportOpenError, match=r"'NONE'; there are A1, B2\..*Next: plug it in"):
        await transport("serial:by-serial=NONE", [port("/dev/a", "A1"), port("/dev/b", "B2"), port("/dev/c")]).open()


async def test_two_ports_of_one_device_need_the_interface(terminal: tuple[int, str]) -> None:
    _, path = terminal
    ports = [port("/dev/ttyUSB0", "X", "1-2:1.0"), port(path, "X", "1-2:1.1")]
    with pytest.raises(TransportOpenError, match=r"2 ports have serial number 'X'.*interface=N"):
        await transport("serial:by-serial=X", ports).open()
    line = transport("serial:by-serial=X", ports, interface=1)
    await line.open()
    await line.close()


async def test_a_port_is_found_by_its_usb_socket(terminal: tuple[int, str]) -> None:
    _, path = terminal
    line = transport("serial:by-path=1-2.3", [port("/dev/ttyUSB0", location="1-2.4"), port(path, location="1-2.3")])
    await line.open()
    await line.close()
    with pytest.raises(TransportOpenError, match=r"no port at '9-9'; there are 1-2.4"):
        await transport("serial:by-path=9-9", [port("/dev/ttyUSB0", location="1-2.4")]).open()


def test_a_stable_name_is_the_serial_number_unless_it_is_shared() -> None:
    unique, twin, other = port("/dev/a", "U", "1-1"), port("/dev/b", "T", "1-2"), port("/dev/c", "T", "1-3")
    nameless, bare = port("/dev/d", None, "1-4"), PortInfo(path="/dev/ttyS0")
    ports = [unique, twin, other, nameless, bare]
    assert stable_target(unique, ports) == "by-serial=U"
    assert stable_target(twin, ports) == "by-path=1-2"
    assert stable_target(nameless, ports) == "by-path=1-4"
    assert stable_target(bare, ports) == "/dev/ttyS0"
    for named in (unique, nameless):
        key, _, value = stable_target(named, ports).partition("=")
        found = find_by_serial(ports, value, None)[0].path if key == "by-serial" else find_by_path(ports, value)
        assert found == named.path


@pytest.mark.parametrize(("baud", "speed"), [(4800, termios.B4800), (9600, termios.B9600), (115200, termios.B115200)])
async def test_the_baud_rate_reaches_the_terminal(terminal: tuple[int, str], baud: int, speed: int) -> None:
    master, path = terminal
    line = open_transport(f"serial:{path}?baud={baud}")
    await line.open()
    assert termios.tcgetattr(master)[4] == speed
    await line.close()


async def test_a_silent_line_is_not_taken_for_a_lost_one(terminal: tuple[int, str]) -> None:
    """pyserial sets VMIN to 0, with which a read of a silent line gives b"", as a vanished port does."""
    master, path = terminal
    line = open_transport(f"serial:{path}")
    await line.open()
    assert termios.tcgetattr(master)[6][termios.VMIN] in (1, b"\x01")
    termios.tcflush(master, termios.TCIOFLUSH)
    os.write(master, b"still there")
    assert (await line.receive()).data == b"still there"
    await line.close()


@pytest.mark.parametrize("spec", ["serial:{}", "pty:{}?flush=yes"])
async def test_what_was_written_before_the_opening_is_gone_as_on_a_uart(terminal: tuple[int, str], spec: str) -> None:
    master, path = terminal
    os.write(master, b"stale")
    line = open_transport(spec.format(path))
    await line.open()
    os.write(master, b"fresh")
    assert (await line.receive()).data == b"fresh"
    await line.close()


async def test_a_pty_keeps_what_its_maker_wrote_before(terminal: tuple[int, str]) -> None:
    master, path = terminal
    os.write(master, b"stale")
    line = open_transport(f"pty:{path}")
    await line.open()
    assert (await line.receive()).data == b"stale"
    await line.close()


async def test_a_file_is_not_a_port(tmp_path: Path) -> None:
    file = tmp_path / "log.nmea"
    file.write_bytes(b"$GPTXT\r\n")
    with pytest.raises(TransportOpenError, match=rf"not a terminal.*replay:{file}"):
        await open_transport(f"pty:{file}").open()
    with pytest.raises(TransportOpenError, match="cannot open"):
        await open_transport(f"serial:{file}").open()


async def test_a_created_terminal_does_not_overwrite_a_file(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_bytes(b"data")
    line = open_transport(f"pty:?link={file}")
    with pytest.raises(TransportOpenError, match="cannot make the link"):
        await line.open()
    assert file.read_bytes() == b"data"
    link = tmp_path / "port"
    line = open_transport(f"pty:?link={link}")
    await line.open()
    assert link.is_symlink()
    await line.close()
    assert not link.is_symlink()
