"""Services and characteristics by their full, lower-case UUID, as the radio's own lists have them.

Numbers of the Bluetooth SIG: Assigned Numbers, sections 3.4 (services) and 3.8 (characteristics).
"""

from uuid import UUID

BASE_SUFFIX = "-0000-1000-8000-00805f9b34fb"
"""Last twelve octets of every UUID that has a short form (Core 6.0, Vol 3, Part B, 2.5.1)."""


def expand_uuid(short: int) -> str:
    """Return the full form of a UUID of 16 or 32 bits."""
    return f"{short:08x}{BASE_SUFFIX}"


def find_short_uuid(uuid: str) -> int | None:
    """Return the 16 or 32 bits that a UUID is short for, or None where it has no short form."""
    text = str(UUID(uuid))
    return int(text[:8], 16) if text.endswith(BASE_SUFFIX) else None


GENERIC_ACCESS_SERVICE = expand_uuid(0x1800)
IMMEDIATE_ALERT_SERVICE = expand_uuid(0x1802)
LINK_LOSS_SERVICE = expand_uuid(0x1803)
TX_POWER_SERVICE = expand_uuid(0x1804)
CURRENT_TIME_SERVICE = expand_uuid(0x1805)
DEVICE_INFORMATION_SERVICE = expand_uuid(0x180A)
BATTERY_SERVICE = expand_uuid(0x180F)
LOCATION_AND_NAVIGATION_SERVICE = expand_uuid(0x1819)

ALERT_LEVEL = expand_uuid(0x2A06)
"""In the Immediate Alert service it commands, in the Link Loss service it sets what to do on a loss: find it by its
service, never by itself."""
TX_POWER_LEVEL = expand_uuid(0x2A07)
BATTERY_LEVEL = expand_uuid(0x2A19)
SYSTEM_ID = expand_uuid(0x2A23)
MODEL_NUMBER = expand_uuid(0x2A24)
SERIAL_NUMBER = expand_uuid(0x2A25)
FIRMWARE_REVISION = expand_uuid(0x2A26)
HARDWARE_REVISION = expand_uuid(0x2A27)
SOFTWARE_REVISION = expand_uuid(0x2A28)
MANUFACTURER_NAME = expand_uuid(0x2A29)
CURRENT_TIME = expand_uuid(0x2A2B)
PNP_ID = expand_uuid(0x2A50)
LOCATION_AND_SPEED = expand_uuid(0x2A67)
POSITION_QUALITY = expand_uuid(0x2A69)
LN_FEATURE = expand_uuid(0x2A6A)

SMART_TAG_SERVICE = "7a670001-8f2b-4c61-9d3e-5b1f0c2a6e47"
"""Our own service (layouts in ``smart_tag.py``); its UUIDs are random ones with a number in the first word."""
TAG_STATE = "7a670002-8f2b-4c61-9d3e-5b1f0c2a6e47"
"""Read and notify."""
TAG_WARN = "7a670003-8f2b-4c61-9d3e-5b1f0c2a6e47"
"""Write with response."""
TAG_EVENT = "7a670004-8f2b-4c61-9d3e-5b1f0c2a6e47"
"""Notify."""
TAG_SIGHTING = "7a670005-8f2b-4c61-9d3e-5b1f0c2a6e47"
"""Notify."""
TAG_KEYS = "7a670006-8f2b-4c61-9d3e-5b1f0c2a6e47"
"""Write with response, on an encrypted link whose bond was made with protection against a man in the middle."""
TAG_CLOCK = CURRENT_TIME
"""A tag's clock is set by writing Current Time in the Current Time service."""
