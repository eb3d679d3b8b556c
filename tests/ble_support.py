"""What tests of Bluetooth share: a bench of emulated tags behind an emulated org.bluez, and waiting.

::

    from tests.ble_support import ble_bench, find, until

    __all__ = ["ble_bench"]

    async def test_something(ble_bench: BleBench) -> None:
        tag = await ble_bench.add(PlainTag(ble_bench.air))
        async with BleakClient(await find(tag)) as client: ...
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable

import pytest
from bleak import BleakScanner
from bleak.backends.device import BLEDevice

from rig.ble.bench import BenchTag, BleBench
from rig.ble.front.options import FrontOptions

BUS_VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"


@pytest.fixture
async def ble_bench(request: pytest.FixtureRequest) -> AsyncIterator[BleBench]:
    """A started bench, with the variable set that leads every driver to it.

    ``@pytest.mark.parametrize("ble_bench", [FrontOptions(...)], indirect=True)`` sets its options.
    """
    options = getattr(request, "param", None) or FrontOptions()
    with pytest.MonkeyPatch.context() as patch:
        async with BleBench(options=options) as bench:
            patch.setenv(BUS_VARIABLE, bench.bus_address)
            assert os.environ[BUS_VARIABLE] == bench.bus_address
            yield bench


async def until(condition: Callable[[], bool], what: str, *, within_s: float = 20.0) -> None:
    """Wait for a condition against a deadline on the monotonic clock; fail with what was awaited."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not condition():
        if loop.time() > deadline:
            pytest.fail(f"{what} did not happen within {within_s} s")
        await asyncio.sleep(0.002)


async def find(tag: BenchTag | str, *, within_s: float = 20.0) -> BLEDevice:
    """Find a tag by its address, with bleak."""
    address = tag if isinstance(tag, str) else tag.peripheral.address
    device = await BleakScanner.find_device_by_address(address, timeout=within_s)
    if device is None:
        pytest.fail(f"{address} was not found within {within_s} s")
    return device
