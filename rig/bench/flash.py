"""New firmware for a device of the bench: by a command of the bench file, or over MCUmgr SMP; then the version."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from devices.ble_target import SCHEME as BLE
from devices.ble_target import parse_ble_target
from devices.clock import Clock
from devices.errors import FirmwareError
from devices.firmware_image import read_image
from devices.firmware_update import FirmwareUpdate, SmpDoor
from devices.transports.spec import parse_spec
from rig.bench.errors import FirmwareMismatchError, FlashError
from rig.bench.firmware import check_firmware, read_firmware
from rig.bench.programs import ProgramError, run_program
from rig.bench.schema import CommandFlashTable, DeviceTable, SmpFlashTable, relative
from rig.errors import BenchBrokenError

_LISTEN_S = 5.0
"""s. At each look at a device that boots; a tag says what it runs at each report."""
_AGAIN_NS = 200_000_000
"""ns between two looks."""
_SMP_BAUD = 115_200
"""Bd. What a console has unless told otherwise; over USB it does not matter."""


async def flash(role: str, table: DeviceTable, clock: Clock, *, folder: Path, fields: Mapping[str, str]) -> str:
    """Flash a device as its table says, and return the version that it runs then.

    Raises
    ------
    FlashError
        No firmware was brought onto it, or it runs another one than it should.
    """
    order = table.flash
    if order is None:
        raise FlashError(f"{role}: the bench file has no [devices.{role}.flash]. Next: add one")
    image = relative(folder, order.image)
    if isinstance(order, CommandFlashTable):
        values = {**fields, "image": str(image)}
        argv = [part.format_map(values) for part in order.command]
        try:
            await run_program(argv, timeout_s=order.timeout_s, folder=folder)
        except ProgramError as exc:
            raise FlashError(f"{role}: {exc}") from exc
    else:
        await _over_smp(role, table, order, image, clock, folder)
    return await _check(role, table, order, clock, folder)


async def _check(
    role: str, table: DeviceTable, order: CommandFlashTable | SmpFlashTable, clock: Clock, folder: Path
) -> str:
    """Read the version until it is the one wanted; a device that boots says nothing at first."""
    wanted = order.version or table.expect_firmware
    deadline_ns = clock.mono_ns() + round(order.ready_s * 1e9)
    mismatch: FirmwareMismatchError | None = None
    while True:
        try:
            found = await read_firmware(role, table, clock, folder=folder, listen_s=min(_LISTEN_S, order.ready_s))
            check_firmware(role, wanted, found)
        except BenchBrokenError as exc:
            # still booting, or still the old one: both may pass
            if isinstance(exc, FirmwareMismatchError):
                mismatch = exc
            if clock.mono_ns() >= deadline_ns:
                text = f"it did not come back: {exc}" if mismatch is None else str(mismatch)
                raise FlashError(f"{role}: {order.ready_s:g} s after flashing {order.image}: {text}") from exc
            await clock.sleep_until(clock.mono_ns() + _AGAIN_NS)
        else:
            return found


async def _over_smp(
    role: str, table: DeviceTable, order: SmpFlashTable, image: Path, clock: Clock, folder: Path
) -> None:
    try:
        async with _door(order.target or table.transport, order.reply_s, clock, folder) as door:
            await FirmwareUpdate(door, clock, boot_s=order.ready_s).run(read_image(image))
    except FirmwareError as exc:
        raise FlashError(f"{role}: {exc}") from exc


@contextlib.asynccontextmanager
async def _door(target: str, reply_s: float, clock: Clock, folder: Path) -> AsyncIterator[SmpDoor]:
    # loaded here: they bring packages that only flashing needs
    from devices.smp_door import radio_door, serial_door

    if target.startswith(f"{BLE}:"):
        from devices.bleak_door import BleRadio

        async with BleRadio(clock) as radio:
            yield radio_door(parse_ble_target(target, folder=folder), radio, clock, reply_s=reply_s)
        return
    spec = parse_spec(target, ["serial", "pty", BLE])
    baud = spec.integer("baud", _SMP_BAUD, low=300, high=4_000_000)
    from rig.bench.ports import find_port

    path = find_port(target)
    if path is None:
        raise FlashError(f"{target}: there is no such port. Next: tagrig scan lists the ports")
    yield serial_door(spec.text, path, baud=baud, reply_s=reply_s)
