"""Faults of bluetoothd, its adapter and its bus: each becomes an entry of `rig.ble.faults.FAULTS`."""

from typing import TYPE_CHECKING

from rig.ble.fault_entries import Undo, entry
from rig.ble.front.hooks import Hook
from rig.ble.front.replies import BluezError
from rig.ble.pairing import PASSKEY_MAX

if TYPE_CHECKING:
    from rig.ble.bench import BleBench

# --- bluetoothd ---------------------------------------------------------------------------------------------------


@entry(
    "another passkey than the tag's is typed at the host",
    where="bluetoothd",
    sees="pair raises BleakDBusError AuthenticationFailed",
    of_tag=False,
)
async def _wrong_passkey(bench: "BleBench") -> Undo:
    front = bench.front
    before = front.system_passkey
    front.system_passkey = ((before or 0) + 1) % (PASSKEY_MAX + 1)

    async def undo() -> None:
        front.system_passkey = before

    return undo


def _hook(bench: "BleBench", *hooks: Hook) -> Undo:
    active = bench.front.hooks.active
    active.extend(hooks)

    async def undo() -> None:
        for hook in hooks:
            active.remove(hook)

    return undo


@entry(
    "Connect fails",
    where="bluetoothd",
    sees="connect raises BleakDBusError with this name and text",
    of_tag=False,
    name="Failed",
    text="le-connection-unknown",
    times=None,
)
async def _connect_fails(bench: "BleBench", *, name: str, text: str, times: int | None) -> Undo:
    return _hook(bench, Hook(member="Connect", error=BluezError(name, text), times=times))


@entry(
    "Connect answers that it is in progress already",
    where="bluetoothd",
    sees="connect raises BleakDBusError InProgress",
    of_tag=False,
    times=None,
)
async def _connect_in_progress(bench: "BleBench", *, times: int | None) -> Undo:
    error = BluezError("InProgress", "Operation already in progress")
    return _hook(bench, Hook(member="Connect", error=error, times=times))


@entry(
    "the link comes up and ends at once, Connect answers 'le-connection-abort-by-local'",
    where="bluetoothd",
    sees="nothing: bleak tries again by itself until its timeout",
    of_tag=False,
    times=1,
)
async def _connect_aborted(bench: "BleBench", *, times: int) -> Undo:
    devices = bench.front.devices
    devices.aborts = times

    async def undo() -> None:
        devices.aborts = 0

    return undo


@entry("Connect never answers", where="bluetoothd", sees="connect raises TimeoutError", of_tag=False)
async def _connect_never_answers(bench: "BleBench") -> Undo:
    return _hook(bench, Hook(member="Connect", never=True))


@entry(
    "reads and writes answer that one is in progress already",
    where="bluetoothd",
    sees="a slow read or write: bleak asks again every 10 ms",
    of_tag=False,
    times=5,
)
async def _gatt_in_progress(bench: "BleBench", *, times: int) -> Undo:
    error = BluezError("InProgress", "In Progress")
    return _hook(
        bench,
        Hook(member="ReadValue", error=error, times=times),
        Hook(member="WriteValue", error=error, times=times),
    )


@entry(
    "the device's object is removed",
    where="bluetoothd",
    sees="BleakError 'device ... not found', or BleakDeviceNotFoundError; its link goes on unseen",
    lasting=False,
)
async def _device_gone(bench: "BleBench", tag: str) -> None:
    bench.front.devices.vanish(bench.tag(tag).peripheral.address)


@entry(
    "services of new links are never found",
    where="bluetoothd",
    sees="connect raises TimeoutError",
    of_tag=False,
)
async def _services_never_resolve(bench: "BleBench") -> Undo:
    devices = bench.front.devices
    devices.services_resolve = False

    async def undo() -> None:
        devices.services_resolve = True

    return undo


@entry(
    "the adapter is switched off (rfkill)",
    where="bluetoothd",
    sees="links end; scan and connect raise BleakBluetoothNotAvailableError POWERED_OFF",
    of_tag=False,
)
async def _adapter_off(bench: "BleBench") -> Undo:
    await bench.front.adapter.set_powered(on=False)

    async def undo() -> None:
        await bench.front.adapter.set_powered(on=True)

    return undo


@entry(
    "the adapter is unplugged",
    where="bluetoothd",
    sees="links end, devices vanish; scan raises BleakBluetoothNotAvailableError NO_BLUETOOTH",
    of_tag=False,
)
async def _adapter_unplugged(bench: "BleBench") -> Undo:
    await bench.front.adapter.unplug()

    async def undo() -> None:
        bench.front.adapter.plug()

    return undo


@entry(
    "bluetoothd has died, the bus goes on",
    where="bluetoothd",
    sees="every call raises BleakDBusError ServiceUnknown; links end without a word",
    of_tag=False,
)
async def _bluetoothd_dead(bench: "BleBench") -> Undo:
    await bench.front.die()

    async def undo() -> None:
        bench.front.revive()

    return undo


# --- bus ----------------------------------------------------------------------------------------------------------


@entry(
    "the bus ends every connection and can be reached again at once; bluetoothd is restarted with it",
    where="bus",
    sees="disconnected_callback; scans fall silent without an error; the next scan and connect work again",
    of_tag=False,
    lasting=False,
    links_stay=False,
)
async def _bus_dropped(bench: "BleBench", *, links_stay: bool) -> None:
    # links_stay: only the clients lost their connections. bluetoothd keeps the links, so the tags do not advertise and
    # no scan finds them; connecting to the known device works.
    if not links_stay:
        await bench.front.die()
        bench.front.revive()
    bench.bus.drop_all()


@entry(
    "there is no bus, and no bluetoothd with it",
    where="bus",
    sees="disconnected_callback; every connect and scan raises an OSError (no such socket)",
    of_tag=False,
)
async def _bus_down(bench: "BleBench") -> Undo:
    await bench.bus.shut()
    await bench.front.die()
    bench.bus.drop_all()

    async def undo() -> None:
        bench.front.revive()
        await bench.bus.open()

    return undo
