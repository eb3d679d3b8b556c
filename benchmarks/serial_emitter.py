"""A process of its own that says bursts on a pseudo-terminal and notes when it wrote each.

Prints the terminal's path, then obeys lines ``<count> <shortest gap us> <longest gap us>`` on its standard input and
answers each with one line: CLOCK_MONOTONIC just before each write, in ns. A burst is one epoch of an ankle tag: RMC,
GGA, GSA, GST, and the status that closes it.
"""

import os
import random
import sys
import time
import tty

from protocols.nmea.encode import encode_gga, encode_gsa, encode_gst, encode_rmc
from protocols.nmea.tag import encode_status
from protocols.reports import Closure, FixMode, Jamming

T0_UTC_NS = 1_735_689_600_000_000_000
"""2025-01-01T00:00:00Z; each burst is one second later."""


def burst(n: int) -> bytes:
    """One epoch."""
    t_utc_ns = T0_UTC_NS + n * 1_000_000_000
    lat_deg, lon_deg = 50.2 + n * 1e-6, 4.36 - n * 1e-6
    return (
        encode_rmc(t_utc_ns=t_utc_ns, lat_deg=lat_deg, lon_deg=lon_deg, speed_mps=1.2, course_deg=80.0)
        + encode_gga(t_utc_ns=t_utc_ns, lat_deg=lat_deg, lon_deg=lon_deg, satellites_used=9, hdop=0.9, alt_m=57.0)
        + encode_gsa(mode=FixMode.THREE_D, satellites=[2, 5, 11, 13, 20, 29, 31], pdop=1.7, hdop=0.9, vdop=1.4)
        + encode_gst(
            t_utc_ns=t_utc_ns,
            semi_major_m=2.1,
            semi_minor_m=1.6,
            orientation_deg=30.0,
            lat_sigma_m=1.9,
            lon_sigma_m=1.8,
            alt_sigma_m=3.0,
        )
        + encode_status(
            sequence=n,
            stored=False,
            strap=Closure.CLOSED,
            case=Closure.CLOSED,
            shielded=False,
            jamming=Jamming.NONE,
            battery_pct=80,
            battery_mv=3900,
            charging=False,
            motion=True,
            temperature_c=30.0,
            firmware="1.0.0",
            t_status_utc_ns=t_utc_ns,
        )
    )


def main() -> None:
    """Serve until standard input ends."""
    master, slave = os.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)  # noqa: T201 - the line protocol of this process
    rng = random.Random(3)
    n = 0
    for line in sys.stdin:
        count, low_us, high_us = (int(word) for word in line.split())
        due_ns = time.monotonic_ns()
        stamps = []
        for _ in range(count):
            n += 1
            data = burst(n)
            due_ns += rng.randrange(low_us, high_us + 1) * 1000
            if (left_ns := due_ns - time.monotonic_ns()) > 0:
                time.sleep(left_ns / 1e9)
            stamps.append(time.monotonic_ns())
            os.write(master, data)
        print(*stamps, flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main()
