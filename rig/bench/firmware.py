"""What firmware a device of a bench runs, read from the device itself, and whether it is the one expected."""

import asyncio
import fnmatch
from pathlib import Path
from typing import Final

from devices.ble_link import Advert
from devices.ble_target import parse_ble_target
from devices.clock import Clock
from devices.errors import RadioError, TransportSpecError
from devices.probe import Speaks, probe
from protocols.ble import uuids
from rig.bench.errors import FirmwareMismatchError
from rig.bench.schema import REPLAY, DeviceTable, relative
from rig.errors import BenchBrokenError

LISTEN_S: Final = 20.0
"""s. An ankle tag tells its firmware with its status sentence, at each report; longer intervals are no bench's."""
_FIND_S: Final = 10.0
"""s. A smart tag advertises once a second or so, and one advertisement in three may get lost."""
_LINK_S: Final = 10.0


async def read_firmware(
    role: str, table: DeviceTable, clock: Clock, *, folder: Path, listen_s: float = LISTEN_S
) -> str:
    """Ask a device, or its recording, what it runs.

    Returns
    -------
    str
        Empty where it says none: a GNSS receiver of no tag, or an emulator of the run to come.

    Raises
    ------
    BenchBrokenError
        It cannot be opened, or is silent.
    """
    if table.kind == "emulated":
        return ""
    if table.type == "smart_tag":
        return await _of_smart_tag(role, table, clock, folder)
    spec = table.transport
    if table.kind == "replay":
        target, _, _ = spec.removeprefix(f"{REPLAY}:").partition("?")
        spec = f"{REPLAY}:{relative(folder, target)}?pace=max"
    try:
        heard = await probe(spec, clock=clock, listen_ns=round(listen_s * 1e9))
    except TransportSpecError as exc:
        raise BenchBrokenError(f"{role}: {exc}") from exc
    if heard.speaks is Speaks.UNAVAILABLE:
        raise BenchBrokenError(f"{role}: {heard.detail}")
    if heard.speaks not in (Speaks.TAG, Speaks.NMEA):
        raise BenchBrokenError(f"{role}: {spec} was listened to for {listen_s:g} s: {heard.detail}. Next: tagrig scan")
    return heard.firmware or ""


def check_firmware(role: str, expected: str | None, found: str) -> None:
    """Hold what a device runs against what the bench file expects.

    Raises
    ------
    FirmwareMismatchError
    """
    if expected is None or fnmatch.fnmatchcase(found, expected):
        return
    got = f"runs {found!r}" if found else "does not say what it runs"
    raise FirmwareMismatchError(
        f"{role} {got}; the bench file expects {expected!r}. Next: tagrig bench flash, or change expect_firmware"
    )


async def _of_smart_tag(role: str, table: DeviceTable, clock: Clock, folder: Path) -> str:
    # a Bluetooth stack is loaded where a bench has a tag, and only there
    from devices.bleak_door import BleRadio

    target = parse_ble_target(table.transport, folder=folder)
    heard = asyncio.Event()

    def on_advert(_: Advert) -> None:
        heard.set()

    def on_adapter(_is_up: bool, _detail: str) -> None:
        return

    try:
        async with BleRadio(clock) as radio:
            seat = radio.seat(f"{role} of the bench", target, on_advert=on_advert, on_adapter=on_adapter)
            try:
                async with asyncio.timeout(_FIND_S):
                    await heard.wait()
            except TimeoutError as exc:
                why = seat.adapter_detail or "it does not advertise, or is out of range"
                raise BenchBrokenError(
                    f"{role}: {table.transport.partition('?')[0]} was not heard within {_FIND_S:g} s: {why}. "
                    "Next: tagrig scan"
                ) from exc
            link = await seat.connect(within_s=_LINK_S)
            try:
                for characteristic in link.characteristics:
                    if characteristic.uuid == uuids.FIRMWARE_REVISION:
                        data = await link.read(characteristic.handle, within_s=_LINK_S)
                        return data.rstrip(b"\0").decode("utf-8", errors="replace")
            finally:
                await link.disconnect()
    except RadioError as exc:
        raise BenchBrokenError(f"{role}: {exc}") from exc
    return ""
