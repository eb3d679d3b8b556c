"""Diagnosis of a wrong baud rate: bytes arrive, but no sentence ever frames."""

from devices.errors import TransportSpecError
from devices.transports import SCHEMES
from devices.transports.spec import SERIAL_BAUD_DEFAULT, parse_spec

COMMON_BAUDS = (9600, 4800, 115200, 38400, 57600, 19200, 230400)
"""Bd, likeliest first: module default, NMEA 0183, trackers and IMUs, NMEA 0183 high speed, and what users set."""

UNFRAMED_AFTER_NS = 3_000_000_000
"""ns without a framed sentence, while bytes arrive. A receiver that reports once a second frames three times in it;
less would call a device wrong that is merely starting up with a boot message."""
UNFRAMED_MIN_BYTES = 256
"""Bytes without a framed sentence. Three times the longest sentence of the standard: one is sure to lie whole within,
so noise on an open line (a few bytes now and then) is not called a wrong rate."""

SAMPLE_BYTES = 256
"""Bytes kept to tell whether the device is faster or slower than the port."""
SMEARED_SHARE = 0.5
"""Share of bytes without a lone bit, above which the port is taken to be faster than the device. NMEA text through a
simulated UART gives 0.70 to 1.00 where the port is faster, 0.01 to 0.21 where it is slower, over all pairs of
``COMMON_BAUDS`` (``tests/devices/test_baud_watch.py``)."""


class BaudWatch:
    """Watches one opening of a line. Has no clock: time is an argument."""

    def __init__(self) -> None:
        self.is_wrong = False
        self._framed = 0
        self._n_bytes = 0
        self._since_mono_ns: int | None = None
        self._sample = b""

    @property
    def sample(self) -> bytes:
        """The newest bytes that did not frame."""
        return self._sample

    def update(self, data: bytes, framed: int, now_mono_ns: int) -> bool:
        """Take note of a chunk; return whether ``is_wrong`` changed.

        Parameters
        ----------
        data : bytes
        framed : int
            Sentences framed so far on this opening, this chunk included.
        now_mono_ns : int
        """
        if framed != self._framed:
            self._framed = framed
            self._since_mono_ns = now_mono_ns
            self._n_bytes = 0
            self._sample = b""
            was_wrong, self.is_wrong = self.is_wrong, False
            return was_wrong
        if self._since_mono_ns is None:
            self._since_mono_ns = now_mono_ns
        self._n_bytes += len(data)
        self._sample = (self._sample + data)[-SAMPLE_BYTES:]
        if (
            not self.is_wrong
            and self._n_bytes >= UNFRAMED_MIN_BYTES
            and now_mono_ns - self._since_mono_ns >= UNFRAMED_AFTER_NS
        ):
            self.is_wrong = True
            return True
        return False


def find_baud(spec: str) -> int | None:
    """Return the baud rate that a specification string sets, or None where its scheme has none."""
    try:
        parsed = parse_spec(spec, SCHEMES)
        if parsed.scheme not in ("serial", "rfc2217"):
            return None
        return parsed.integer("baud", SERIAL_BAUD_DEFAULT, low=1, high=1 << 31)
    except TransportSpecError:
        return None


def likely_bauds(sample: bytes, configured: int) -> list[int]:
    """Return the common rates other than the configured one, likeliest first by what the bytes look like.

    A port faster than the device sees every bit twice or more, so that hardly a byte has a lone bit; then the slower
    rates come first, else the faster ones. A hint, not a measurement: ``tagrig scan`` measures.
    """
    others = [baud for baud in COMMON_BAUDS if baud != configured]
    smeared = sum(not _has_lone_bit(byte) for byte in sample)
    is_slower = bool(sample) and smeared / len(sample) > SMEARED_SHARE
    return sorted(others, key=lambda baud: (baud < configured) != is_slower)


def _has_lone_bit(byte: int) -> bool:
    """Whether a bit differs from both its neighbours in the frame: start bit 0, data from the lowest, stop bit 1."""
    frame = (byte << 1) | 0x200
    changes = frame ^ (frame >> 1)
    return bool(changes & (changes >> 1) & 0xFF)


def describe(spec: str, sample: bytes) -> str:
    """Say for a person what was found and what to do."""
    baud = find_baud(spec)
    seen = f"{UNFRAMED_MIN_BYTES} bytes and {UNFRAMED_AFTER_NS // 1_000_000_000} s without one NMEA sentence"
    if baud is None:
        return f"{spec}: {seen}; this line has no baud rate to set, so the device sends something else"
    rates = ", ".join(str(rate) for rate in likely_bauds(sample, baud))
    return f"{spec}: {seen} at {baud} Bd; likelier rates: {rates}. Next: 'tagrig scan' tries them"
