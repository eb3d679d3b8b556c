"""One way to run a value: whole, cut at every length, and with bytes behind it."""

from collections.abc import Callable
from typing import TypeVar

from protocols.rejects import Reject, RejectReason

T = TypeVar("T")


def read(decode: Callable[[bytes], T | Reject], data: bytes) -> T:
    found = decode(data)
    assert not isinstance(found, Reject), found
    return found


def refused(decode: Callable[[bytes], object], data: bytes) -> Reject:
    found = decode(data)
    assert isinstance(found, Reject), found
    assert found.raw == data
    assert found.detail
    assert 0 <= found.offset <= len(data)
    return found


def check_value(decode: Callable[[bytes], T | Reject], data: bytes, expected: T) -> None:
    """``data`` is ``expected``; no beginning of it is a value, nor is it with anything behind."""
    assert read(decode, data) == expected
    assert read(decode, memoryview(data).tobytes()) == expected
    for octets in range(len(data)):
        reject = refused(decode, data[:octets])
        assert (reject.reason, reject.offset) == (RejectReason.CUT_SHORT, octets)
    for trailer in (b"\x00", b"\xff", data):
        reject = refused(decode, data + trailer)
        assert (reject.reason, reject.offset) == (RejectReason.OVERLONG, len(data))
