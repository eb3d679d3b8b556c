"""The diagnosis of a wrong baud rate, against a simulated UART."""

import itertools

import pytest

from devices.baud_watch import (
    COMMON_BAUDS,
    UNFRAMED_AFTER_NS,
    UNFRAMED_MIN_BYTES,
    BaudWatch,
    describe,
    find_baud,
    likely_bauds,
)
from protocols.nmea.checksum import seal

SENTENCES = (
    seal("GNRMC,101530.00,A,5012.34567,N,00421.98765,E,0.012,81.30,040325,,,A")
    + seal("GNGGA,101530.00,5012.34567,N,00421.98765,E,1,09,0.92,57.3,M,46.1,M,,")
    + seal("GNGSA,A,3,02,05,11,13,20,29,31,,,,,,1.71,0.92,1.44")
) * 3


def misread(data: bytes, *, device_baud: int, port_baud: int) -> bytes:
    """What a UART at one rate makes of bytes sent at another: samples in the middle of each bit it believes in."""
    bits = [bit for byte in data for bit in (0, *((byte >> n) & 1 for n in range(8)), 1)]

    def level(t_s: float) -> int:
        n = int(t_s * device_baud)
        return bits[n] if n < len(bits) else 1

    step_s = 1 / device_baud / 16
    end_s = len(bits) / device_baud
    got = bytearray()
    t_s = 0.0
    while t_s < end_s:
        if level(t_s):
            t_s += step_s
            continue
        got.append(sum(level(t_s + (n + 1.5) / port_baud) << n for n in range(8)))
        t_s += 9.5 / port_baud
        while t_s < end_s and not level(t_s):
            t_s += step_s
    return bytes(got)


def test_the_simulated_uart_reads_what_is_sent_at_its_own_rate() -> None:
    assert misread(SENTENCES, device_baud=9600, port_baud=9600) == SENTENCES


@pytest.mark.parametrize(("port_baud", "device_baud"), list(itertools.permutations((4800, 9600, 38400, 115200), 2)))
def test_the_right_rate_is_on_the_right_side(port_baud: int, device_baud: int) -> None:
    sample = misread(SENTENCES, device_baud=device_baud, port_baud=port_baud)
    order = likely_bauds(sample, port_baud)
    n_same_side = sum((baud < port_baud) == (device_baud < port_baud) for baud in order)
    assert order.index(device_baud) < n_same_side
    assert sorted([*order, port_baud]) == sorted(COMMON_BAUDS)


def test_it_takes_both_time_and_bytes() -> None:
    watch = BaudWatch()
    assert not watch.update(bytes(UNFRAMED_MIN_BYTES), 0, 0)
    assert not watch.update(b"x", 0, UNFRAMED_AFTER_NS - 1)
    assert watch.update(b"x", 0, UNFRAMED_AFTER_NS)
    assert watch.is_wrong
    assert not watch.update(bytes(1000), 0, 2 * UNFRAMED_AFTER_NS), "said once"
    few = BaudWatch()
    few.update(b"x", 0, 0)
    assert not few.update(bytes(UNFRAMED_MIN_BYTES - 2), 0, 10 * UNFRAMED_AFTER_NS), "noise now and then"


def test_a_framed_sentence_ends_it_and_starts_the_count_anew() -> None:
    watch = BaudWatch()
    watch.update(bytes(UNFRAMED_MIN_BYTES), 0, 0)
    watch.update(b"x", 0, UNFRAMED_AFTER_NS)
    assert watch.update(SENTENCES, 9, UNFRAMED_AFTER_NS + 1)
    assert not watch.is_wrong
    assert not watch.update(bytes(UNFRAMED_MIN_BYTES), 9, UNFRAMED_AFTER_NS + 2)
    assert watch.update(b"x", 9, 2 * UNFRAMED_AFTER_NS + 1), "the device changed its rate"


def test_the_message_names_the_rate_and_what_to_do() -> None:
    text = describe("serial:/dev/ttyUSB0?baud=4800", misread(SENTENCES, device_baud=9600, port_baud=4800))
    assert "at 4800 Bd" in text and "likelier rates: 9600" in text and "tagrig scan" in text
    assert "no baud rate to set" in describe("socket://host:1", b"")


def test_where_the_rate_stands() -> None:
    assert find_baud("serial:/dev/ttyUSB0?baud=4800") == 4800
    assert find_baud("serial:/dev/ttyUSB0") == 9600
    assert find_baud("rfc2217://host:1?baud=115200") == 115200
    assert find_baud("pty:/tmp/x") is None
    assert find_baud("a transport of a test") is None
