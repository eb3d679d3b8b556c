import subprocess
import sys

import pytest

from protocols.ble import uuids
from protocols.ble.registry import find_company, find_service


@pytest.mark.parametrize(
    ("company_id", "name"), [(0x004C, "Apple, Inc."), (0x0059, "Nordic Semiconductor ASA"), (0xFFFE, None), (-1, None)]
)
def test_companies(company_id: int, name: str | None) -> None:
    assert find_company(company_id) == name


@pytest.mark.parametrize(
    ("uuid", "name"),
    [
        (uuids.IMMEDIATE_ALERT_SERVICE, "Immediate Alert"),
        (uuids.BATTERY_SERVICE, "Battery Service"),
        (uuids.SMART_TAG_SERVICE, "tagrig smart tag"),
        ("6e400001-b5a3-f393-e0a9-e50e24dcca9e", "Nordic UART Service"),
        (uuids.expand_uuid(0x1_0000), None),
        ("00000000-0000-0000-0000-000000000000", None),
    ],
)
def test_services(uuid: str, name: str | None) -> None:
    assert find_service(uuid) == name


def test_what_is_loaded_before_the_first_question() -> None:
    modules = ["ad", "adverts", "beacon", "gatt", "layout", "location", "registry", "smart_tag", "times", "uuids"]
    code = f"from protocols.ble import {', '.join(modules)}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"bluetooth_numbers", "asyncio", "numpy", "bleak", "bumble"} & set(done.stdout.split())
