"""One suite for every power switch: what stands behind it is played for real, and says whether it has power."""

import asyncio
import contextlib
import os
import select
import sys
import threading
import tty
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devices.clock import SystemClock
from devices.modem_lines import ModemLine
from rig.bench.errors import PowerError
from rig.bench.power.base import PowerSwitch, power_cycle
from rig.bench.power.command import CommandSwitch
from rig.bench.power.emulated import EmulatedSwitch
from rig.bench.power.manual import ManualSwitch
from rig.bench.power.serial_line import SerialLineSwitch
from tests.conformance.transport_rigs import PortManagerServer
from tests.support import LOOPBACK, free_port


class Load(ABC):
    """What is switched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def switch(self) -> PowerSwitch: ...

    @abstractmethod
    def broken(self) -> PowerSwitch:
        """A switch that cannot switch."""

    @property
    @abstractmethod
    def has_power(self) -> bool: ...

    def start(self) -> None:  # noqa: B027 - not every load needs it
        pass

    def stop(self) -> None:  # noqa: B027 - not every load needs it
        pass


class SerialLoad(Load):
    line = ModemLine.DTR
    on_is_high = True

    def start(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.port = free_port()
        self.server = PortManagerServer(os.ttyname(self.slave), self.port)

    def switch(self) -> PowerSwitch:
        return SerialLineSwitch(f"rfc2217://{LOOPBACK}:{self.port}", self.line, on_is_high=self.on_is_high)

    def broken(self) -> PowerSwitch:
        return SerialLineSwitch(os.ttyname(self.slave), self.line, on_is_high=True)

    @property
    def has_power(self) -> bool:
        level = getattr(self.server.serial, self.line.value)
        return bool(level) == self.on_is_high

    def stop(self) -> None:
        self.server.stop()
        os.close(self.slave)
        os.close(self.master)


class RtsActiveLowLoad(SerialLoad):
    line = ModemLine.RTS
    on_is_high = False


class CommandLoad(Load):
    def switch(self) -> PowerSwitch:
        write = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
        argv = [sys.executable, "-c", write, f"{self.folder}/{{port}}"]
        return CommandSwitch([*argv, "on"], [*argv, "off"], fields={"port": "state"}, timeout_s=20)

    def broken(self) -> PowerSwitch:
        fails = [sys.executable, "-c", "import sys; sys.exit('no such hub')"]
        return CommandSwitch(fails, fails, fields={}, timeout_s=20)

    @property
    def has_power(self) -> bool:
        return (self.folder / "state").read_text() == "on"


class ManualLoad(Load):
    """A person at a terminal, who does what he is told."""

    def start(self) -> None:
        self.state = ""
        self.master, self.slave = os.openpty()
        self.ended = threading.Event()
        self.person = threading.Thread(target=self._obey)
        self.person.start()

    def _obey(self) -> None:
        heard = b""
        while not self.ended.is_set():
            if select.select([self.master], [], [], 0.01)[0]:
                heard += os.read(self.master, 1024)
            if heard.endswith(b"press Enter: "):
                self.state = "on" if b"offender on," in heard else "off"
                heard = b""
                os.write(self.master, b"\n")

    def switch(self) -> PowerSwitch:
        return ManualSwitch("offender", timeout_s=20, terminal=os.ttyname(self.slave))

    def broken(self) -> PowerSwitch:
        return ManualSwitch("offender", timeout_s=20, terminal=str(self.folder / "no-terminal"))

    @property
    def has_power(self) -> bool:
        return self.state == "on"

    def stop(self) -> None:
        self.ended.set()
        self.person.join()
        os.close(self.slave)
        os.close(self.master)


class EmulatedLoad(Load):
    def switch(self) -> PowerSwitch:
        return EmulatedSwitch(self.folder / "tag")

    def broken(self) -> PowerSwitch:
        return EmulatedSwitch(self.folder / "tag", ["--profile", "nowhere"])

    @property
    def has_power(self) -> bool:
        return (self.folder / "tag").exists()


LOADS = {"serial": SerialLoad, "rts, low": RtsActiveLowLoad, "command": CommandLoad, "manual": ManualLoad}
LOADS["emulated"] = EmulatedLoad


@pytest.fixture(params=LOADS.values(), ids=LOADS.keys())
async def load(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Load]:
    made: Load = request.param(tmp_path)
    made.start()
    try:
        yield made
    finally:
        await asyncio.to_thread(made.stop)


async def test_on_and_off_reach_the_device_in_any_state_and_twice(load: Load) -> None:
    switch = load.switch()
    try:
        assert switch.is_on is None
        await switch.on()
        assert (switch.is_on, load.has_power) == (True, True)
        await switch.on()
        assert load.has_power
        await switch.off()
        assert (switch.is_on, load.has_power) == (False, False)
        await switch.off()
        await switch.on()
        assert load.has_power
        assert switch.name
    finally:
        await switch.close()
        await switch.close()


async def test_a_switch_that_cannot_switch_says_so(load: Load) -> None:
    switch = load.broken()
    try:
        with pytest.raises(PowerError, match="Next: "):
            await switch.on()
        assert switch.is_on is None
    finally:
        await switch.close()


async def test_a_power_cycle_waits_for_the_port(tmp_path: Path) -> None:
    load = EmulatedLoad(tmp_path)
    switch = load.switch()
    try:
        await switch.on()
        before = (tmp_path / "tag").resolve()
        took_s = await power_cycle(
            switch, SystemClock(), is_there=lambda: load.has_power, off_s=0.05, ready_s=20, port_vanishes=True
        )
        assert took_s >= 0
        assert load.has_power
        assert before.name  # its number may be another one now; the link leads to it
    finally:
        await switch.close()


class Stuck:
    """A relay that clicks and switches nothing that we can see."""

    name = "relay 3"
    is_on: bool | None = None

    async def on(self) -> None:
        self.is_on = True

    async def off(self) -> None:
        self.is_on = False

    async def close(self) -> None:
        pass


async def test_a_port_that_stays_or_does_not_come_back_ends_the_cycle() -> None:
    from tests.devices.manual_clock import ManualClock

    async def cycle(*, there: bool, vanishes: bool) -> None:
        clock = ManualClock()
        task = asyncio.create_task(
            power_cycle(Stuck(), clock, is_there=lambda: there, off_s=2.0, ready_s=15.0, port_vanishes=vanishes)
        )
        while not task.done():
            await clock.advance(1_000_000_000)
        await task

    with pytest.raises(PowerError, match="relay 3: 5 s after it was switched off the port is still there"):
        await cycle(there=True, vanishes=True)
    with pytest.raises(PowerError, match="relay 3: the port did not come back within 15 s of power"):
        await cycle(there=False, vanishes=True)
    await cycle(there=True, vanishes=False)


async def test_nobody_at_the_terminal_and_a_program_that_hangs_end_by_their_deadlines(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        with pytest.raises(PowerError, match=r"nobody said within 0\.1 s that it is off"):
            await ManualSwitch("victim", timeout_s=0.1, terminal=os.ttyname(slave)).off()
    finally:
        with contextlib.suppress(OSError):
            os.close(slave)
        os.close(master)
    with pytest.raises(PowerError, match=r"did not end within 0\.1 s"):
        await CommandSwitch(["sleep", "60"], ["true"], fields={}, timeout_s=0.1).on()
    with pytest.raises(PowerError, match="cannot be started: No such file"):
        await CommandSwitch(["/no/such/program"], ["true"], fields={}, timeout_s=1).on()
