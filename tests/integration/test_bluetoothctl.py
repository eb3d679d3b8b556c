"""An independent judge: Debian's ``bluetoothctl`` against the emulated org.bluez."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rig.ble.bench import BleBench
from rig.ble.front.options import FrontOptions
from rig.ble.pairing import Pairing
from rig.ble.plain_tag import BATTERY_LEVEL, SEALED, PlainTag
from tests.ble_support import until
from tests.support import find_part

ADDRESS = "C0:DE:00:00:00:01"
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|[\x01\x02\r]")


class Control:
    """A running bluetoothctl that is typed at and read."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said = ""

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def hear(self, text: str, *, within_s: float = 10.0) -> str:
        """Read until `text` was said; give all that was said, and start anew."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within_s):
                while text not in self.said:
                    data = await self._process.stdout.read(4096)
                    if not data:
                        pytest.fail(f"bluetoothctl ended; it said {self.said!r}")
                    self.said += _COLOURS.sub("", data.decode(errors="replace"))
        except TimeoutError:
            pytest.fail(f"bluetoothctl did not say {text!r} within {within_s} s, but {self.said!r}")
        before, _, self.said = self.said.partition(text)
        return before + text


@asynccontextmanager
async def bluetoothctl(bench: BleBench, home: Path, *arguments: str) -> AsyncIterator[Control]:
    executable = find_part("bluetoothctl")
    assert executable is not None
    process = await asyncio.create_subprocess_exec(
        executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # The history file goes to the home folder.
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bench.bus_address, "HOME": str(home), "TERM": "dumb"},
    )
    control = Control(process)
    try:
        yield control
        control.type("quit")
        async with asyncio.timeout(10):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        assert process.stdin is not None
        process.stdin.close()
        # The pipe's transport is closed a turn of the loop after the process.
        await asyncio.sleep(0)


@pytest.mark.needs("bluetoothctl")
@pytest.mark.parametrize(
    "daemon", [False, pytest.param(True, marks=pytest.mark.needs("dbus-daemon"))], ids=["mini bus", "dbus-daemon"]
)
async def test_it_scans_connects_reads_the_battery_and_disconnects(tmp_path: Path, daemon: bool) -> None:
    async with BleBench(daemon=daemon) as bench:
        tag = await bench.add(PlainTag(bench.air, name="bench-tag", address=ADDRESS))
        async with bluetoothctl(bench, tmp_path) as control:
            await control.hear("Agent registered")
            control.type("scan on")
            await control.hear(f"Device {ADDRESS} bench-tag")
            control.type("scan off")
            await control.hear("Discovery stopped")
            control.type(f"connect {ADDRESS}")
            await control.hear("Connection successful")
            assert tag.peripheral.connected
            control.type(f"info {ADDRESS}")
            told = await control.hear("Battery Service")
            assert "Connected: yes" in told
            control.type("menu gatt")
            control.type(f"select-attribute {BATTERY_LEVEL}")
            await control.hear("bench-tag:/service")
            control.type("read")
            await control.hear("Attempting to read")
            assert " 57 " in await control.hear("W"), "the battery's 87 per cent as a hex dump"
            control.type("back")
            control.type(f"disconnect {ADDRESS}")
            await control.hear("Successful disconnected")
            await until(lambda: not tag.peripheral.connected, "the end of the link")


@pytest.mark.needs("bluetoothctl")
async def test_its_agent_types_the_passkey_of_the_label(tmp_path: Path) -> None:
    async with BleBench(options=FrontOptions()) as bench:
        tag = await bench.add(
            PlainTag(bench.air, name="bench-tag", address=ADDRESS, pairing=Pairing.PASSKEY, passkey=314159)
        )
        async with bluetoothctl(bench, tmp_path, "--agent", "KeyboardDisplay") as control:
            await control.hear("Agent registered")
            control.type("default-agent")
            await control.hear("Default agent request successful")
            control.type("scan on")
            await control.hear(f"Device {ADDRESS}")
            control.type(f"pair {ADDRESS}")
            await control.hear("Enter passkey")
            control.type("314159")
            await control.hear("Pairing successful")
            control.type("menu gatt")
            control.type(f"select-attribute {SEALED}")
            control.type("read")
            await control.hear("sealed")
            assert tag.peripheral.encrypted
            control.type("back")
