"""A first bench file from what a scan found."""

from collections.abc import Sequence
from dataclasses import dataclass

from devices.ble_scan import HeardTag, TagKind
from devices.probe import Speaks
from rig.bench.roles import OFFENDER, VICTIM
from rig.bench.schema import BenchFile, BenchTable, DeviceTable, DeviceType

_SMART_TAGS = (TagKind.SMART_TAG, TagKind.PROXIMITY, TagKind.FIND_ME)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPort:
    """A port that was listened to."""

    spec: str
    speaks: Speaks
    firmware: str | None = None
    notes: str = ""


def bench_from_scan(name: str, ports: Sequence[FoundPort], tags: Sequence[HeardTag]) -> BenchFile:
    """Give each device a role: ankle tags are offenders, receivers locate victims, smart tags warn them.

    What cannot be told from outside (which of two tags is whose) follows the order of the scan; a person puts it right.
    """
    devices: dict[str, DeviceTable] = {}

    def add(person: str, role: str, kind: DeviceType, transport: str, firmware: str | None, notes: str) -> None:
        devices[role] = DeviceTable(
            type=kind,
            transport=transport,
            of=None if role == person else person,
            expect_firmware=firmware or None,
            notes=notes,
        )

    ankle_tags = [port for port in ports if port.speaks is Speaks.TAG]
    receivers = [port for port in ports if port.speaks is Speaks.NMEA]
    smart_tags = [tag for tag in tags if tag.kind in _SMART_TAGS and tag.spec is not None]
    for i, port in enumerate(ankle_tags):
        role = _numbered(OFFENDER, i)
        add(role, role, "ankle_tag", port.spec, port.firmware, port.notes)
    for i, port in enumerate(receivers):
        person = _numbered(VICTIM, i)
        add(person, f"{person}-receiver", "gnss_receiver", port.spec, None, port.notes)
    for i, tag in enumerate(smart_tags):
        role = _numbered(VICTIM, i)
        assert tag.spec is not None
        add(role, role, "smart_tag", tag.spec, None, f"{tag.name} " if tag.name else "")
    return BenchFile(bench=BenchTable(name=name, emulate_missing=True), devices=devices)


def _numbered(name: str, i: int) -> str:
    return name if i == 0 else f"{name}-{i + 1}"
