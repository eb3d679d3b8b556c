"""Thousands of emulated tags in one process, each behind an address of its own on loopback.

One listening socket takes connections to all of 127/8, but from this machine only; which address was called says which
tag answers. Each tag reports every so many seconds and crosses the middle of the made-up zone once in a while. Lines on
standard input: ``period SECONDS``; the end of standard input ends it. Lines on standard output: JSON.
"""

import contextlib
import heapq
import json
import os
import selectors
import socket
import sys
import time

from protocols.nmea.encode import encode_gga, encode_rmc
from protocols.nmea.tag import encode_status
from protocols.reports import Closure, Jamming
from tests.bridge.support import LAT, LON, METRE_DEG

PER_ROW = 250
"""Addresses used of the last octet."""

OUTSIDE_M, INSIDE_M = 500.0, 20.0


def address(tag: int) -> str:
    """Where a tag listens."""
    row, column = divmod(tag, PER_ROW)
    return f"127.1.{row}.{column + 1}"


def tag_of(host: str) -> int:
    """Which tag an address is."""
    _, _, row, column = host.split(".")
    return int(row) * PER_ROW + int(column) - 1


def report(tag: int, number: int, north_m: float, t_utc_ns: int) -> bytes:
    """One fix and one status, as a tag sends them."""
    lat = LAT + north_m * METRE_DEG
    return (
        encode_rmc(t_utc_ns=t_utc_ns, lat_deg=lat, lon_deg=LON)
        + encode_gga(t_utc_ns=t_utc_ns, lat_deg=lat, lon_deg=LON, satellites_used=9, hdop=0.9)
        + encode_status(
            sequence=number % 65_536,
            stored=False,
            strap=Closure.CLOSED,
            case=Closure.CLOSED,
            shielded=False,
            jamming=Jamming.NONE,
            battery_pct=90,
            battery_mv=3900,
            charging=False,
            motion=True,
            temperature_c=21.5,
            firmware="1.0",
            t_status_utc_ns=t_utc_ns,
        )
    )


class Fleet:
    """All tags, their lines, and when each reports next."""

    def __init__(self, tags: int, port: int, period_s: float, cross_every: int) -> None:
        self._tags = tags
        self._period_s = period_s
        self._cross_every = cross_every
        self._lines: dict[int, socket.socket] = {}
        self._numbers = [0] * tags
        self._inside = [False] * tags
        self.sent = self.unheard = self.lost = 0
        self._selector = selectors.DefaultSelector()
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        self._server.bind(("0.0.0.0", port))
        self._server.listen(4096)
        self._server.setblocking(False)
        self.port = self._server.getsockname()[1]
        self._selector.register(self._server, selectors.EVENT_READ)
        os.set_blocking(0, False)
        self._selector.register(0, selectors.EVENT_READ)
        now = time.monotonic()
        self._due = [(now + period_s * tag / tags, tag) for tag in range(tags)]

    def run(self) -> None:
        """Report until standard input ends."""
        while True:
            now = time.monotonic()
            while self._due[0][0] <= now:
                due, tag = self._due[0]
                heapq.heapreplace(self._due, (due + self._period_s, tag))
                self._report(tag)
            for key, _ in self._selector.select(max(0.0, min(0.1, self._due[0][0] - time.monotonic()))):
                if key.fileobj is self._server:
                    self._accept()
                elif key.fileobj == 0:
                    if not self._obey(os.read(0, 4096)):
                        return
                else:
                    self._drain(key.data)

    def _report(self, tag: int) -> None:
        line = self._lines.get(tag)
        number = self._numbers[tag] = self._numbers[tag] + 1
        # Neighbours cross at different times, so that the alerts are spread over the whole of it.
        self._inside[tag] = (number + tag) // self._cross_every % 2 == 1
        if line is None:
            self.unheard += 1
            return
        body = report(tag, number, INSIDE_M if self._inside[tag] else OUTSIDE_M, time.time_ns())
        try:
            done = line.send(body)
        except BlockingIOError:
            done = 0
        except OSError:
            self._hang_up(tag)
            return
        self.sent += done == len(body)
        self.lost += done != len(body)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                line, _ = self._server.accept()
                tag = tag_of(line.getsockname()[0])
                self._hang_up(tag)
                line.setblocking(False)
                self._lines[tag] = line
                self._selector.register(line, selectors.EVENT_READ, tag)

    def _drain(self, tag: int) -> None:
        line = self._lines.get(tag)
        try:
            if line is not None and not line.recv(4096):
                self._hang_up(tag)
        except BlockingIOError:
            return
        except OSError:
            self._hang_up(tag)

    def _hang_up(self, tag: int) -> None:
        line = self._lines.pop(tag, None)
        if line is not None:
            self._selector.unregister(line)
            line.close()

    def _obey(self, data: bytes) -> bool:
        if not data:
            return False
        for text in data.decode().splitlines():
            match text.split():
                case ["period", value]:
                    self._set_period(float(value))
                case ["tell"]:
                    self.tell("told")
        return True

    def _set_period(self, period_s: float) -> None:
        self._period_s = period_s
        # From one period on, so that a period without an end holds every tag.
        first = time.monotonic() + period_s
        self._due = [(first + period_s * tag / self._tags, tag) for tag in range(self._tags)]

    def tell(self, event: str) -> None:
        """One line about everything."""
        told = {
            "event": event,
            "port": self.port,
            "connected": len(self._lines),
            "sent": self.sent,
            "unheard": self.unheard,
            "lost": self.lost,
            "inside": "".join("1" if each else "0" for each in self._inside),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    fleet = Fleet(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    fleet.tell("ready")
    fleet.run()
    fleet.tell("ended")
