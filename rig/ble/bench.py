"""A bench of emulated tags that any Bluetooth program on Linux can use, in this process.

::

    async with BleBench() as bench:
        tag = await bench.add(PlainTag(bench.air, name="tag-1", address="C0:DE:00:00:00:01"))
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = bench.bus_address    # the only thing a driver sees of it
        async with BleakClient("C0:DE:00:00:00:01") as client: ...
        await bench.fault("out_of_range", tag="tag-1")               # see rig.ble.faults
        await bench.clear("out_of_range", tag="tag-1")

A tag is anything with ``name``, ``peripheral``, ``start()`` and ``stop()``; its peripheral's name is the tag's. Tests
take the fixture ``ble_bench`` of ``tests.ble_support``, which sets the variable as well. For more than 20 tags, or
where time is asserted, `rig.ble.bench_process.BleBenchProcess` holds the same in a process of its own.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from rig.ble.air import Air, Radio
from rig.ble.central import CentralRadio
from rig.ble.daemon_bus import DaemonBus
from rig.ble.errors import FrontMisuseError
from rig.ble.faults import Undo, apply_fault
from rig.ble.front.bluez import BluezFront
from rig.ble.front.options import FrontOptions
from rig.ble.hci_port import HciPort, open_hci_port
from rig.ble.mini_bus import MiniBus
from rig.ble.peripheral import Peripheral
from rig.ble.snoop import SnoopFile


class BenchTag(Protocol):
    """What a bench needs of a tag."""

    @property
    def name(self) -> str:
        """Its name on the bench."""

    @property
    def peripheral(self) -> Peripheral:
        """Its radio."""

    async def start(self) -> None:
        """Switch it on."""

    async def stop(self) -> None:
        """Switch it off."""


TagT = TypeVar("TagT", bound=BenchTag)


class BleBench:
    """Tags, air, adapter, emulated bluetoothd and bus.

    Parameters
    ----------
    folder : Path, optional
        Where captures go: ``hci0.btsnoop``, what ``btmon`` would write at the adapter. None: no captures.
    options : FrontOptions, optional
        How the emulated bluetoothd behaves.
    seed : int
        Fixes the air's randomness.
    hci : str, optional
        A real controller for the adapter, such as ``usb:0``: the same front, no emulated air.
    daemon : bool
        Sit on a dbus-daemon process of its own instead of the bench's own bus; slower, and needs one on PATH.
    capture_tags : bool
        Whether each tag's HCI is captured too, as ``NAME.btsnoop``.
    utc_ns : callable
        Stamps the captures.

    Attributes
    ----------
    air : Air
        Where tags are put.
    front : BluezFront
        The emulated bluetoothd.
    bus : MiniBus or DaemonBus
        The bus that clients see.
    tags : dict of str to tag
        The tags by name.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        options: FrontOptions | None = None,
        seed: int = 1,
        hci: str | None = None,
        daemon: bool = False,
        capture_tags: bool = False,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.folder = folder
        self.options = options or FrontOptions()
        self.air = Air(seed)
        self.tags: dict[str, Any] = {}
        self._hci = hci
        self._port: HciPort | None = None
        self._capture_tags = capture_tags
        self._utc_ns = utc_ns
        self._socket_folder: str | None = None
        self._front: BluezFront | None = None
        self._daemon = daemon
        self._bus: MiniBus | DaemonBus | None = None
        self._undo: dict[tuple[str, str | None], Undo] = {}

    # --- life ---------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start bus, adapter and bluetoothd."""
        # A socket's path is short; a run's folder need not be.
        self._socket_folder = tempfile.mkdtemp(prefix="tagrig-ble-")
        try:
            path = Path(self._socket_folder) / "bus"
            self._bus = DaemonBus(path) if self._daemon else MiniBus(path)
            await self._bus.open()
            if self._hci is not None:
                self._port = await open_hci_port(self._hci)
            radio = CentralRadio(self._port or self.air, name=self.options.adapter, address=self.options.address)
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                radio.capture(SnoopFile(self.folder / f"{self.options.adapter}.btsnoop", utc_ns=self._utc_ns))
            self._front = BluezFront(self._bus, radio, self.options)
            self._bus.on_call.append(self._front.on_call)
            self._bus.on_peer_gone.append(self._front.on_peer_gone)
            await self._front.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything."""
        await self.close()

    async def close(self) -> None:
        """Stop everything; clients see their bus end."""
        if self._bus is not None:
            await self._bus.close()
        for tag in self.tags.values():
            await tag.stop()
        self.tags.clear()
        if self._front is not None:
            await self._front.stop()
        self.air.close()
        if self._port is not None:
            await self._port.close()
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        # HCI events that are under way take a few turns of the loop to their end.
        for _ in range(10):
            await asyncio.sleep(0)

    # --- parts --------------------------------------------------------------------------------------------------

    @property
    def front(self) -> BluezFront:
        """The emulated bluetoothd."""
        if self._front is None:
            raise FrontMisuseError("the bench has not been started. Next: async with BleBench(...) as bench")
        return self._front

    @property
    def bus(self) -> MiniBus | DaemonBus:
        """The bus that clients see."""
        if self._bus is None:
            raise FrontMisuseError("the bench has not been started. Next: async with BleBench(...) as bench")
        return self._bus

    @property
    def bus_address(self) -> str:
        """What ``DBUS_SYSTEM_BUS_ADDRESS`` is set to."""
        return self.bus.address

    async def add(self, tag: TagT) -> TagT:
        """Put a tag on the bench and switch it on."""
        if tag.name in self.tags:
            raise FrontMisuseError(f"two tags are named {tag.name!r}. Next: give each tag its own name")
        self.tags[tag.name] = tag
        if self.folder is not None and self._capture_tags:
            tag.peripheral.capture(SnoopFile(self.folder / f"{tag.name}.btsnoop", utc_ns=self._utc_ns))
        await tag.start()
        return tag

    async def remove(self, name: str) -> None:
        """Take a tag off the bench, as if its battery had been taken out."""
        tag = self.tag(name)
        del self.tags[name]
        await tag.stop()

    def radio(self, name: str) -> Radio:
        """Give the radio of a tag: RSSI, loss, delay, range."""
        return self.air.radio(name)

    def tag(self, name: str) -> BenchTag:
        """Give a tag by its name."""
        if name not in self.tags:
            raise FrontMisuseError(f"there is no tag {name!r} on the bench, but {sorted(self.tags)}")
        tag: BenchTag = self.tags[name]
        return tag

    # --- faults -------------------------------------------------------------------------------------------------

    async def fault(self, fault_id: str, *, tag: str | None = None, **options: Any) -> None:
        """Let a fault of `rig.ble.faults.FAULTS` happen."""
        await self.clear(fault_id, tag=tag)
        undo = await apply_fault(self, fault_id, tag, options)
        if undo is not None:
            self._undo[fault_id, tag] = undo

    async def clear(self, fault_id: str, *, tag: str | None = None) -> None:
        """End a lasting fault; one that is not there is no error."""
        undo = self._undo.pop((fault_id, tag), None)
        if undo is not None:
            await undo()

    @property
    def faults(self) -> tuple[tuple[str, str | None], ...]:
        """The lasting faults that are on, each with its tag."""
        return tuple(self._undo)
