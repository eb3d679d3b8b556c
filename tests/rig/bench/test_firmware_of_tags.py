"""A smart tag's firmware, read over the emulated radio by the real driver."""

from pathlib import Path

import pytest

from devices.clock import SystemClock
from rig.bench import firmware
from rig.bench.errors import FirmwareMismatchError
from rig.bench.firmware import check_firmware, read_firmware
from rig.bench.schema import DeviceTable
from rig.ble.bench import BleBench
from rig.ble.firmware.smart_tag import SmartTagConfig, SmartTagFirmware
from rig.ble.victim import VictimTag
from rig.errors import BenchBrokenError
from tests.ble_support import ble_bench

__all__ = ["ble_bench"]

CLOCK = SystemClock()
KEY = bytes(range(16))


async def test_a_smart_tag_tells_its_firmware_and_one_that_is_away_is_named(
    ble_bench: BleBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SmartTagConfig(seed=1, start_utc_ns=CLOCK.utc_ns(), tag_key=KEY)
    made = VictimTag(ble_bench.air, name="her-tag", firmware=SmartTagFirmware(config), clock=CLOCK, interval_s=0.02)
    await ble_bench.add(made)
    (tmp_path / "her.key").write_text(KEY.hex())
    table = DeviceTable(type="smart_tag", transport="ble:rolling?key_file=her.key")
    found = await read_firmware("victim", table, CLOCK, folder=tmp_path)
    assert found
    check_firmware("victim", found[0] + "*", found)
    with pytest.raises(FirmwareMismatchError, match="victim runs"):
        check_firmware("victim", "9.*", found)
    await ble_bench.remove("her-tag")
    monkeypatch.setattr(firmware, "_FIND_S", 0.2)
    with pytest.raises(
        BenchBrokenError, match=r"victim: ble:rolling was not heard within 0\.2 s: it does not advertise"
    ):
        await read_firmware("victim", table, CLOCK, folder=tmp_path)


def test_a_device_that_tells_no_firmware_is_not_taken_for_the_right_one() -> None:
    with pytest.raises(FirmwareMismatchError, match="offender does not say what it runs; the bench file expects '2"):
        check_firmware("offender", "2.*", "")
    check_firmware("offender", None, "")
