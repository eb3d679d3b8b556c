"""The link itself, as a process: two TUN devices in two namespaces, and what happens to packets between them.

The kernel here may have no netem; this stands in for it, with real packets of real TCP stacks on both sides.

Each line on its standard input is a `Condition` in JSON and is in force from the next packet on; each is answered with
a line of `Counters`. It ends with its standard input.
"""

import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import sys
import time
from pathlib import Path

import msgspec

from rig.netlink.namespaces import enter_namespace

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000

DEVICE = "tun0"

READ_MAX = 65_536
"""Longest packet that IP allows, bytes."""

BURST = 64
"""Packets read from one device before the other gets its turn."""

HELD_MAX = 20_000
"""Packets on their way at most, as a router's queue: 30 MB. Beyond it they are dropped and counted."""


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the link does to packets: one-way delay, share that is lost, and whether anything passes at all."""

    delay_ms: float = 0.0
    loss_pct: float = 0.0
    blocked: bool = False


class Counters(msgspec.Struct, frozen=True):
    """Packets so far."""

    forwarded: int
    dropped: int


def open_tun(namespace: str) -> int:
    """Make the device in a namespace and give its descriptor; this process stays in that namespace."""
    enter_namespace(namespace)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    return tun


class _Link:
    def __init__(self, near: int, far: int, seed: int) -> None:
        self._other = {near: far, far: near}
        self._held: list[tuple[int, int, int, bytes]] = []
        self._order = itertools.count()
        self._random = random.Random(seed)
        self.condition = Condition()
        self.forwarded = 0
        self.dropped = 0

    def take(self, device: int) -> None:
        """Read what a device has to send, and hold it for as long as the link takes."""
        for _ in range(BURST):
            try:
                packet = os.read(device, READ_MAX)
            except BlockingIOError:
                return
            condition = self.condition
            lost = condition.loss_pct > 0 and self._random.uniform(0, 100) < condition.loss_pct
            if condition.blocked or lost or len(self._held) >= HELD_MAX:
                self.dropped += 1
                continue
            due_ns = time.monotonic_ns() + int(condition.delay_ms * 1e6)
            heapq.heappush(self._held, (due_ns, next(self._order), self._other[device], packet))

    def give(self) -> float | None:
        """Hand over what is due; how long until the next is, None: nothing is on its way."""
        while self._held:
            wait_ns = self._held[0][0] - time.monotonic_ns()
            if wait_ns > 0:
                return wait_ns / 1e9
            _, _, device, packet = heapq.heappop(self._held)
            try:
                os.write(device, packet)
            except OSError:  # the device's queue is full: a router drops then too
                self.dropped += 1
            else:
                self.forwarded += 1
        return None


def main(near_namespace: str, far_namespace: str, seed: str) -> None:
    """Forward until standard input ends."""
    near, far = open_tun(near_namespace), open_tun(far_namespace)
    link = _Link(near, far, int(seed))
    orders = Path("/dev/stdin").open("rb", buffering=0)  # noqa: SIM115  # lives as long as the process
    poll = select.poll()
    for each in (near, far, orders.fileno()):
        poll.register(each, select.POLLIN)
    pending = b""
    _say(link)
    while True:
        wait_s = link.give()
        for ready, _ in poll.poll(None if wait_s is None else wait_s * 1e3):
            if ready != orders.fileno():
                link.take(ready)
                continue
            read = os.read(ready, READ_MAX)
            if not read:
                return
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                link.condition = msgspec.json.decode(line, type=Condition)
                _say(link)


def _say(link: _Link) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(Counters(forwarded=link.forwarded, dropped=link.dropped)) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
