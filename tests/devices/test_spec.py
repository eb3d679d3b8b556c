"""Specification strings: what is refused, and that the message leads on."""

import pytest

from devices.errors import DevicesError, TransportSpecError
from devices.transports import SCHEMES, open_transport
from devices.transports.spec import parse_spec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["expected scheme:target", "serial"]),
        ("serail:/dev/ttyUSB0", ["unknown scheme 'serail'", "did you mean 'serial'"]),
        ("tcp://host:1", ["did you mean 'socket'"]),
        ("/dev/ttyUSB0", ["serial:/dev/ttyUSB0?baud=9600", "pty:/dev/ttyUSB0", "replay:/dev/ttyUSB0"]),
        ("COM3", ["expected scheme:target"]),
        ("serial:", ["expected a port"]),
        ("serial:by-serial=", ["expected a port"]),
        ("serial:by-serail=X", ["did you mean 'by-serial'"]),
        ("serial:/dev/ttyUSB0?bd=9600", ["unknown option 'bd'", "did you mean 'baud'", "parity"]),
        ("serial:/dev/ttyUSB0?baud=fast", ["baud='fast'", "whole number"]),
        ("serial:/dev/ttyUSB0?baud=0", ["baud=0", "50 to 4000000"]),
        ("serial:/dev/ttyUSB0?parity=evn", ["parity='evn'", "did you mean 'even'"]),
        ("serial:/dev/ttyUSB0?low_latency=maybe", ["yes or no"]),
        ("serial:/dev/ttyUSB0?baud", ["'baud'", "name=value"]),
        ("serial:/dev/ttyUSB0?baud=1200&baud=9600", ["given twice"]),
        ("socket://host", ["socket://host:port"]),
        ("socket:host:4001", ["socket://host:port"]),
        ("socket://host:notaport", ["socket://host:port"]),
        ("socket://host:4001/path", ["socket://host:port"]),
        ("socket://host:4001?baud=9600", ["unknown option 'baud'", "none"]),
        ("rfc2217://host", ["rfc2217://host:port"]),
        ("pty:/tmp/x?link=y", ["unknown option 'link'"]),
        ("memory:", ["expected a name"]),
        ("memory:x?end=driver2", ["did you mean 'driver'"]),
        ("replay:", ["expected a file"]),
        ("replay:x?pace=fast", ["recorded, max", "x10"]),
        ("replay:x?pace=x0", ["recorded, max"]),
        ("replay:x?rate=0", ["rate=0"]),
    ],
)
def test_a_wrong_string_is_refused_with_what_was_expected(text: str, words: list[str]) -> None:
    with pytest.raises(TransportSpecError) as error:
        open_transport(text)
    for word in words:
        assert word in str(error.value)
    assert isinstance(error.value, ValueError) and isinstance(error.value, DevicesError)


@pytest.mark.parametrize(
    "text",
    [
        "serial:/dev/ttyUSB0",
        "serial:/dev/ttyUSB0?baud=115200&bits=7&parity=even&stop=2&flow=rtscts&low_latency=no",
        "serial:by-serial=FT9XQ2LB?baud=9600&interface=1",
        "serial:by-path=pci-0000:00:14.0-usb-0:2:1.0-port0",
        "socket://[::1]:4001",
        "socket://localhost:4001",
        "rfc2217://localhost:4001?baud=4800",
        "pty:",
        "pty:/tmp/tag",
        "pty:/tmp/tag?flush=yes",
        "pty:?link=/tmp/tag",
        "memory:tag",
        "memory:tag?end=device",
        "replay:drive.nmea",
        "replay:drive.nmea.gz?pace=x2.5",
        "replay:drive.tagcap?pace=max",
        "replay:drive.nmea?rate=480",
    ],
)
def test_parsing_opens_nothing_and_keeps_the_string(text: str) -> None:
    assert open_transport(text).spec == text


def test_an_option_value_may_hold_any_character_percent_encoded() -> None:
    assert parse_spec("pty:?link=/tmp/a%26b", SCHEMES).options == {"link": "/tmp/a&b"}
