"""What the bench's own tests share: a tag without I/O, and an emulator process with a plain reader."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rig.emulator.clock import NS_PER_S, SEEDED_START_UTC_NS
from rig.emulator.events import in_order, parse_event
from rig.emulator.firmware import AnkleTagFirmware, Outgoing, TagConfig
from rig.emulator.track import Track, Waypoint, default_track
from rig.emulator.wire import encode_epoch
from rig.local_frame import LocalFrame

ROOT = Path(__file__).parents[2]
FRAME = LocalFrame(51.0, -6.5)


def standing() -> Track:
    return Track(FRAME, [Waypoint(t_s=0, east_m=0, north_m=0)])


def make_tag(*events: str, track: Track | None = None, **settings: Any) -> AnkleTagFirmware:
    config = TagConfig(**{"seed": 1, "start_utc_ns": SEEDED_START_UTC_NS, **settings})
    actions = in_order(action for text in events for action in parse_event(text))
    return AnkleTagFirmware(config, track or default_track(FRAME), actions)


def run_tag(tag: AnkleTagFirmware, until_s: float) -> list[Outgoing]:
    """All that the tag sends up to a time."""
    out: list[Outgoing] = []
    while (due_ns := tag.next_due_ns()) <= until_s * NS_PER_S:
        out += tag.run(due_ns)
    return out


def wire(sent: Sequence[Outgoing]) -> bytes:
    return b"".join(b"".join(encode_epoch(item.epoch, stored=item.stored)) for item in sent)


class EmulatorProcess:
    """``tagrig emulate ankle`` as a user starts it, read with nothing but ``os.read``."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from rig.cli import main; main()", "emulate", "ankle", "--json", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.fd = -1

    def word(self) -> dict[str, Any]:
        """The next JSON line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.process.stderr.read().decode() if self.process.stderr else "", self.process.wait())
        value = json.loads(line)
        assert isinstance(value, dict)
        return value

    def open(self, name: str) -> None:
        self.fd = os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def close_port(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def read_until(self, enough: bytes, *, within_s: float = 20.0) -> bytes:
        """Bytes up to and with a piece of text."""
        data = b""
        deadline = time.monotonic() + within_s
        while enough not in data:
            assert time.monotonic() < deadline, f"no {enough!r} in {data[-400:]!r}"
            data += self._some(0.2)
        return data

    def read_all(self, *, within_s: float = 30.0) -> bytes:
        """Bytes until the port hangs up."""
        data = b""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                data += self._some(0.2)
            except OSError:  # EIO, or nothing from a port that is readable: unplugged
                return data
        raise AssertionError(f"the port never hung up; {len(data)} bytes")

    def _some(self, within_s: float) -> bytes:
        if not select.select([self.fd], [], [], within_s)[0]:
            return b""
        try:
            data = os.read(self.fd, 65_536)
        except BlockingIOError:
            return b""
        if not data:
            raise OSError("hung up")
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_port()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        finally:
            self.process.kill()
            self.process.communicate()
