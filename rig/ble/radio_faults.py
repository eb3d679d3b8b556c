"""Faults of tags and of the air between: each becomes an entry of `rig.ble.faults.FAULTS`."""

from typing import TYPE_CHECKING

from rig.ble.fault_entries import Undo, entry
from rig.ble.pairing import Pairing
from rig.ble.services import Guard

if TYPE_CHECKING:
    from rig.ble.bench import BleBench

# --- air ----------------------------------------------------------------------------------------------------------


@entry(
    "RSSI of single adverts scatters",
    where="air",
    sees="callbacks with scattered RSSI, one per change",
    rssi_dbm=-75.0,
    sigma_db=6.0,
)
async def _rssi_noise(bench: "BleBench", tag: str, *, rssi_dbm: float, sigma_db: float) -> Undo:
    radio = bench.radio(tag)
    before = (radio.rssi_dbm, radio.rssi_sigma_db)
    radio.rssi_dbm, radio.rssi_sigma_db = rssi_dbm, sigma_db

    async def undo() -> None:
        radio.rssi_dbm, radio.rssi_sigma_db = before

    return undo


@entry("adverts and scan responses get lost", where="air", sees="fewer callbacks, gaps in the counter", loss=0.5)
async def _lost_adverts(bench: "BleBench", tag: str, *, loss: float) -> Undo:
    radio = bench.radio(tag)
    before, radio.loss = radio.loss, loss

    async def undo() -> None:
        radio.loss = before

    return undo


@entry(
    "nothing of the tag gets through; its links end after the supervision timeout",
    where="air",
    sees="no callbacks, find gives None, connect raises TimeoutError; a link is lost after 0.42 s",
)
async def _out_of_range(bench: "BleBench", tag: str) -> Undo:
    radio = bench.radio(tag)
    radio.out_of_range = True

    async def undo() -> None:
        radio.out_of_range = False

    return undo


@entry(
    "supervision timeout (HCI error 0x08) on the tag's links, now; it advertises again at once",
    where="air",
    sees="disconnected_callback; a read in flight raises BleakDBusError Failed 'Not connected'",
    lasting=False,
)
async def _link_loss(bench: "BleBench", tag: str) -> None:
    bench.air.cut(tag)


@entry(
    "connection requests are not heard by the tag",
    where="air",
    sees="the link ends before its services are found: BleakDBusError, or bleak tries again until its timeout",
    loss=1.0,
)
async def _connect_lost(bench: "BleBench", tag: str, *, loss: float) -> Undo:
    radio = bench.radio(tag)
    before, radio.connect_loss = radio.connect_loss, loss

    async def undo() -> None:
        radio.connect_loss = before

    return undo


@entry(
    "each packet of a link takes a connection interval",
    where="air",
    sees="latencies: a notification once, a write twice the delay",
    delay_s=0.03,
)
async def _slow_link(bench: "BleBench", tag: str, *, delay_s: float) -> Undo:
    radio = bench.radio(tag)
    before, radio.acl_delay_s = radio.acl_delay_s, delay_s

    async def undo() -> None:
        radio.acl_delay_s = before

    return undo


# --- tag ----------------------------------------------------------------------------------------------------------


@entry("the tag ends its link and advertises again", where="tag", sees="disconnected_callback", lasting=False)
async def _tag_disconnects(bench: "BleBench", tag: str) -> None:
    await bench.tag(tag).peripheral.disconnect()


@entry("the tag stops advertising, its link goes on", where="tag", sees="no callbacks; connect raises TimeoutError")
async def _tag_silent(bench: "BleBench", tag: str) -> Undo:
    peripheral = bench.tag(tag).peripheral
    await peripheral.pause_advertising()
    return peripheral.resume_advertising


@entry("reads are answered late", where="tag", sees="a slow read; never an answer on a later link", delay_s=0.5)
async def _slow_read(bench: "BleBench", tag: str, *, delay_s: float) -> Undo:
    server = bench.tag(tag).peripheral.gatt
    server.read_delay_s = delay_s

    async def undo() -> None:
        server.read_delay_s = 0.0

    return undo


@entry("writes are answered late", where="tag", sees="a slow write with response", delay_s=0.5)
async def _slow_write(bench: "BleBench", tag: str, *, delay_s: float) -> Undo:
    server = bench.tag(tag).peripheral.gatt
    server.write_delay_s = delay_s

    async def undo() -> None:
        server.write_delay_s = 0.0

    return undo


@entry("notifications are cut", where="tag", sees="short payloads", length=1)
async def _cut_notifications(bench: "BleBench", tag: str, *, length: int) -> Undo:
    server = bench.tag(tag).peripheral.gatt
    server.notification_length = length

    async def undo() -> None:
        server.notification_length = None

    return undo


@entry("the next notifications are not sent", where="tag", sees="a gap", count=1)
async def _dropped_notifications(bench: "BleBench", tag: str, *, count: int) -> Undo:
    server = bench.tag(tag).peripheral.gatt
    server.notifications_to_drop = count

    async def undo() -> None:
        server.notifications_to_drop = 0

    return undo


@entry("reads of a characteristic are refused", where="tag", sees="BleakGATTProtocolError(code)", uuid="", code=0x80)
async def _read_refused(bench: "BleBench", tag: str, *, uuid: str, code: int) -> Undo:
    return _refuse(bench.tag(tag).peripheral.gatt.read_refusals, uuid, code)


@entry("writes of a characteristic are refused", where="tag", sees="BleakGATTProtocolError(code)", uuid="", code=0x80)
async def _write_refused(bench: "BleBench", tag: str, *, uuid: str, code: int) -> Undo:
    return _refuse(bench.tag(tag).peripheral.gatt.write_refusals, uuid, code)


def _refuse(refusals: dict[str, int], uuid: str, code: int) -> Undo:
    refusals[uuid] = code

    async def undo() -> None:
        refusals.pop(uuid, None)

    return undo


@entry(
    "a characteristic asks for an encrypted link",
    where="tag",
    sees="BleakDBusError NotPermitted 'Not paired' until the link is paired",
    uuid="",
    mitm=False,
)
async def _needs_encryption(bench: "BleBench", tag: str, *, uuid: str, mitm: bool) -> Undo:
    guards = bench.tag(tag).peripheral.gatt.extra_guards
    guards[uuid] = Guard.AUTHENTICATED if mitm else Guard.ENCRYPTED

    async def undo() -> None:
        guards.pop(uuid, None)

    return undo


@entry("the tag refuses to pair", where="tag", sees="pair raises BleakDBusError AuthenticationFailed")
async def _pairing_refused(bench: "BleBench", tag: str) -> Undo:
    peripheral = bench.tag(tag).peripheral
    before, peripheral.pairing = peripheral.pairing, Pairing.REFUSED

    async def undo() -> None:
        peripheral.pairing = before

    return undo


@entry(
    "the tag has lost its keys, the host has not",
    where="tag",
    sees="each connect fails (BleakDBusError Failed) until the device is removed and paired anew",
    lasting=False,
)
async def _bond_lost(bench: "BleBench", tag: str) -> None:
    await bench.tag(tag).peripheral.forget_bonds()
