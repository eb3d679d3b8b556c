"""``replay:FILE?pace=recorded|xN|max``: a capture, or a raw log (``.nmea``, ``.log``, also gzip), heard again.

Paced on the injected clock by absolute wake-up times, so that errors do not add up. Stamps: ``t_rx_mono_ns`` is the
clock's now at the moment of handing on, at any pace, so that latencies are those of this run; ``t_rx_utc_ns`` is the
recorded UTC for a capture (the age of a fix then comes out as it was) and the clock's UTC for a raw log.
"""

import asyncio
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from devices.capture import is_capture, read_capture
from devices.clock import Clock
from devices.errors import CaptureError, TransportClosedError, TransportEndedError, TransportError, TransportOpenError
from devices.transports.base import Chunk, Transport
from devices.transports.raw_log import read_raw_log
from devices.transports.spec import TransportSpec

_PACE = re.compile(r"x(\d+(?:\.\d+)?)")
RATE_MAX_BYTES_PER_S = 10_000_000
"""Bytes a second. Above it ``pace=max`` is what is meant."""


def from_spec(spec: TransportSpec, clock: Clock) -> Transport:
    """Return the transport for ``replay:FILE[?pace=recorded|xN|max][&rate=BYTES_PER_S]``."""
    spec.check_options("pace", "rate")
    if not spec.target:
        raise spec.error("expected a file, for example replay:drive.nmea?pace=x10")
    pace = spec.options.get("pace", "recorded")
    found = _PACE.fullmatch(pace)
    speed: float | None
    if pace == "recorded":
        speed = 1.0
    elif pace == "max":
        speed = None
    elif found and float(found[1]) > 0:
        speed = float(found[1])
    else:
        raise spec.error(f"option pace={pace!r}: expected recorded, max, or a factor such as x10")
    rate = None
    if "rate" in spec.options:
        rate = spec.decimal("rate", 0.0, low=1, high=RATE_MAX_BYTES_PER_S)
    return ReplayTransport(spec, clock, speed=speed, bytes_per_s=rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    data: bytes
    due_ns: int
    t_utc_ns: int | None


class ReplayTransport:
    """A recording in the place of a device. What is sent to it goes nowhere.

    Parameters
    ----------
    speed : float or None
        Times the recorded pace; None is as fast as it is received.
    bytes_per_s : float or None
        Paces a raw log by bytes (``raw_log``).
    """

    def __init__(self, spec: TransportSpec, clock: Clock, *, speed: float | None, bytes_per_s: float | None) -> None:
        self._spec = spec
        self._clock = clock
        self._speed = speed
        self._bytes_per_s = bytes_per_s
        self._path = Path(spec.target).expanduser()
        self._source: Generator[_Due, None, None] | None = None
        self._next: _Due | None = None
        self._over = "the recording is over"
        self._start_mono_ns = 0
        self._is_open = False
        self._was_open = False
        self._is_receiving = False
        self._closing: asyncio.Future[None] | None = None

    @property
    def spec(self) -> str:
        """The specification string this transport was made from."""
        return self._spec.text

    async def open(self) -> None:
        """Start the recording from its beginning."""
        if self._is_open and (self._source is not None or self._next is not None):
            raise TransportOpenError(f"{self.spec}: is open already; close it first")
        try:
            self._source = self._read()
            self._next = next(self._source, None)
        except FileNotFoundError as exc:
            raise TransportOpenError(f"{self.spec}: {self._path} does not exist. Next: check the path") from exc
        except CaptureError as exc:
            raise TransportOpenError(f"{self.spec}: {exc}") from exc
        except OSError as exc:
            raise TransportOpenError(f"{self.spec}: cannot read {self._path}: {exc.args[-1]}") from exc
        self._over = "the recording is over"
        self._start_mono_ns = self._clock.mono_ns()
        self._closing = asyncio.get_running_loop().create_future()
        self._is_open = self._was_open = True

    def _read(self) -> Generator[_Due, None, None]:
        if is_capture(self._path):
            _, chunks = read_capture(self._path)
            first_mono_ns: int | None = None
            for chunk in chunks:
                if first_mono_ns is None:
                    first_mono_ns = chunk.t_rx_mono_ns
                yield _Due(data=chunk.data, due_ns=chunk.t_rx_mono_ns - first_mono_ns, t_utc_ns=chunk.t_rx_utc_ns)
            return
        for timed in read_raw_log(self._path, bytes_per_s=self._bytes_per_s):
            yield _Due(data=timed.data, due_ns=timed.due_ns, t_utc_ns=None)

    async def receive(self) -> Chunk:
        """Wait until the next bytes are due and return them."""
        self._raise_if_closed()
        if self._is_receiving:
            raise TransportError(f"{self.spec}: another task waits in receive() already; only one may")
        due = self._next
        if due is None:
            self._source = None
            raise TransportEndedError(f"{self.spec}: {self._over}")
        self._is_receiving = True
        try:
            await self._wait_for(due)
        finally:
            self._is_receiving = False
        self._raise_if_closed()
        self._advance()
        return Chunk(
            data=due.data,
            t_rx_mono_ns=self._clock.mono_ns(),
            t_rx_utc_ns=self._clock.utc_ns() if due.t_utc_ns is None else due.t_utc_ns,
        )

    def _advance(self) -> None:
        try:
            self._next = None if self._source is None else next(self._source, None)
        except OSError as exc:
            self._next = None
            self._over = f"the recording cannot be read further: {exc.args[-1]}"

    async def _wait_for(self, due: _Due) -> None:
        mono_ns = self._start_mono_ns + (0 if self._speed is None else round(due.due_ns / self._speed))
        if self._clock.mono_ns() >= mono_ns:
            # Lets the other tasks run: a source that is always ready would starve them.
            await asyncio.sleep(0)
            return
        assert self._closing is not None
        sleeper = asyncio.ensure_future(self._clock.sleep_until(mono_ns))
        try:
            await asyncio.wait((sleeper, self._closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()

    def _raise_if_closed(self) -> None:
        if not self._is_open:
            text = "closed" if self._was_open else "not open; call open() first"
            raise TransportClosedError(f"{self.spec}: {text}")

    async def send(self, data: bytes) -> None:
        """Take bytes and let them go: nobody is there to hear them."""
        self._raise_if_closed()

    async def close(self) -> None:
        """Stop the recording."""
        self._is_open = False
        if self._source is not None:
            self._source.close()
        self._source = self._next = None
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)
