"""A firmware update over a port and over Bluetooth against the emulated tag: it ends in proof or in a next step."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from devices.ble_target import parse_ble_target
from devices.bleak_door import BleRadio
from devices.clock import SystemClock
from devices.errors import FirmwareFileError, FirmwareLinkError, FirmwareRefusedError, FirmwareVerdictError
from devices.firmware_image import FirmwareImage, check_image, read_image
from devices.firmware_update import CHUNK_ATTEMPTS, FirmwareUpdate, UpdateGoal, UpdateStep
from devices.smp_door import SmpClientDoor, radio_door, serial_door
from rig.ble.bench import BleBench
from rig.ble.firmware.images import SLOT_BYTES, ImageVersion, make_image
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.firmware.smp import SmpServer, make_server
from rig.ble.smp_server import SmpSerialPort
from rig.ble.victim import VictimTag
from tests.ble_support import ble_bench

__all__ = ["ble_bench"]

CLOCK = SystemClock()
OLD = ImageVersion(major=1, minor=4, revision=2)
NEW = ImageVersion(major=1, minor=5, revision=0)
DATA = make_image(NEW, random.Random(7).randbytes(20_000))
REPLY_S = 0.15


def image(data: bytes = DATA) -> FirmwareImage:
    return check_image("new.bin", data)


class Cradle:
    """A tag on a serial line."""

    def __init__(self) -> None:
        self.server: SmpServer = make_server(OLD)
        self.port = SmpSerialPort(self.server)
        self.steps: list[UpdateStep] = []
        self.offsets: list[int] = []

    def door(self) -> SmpClientDoor:
        return serial_door("tag-1", self.port.path, baud=115_200, reply_s=REPLY_S, erase_s=0.7, connect_s=1.0)

    def update(self, door: SmpClientDoor | None = None, *, boot_s: float = 3.0) -> FirmwareUpdate:
        return FirmwareUpdate(
            door or self.door(),
            CLOCK,
            on_step=self.steps.append,
            on_offset=lambda done, _all: self.offsets.append(done),
            boot_s=boot_s,
            reconnect_s=0.02,
        )


@pytest.fixture
def cradle() -> Iterator[Cradle]:
    made = Cradle()
    try:
        yield made
    finally:
        made.port.close()


async def test_an_image_is_uploaded_tried_read_back_and_confirmed(cradle: Cradle) -> None:
    report = await cradle.update().run(image())
    assert (report.version_before, report.version_after) == ("1.4.2", "1.5.0")
    assert (report.uploaded_bytes, report.resumed) == (len(DATA), 0)
    assert cradle.steps == list(UpdateStep)
    assert cradle.offsets[-1] == len(DATA)
    assert cradle.offsets == sorted(cradle.offsets)
    assert cradle.server.slots.states()[0].confirmed
    cradle.server.restart()
    assert cradle.server.version == "1.5.0"


async def test_what_runs_already_is_not_uploaded_again(cradle: Cradle) -> None:
    await cradle.update().run(image())
    frames = cradle.server.frames
    report = await cradle.update().run(image())
    assert (report.uploaded_bytes, report.version_before) == (0, "1.5.0")
    assert cradle.server.frames - frames < 6


async def test_a_trial_ends_with_the_next_reset_and_can_be_confirmed_before(cradle: Cradle) -> None:
    report = await cradle.update().run(image(), UpdateGoal.TEST)
    assert report.version_after == "1.5.0"
    states = await cradle.update().revert()
    assert [(s.version, s.active, s.confirmed) for s in states if s.active] == [("1.4.2", True, True)]
    with pytest.raises(FirmwareRefusedError, match="there is nothing to revert"):
        await cradle.update().revert()
    await cradle.update().run(image(), UpdateGoal.TEST)
    assert cradle.steps[-4:] == [UpdateStep.CONNECT, UpdateStep.TEST, UpdateStep.RESET, UpdateStep.READ_BACK]
    await cradle.update().confirm_running()
    cradle.server.restart()
    assert cradle.server.version == "1.5.0"


async def test_an_upload_alone_changes_nothing_that_runs(cradle: Cradle) -> None:
    await cradle.update().run(image(), UpdateGoal.UPLOAD)
    assert [(s.slot, s.version, s.active, s.pending) for s in await cradle.update().read_states()] == [
        (0, "1.4.2", True, False),
        (1, "1.5.0", False, False),
    ]


async def test_lost_chunks_and_lost_answers_are_made_up_for(cradle: Cradle) -> None:
    update = cradle.update()

    def lose(step: UpdateStep) -> None:
        if step is UpdateStep.UPLOAD:
            cradle.server.faults.drop_requests, cradle.server.faults.drop_replies = 1, 2

    update._on_step = lose
    report = await update.run(image())
    assert report.version_after == "1.5.0"
    assert report.resumed >= 2


async def test_a_battery_that_is_pulled_in_the_middle_costs_no_byte_twice(cradle: Cradle) -> None:
    cradle.server.faults.power_cut_at = 9000
    report = await cradle.update().run(image())
    assert report.version_after == "1.5.0"
    assert report.resumed == 1
    assert cradle.server.restarts == 2
    assert len(cradle.offsets) == len(set(cradle.offsets))


async def test_a_slot_that_takes_long_to_erase_is_waited_for(cradle: Cradle) -> None:
    cradle.server.faults.erase_s = 3 * REPLY_S
    assert (await cradle.update().run(image())).resumed == 0


async def test_a_flash_that_writes_wrong_is_noticed_before_anything_is_started(cradle: Cradle) -> None:
    cradle.server.faults.damage_at = 5000
    with pytest.raises(FirmwareVerdictError, match=r"holds no valid image with its hash .* Next: run again"):
        await cradle.update().run(image())
    assert cradle.server.version == "1.4.2"
    assert (await cradle.update().run(image())).version_after == "1.5.0"


async def test_a_bootloader_that_does_not_start_the_image_is_told_as_that(cradle: Cradle) -> None:
    update = cradle.update()

    def reverted(step: UpdateStep) -> None:
        if step is UpdateStep.RESET:
            # a restart more than we know of: the new image ran, crashed, and was reverted
            cradle.server.restart()

    update._on_step = reverted
    with pytest.raises(FirmwareVerdictError, match=r"the tag runs 1\.4\.2 again .* Next: check the key"):
        await update.run(image())


async def test_a_tag_that_refuses_says_why(cradle: Cradle) -> None:
    with pytest.raises(FirmwareRefusedError, match=r"invalid_image_too_large\. Next: build a smaller image"):
        await cradle.update().run(image(make_image(NEW, bytes(SLOT_BYTES))))
    await cradle.update().run(image(), UpdateGoal.TEST)
    other = make_image(ImageVersion(major=2, minor=0, revision=0), b"x" * 4000)
    with pytest.raises(FirmwareRefusedError, match=r"no_free_slot\. Next: an update is on trial"):
        await cradle.update().run(image(other))


async def test_a_tag_that_stays_silent_is_given_up_with_what_was_reached(cradle: Cradle) -> None:
    update = cradle.update(boot_s=0.1)

    def fall_silent(step: UpdateStep) -> None:
        if step is UpdateStep.UPLOAD:
            cradle.server.faults.drop_requests = 1000

    update._on_step = fall_silent
    update._door._erase_s = REPLY_S  # type: ignore[attr-defined]
    with pytest.raises(FirmwareLinkError, match=rf"given up at 0 of {len(DATA)} bytes, {CHUNK_ATTEMPTS} attempts"):
        await update.run(image())


async def test_a_port_that_is_not_there_is_told_with_the_next_step() -> None:
    door = serial_door("tag-1", "/dev/ttyNOPE", baud=115_200, connect_s=0.1)
    with pytest.raises(FirmwareLinkError, match=r"tag-1: cannot be reached: .* Next: check that it is on"):
        await FirmwareUpdate(door, CLOCK).read_states()


async def test_a_port_with_nobody_behind_it_is_told_as_no_answer(cradle: Cradle) -> None:
    cradle.server.faults.drop_requests = 1000
    with pytest.raises(FirmwareLinkError, match="no answer when asked to read its images: no answer in time"):
        await cradle.update().read_states()


async def test_an_unplugged_port_in_the_middle_is_a_link_error() -> None:
    cradle = Cradle()
    update = cradle.update(boot_s=0.1)

    def unplug(step: UpdateStep) -> None:
        if step is UpdateStep.UPLOAD:
            cradle.port.close()

    update._on_step = unplug
    with pytest.raises(FirmwareLinkError):
        await update.run(image())


@contextlib.asynccontextmanager
async def tag_on_the_air(bench: BleBench) -> AsyncIterator[VictimTag]:
    firmware = SmartTagFirmware(SmartTagConfig(start_utc_ns=CLOCK.utc_ns(), tag_key=bytes(range(16))))
    tag = VictimTag(bench.air, name="her-tag", firmware=firmware, clock=CLOCK, interval_s=0.02, smp=make_server(OLD))
    yield await bench.add(tag)


async def test_the_same_over_bluetooth_by_the_rolling_id_with_a_link_that_breaks(
    ble_bench: BleBench, tmp_path: Path
) -> None:
    (tmp_path / "tag.key").write_text(bytes(range(16)).hex())
    (tmp_path / "tag.key").chmod(0o600)
    target = parse_ble_target("ble:rolling?key_file=tag.key", folder=tmp_path)
    offsets: list[int] = []
    async with tag_on_the_air(ble_bench) as tag, BleRadio(CLOCK) as radio:
        assert tag.smp is not None

        def follow(done: int, _all: int) -> None:
            if not offsets:
                asyncio.get_running_loop().call_soon(tag.peripheral.drop_link)
            offsets.append(done)

        update = FirmwareUpdate(
            radio_door(target, radio, CLOCK, reply_s=1.0), CLOCK, on_offset=follow, boot_s=8.0, reconnect_s=0.02
        )
        report = await update.run(image())
        assert (report.version_before, report.version_after) == ("1.4.2", "1.5.0")
        assert report.resumed == 1
        assert tag.smp.version == "1.5.0"
        assert tag.smp.slots.states()[0].confirmed


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x7fELF" + bytes(60), "This is an ELF file. Next: take zephyr.signed.bin"),
        (b":10000000" * 10, "Intel HEX"),
        (b"short", "5 bytes, expected at least a header of 32"),
        (DATA[:5000], "it is cut short"),
        (DATA[:-1], "sign the image"),
        (DATA[:9000] + b"\x00" + DATA[9001:], "the file is damaged"),
        (DATA[: -4 - 32 - 4], "it is cut short"),
    ],
)
def test_a_file_that_is_no_image_is_refused_with_the_next_step(data: bytes, told: str) -> None:
    if data == DATA:
        pytest.fail("the damaged byte was a zero already")
    with pytest.raises(FirmwareFileError, match=told):
        check_image("new.bin", data)


def test_files_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "new.bin").write_bytes(DATA)
    assert read_image(tmp_path / "new.bin") == image()
    with pytest.raises(FirmwareFileError, match="No such file"):
        read_image(tmp_path / "absent.bin")
