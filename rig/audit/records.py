"""What the records hold of one device: messages from the outbox, raw captures, disclosures. Read, never written."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bridge.disclosure_line import Sent
from bridge.errors import OutboxError
from bridge.orders.book import ROOM as ORDER_ROOM
from bridge.orders.book import read_saved
from bridge.outbox.layout import find_stores
from bridge.outbox.store import FILE_NAME, OutboxStore, StoredRow
from devices.capture import SUFFIX, read_capture
from devices.errors import CaptureError
from protocols.mqtt.commands import Order
from protocols.mqtt.messages import AlertEvent, IncidentEvent, PositionEvent, ProtectedAlertEvent, decode
from protocols.mqtt.times import utc_ns
from protocols.mqtt.topics import Side, Stream, find_topic
from protocols.nmea import NmeaDecoder
from protocols.reports import Fix, FixState, TagStatus
from rig.audit.errors import AuditError
from rig.audit.verify import Chain, find_logs, read_chain

_HASH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An event as it was sent, with its fate. Times UTC; ``receipt``: 1 received by the provider, 2 refused."""

    event: AlertEvent | ProtectedAlertEvent | PositionEvent | IncidentEvent
    topic: str
    body: bytes
    attempts: int
    kept_utc_ns: int
    acked_utc_ns: int | None
    receipt: int
    receipt_utc_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A report in a raw capture, and when it came in."""

    report: Fix | TagStatus
    t_rx_utc_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that was read: its name, length and hash, so that others can tell whether they have the same."""

    path: Path
    what: str
    length: int
    sha256: str


@dataclass(slots=True, kw_only=True)
class Records:
    """All that was found of one device."""

    device: str
    alerts: list[Stored] = field(default_factory=list)
    positions: list[Stored] = field(default_factory=list)
    incidents: list[Stored] = field(default_factory=list)
    captured: list[Captured] = field(default_factory=list)
    disclosures: list[tuple[Sent, str]] = field(default_factory=list)
    """Lines about this device, with their hashes."""
    chains: list[Chain] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_protected(self) -> bool:
        """Whether it is a protected person's device."""
        stored = (*self.alerts, *self.positions)
        return any((topic := find_topic(each.topic)) is not None and topic.side is Side.PROTECTED for each in stored)


def read_records(device: str, *, outboxes: list[Path], disclosures: list[Path], captures: list[Path]) -> Records:
    """Read everything about a device.

    Parameters
    ----------
    device : str
    outboxes, disclosures, captures : list of Path
        Folders. An outbox may be that of a bridge that is running: it is read in one transaction, which holds up
        nobody; or ``outbox.folder`` of several bridges that share it out.

    Raises
    ------
    AuditError
        A folder is missing, or a file in it cannot be read.
    """
    for folder in (*outboxes, *disclosures, *captures):
        if not folder.is_dir():
            raise AuditError(f"{folder}: there is no such folder. Next: name the folders that the configuration names")
    records = Records(device=device)
    seen: set[str] = set()
    for folder in outboxes:
        try:
            stores = find_stores(folder)
        except OutboxError as exc:
            raise AuditError(str(exc)) from exc
        if not stores:
            raise AuditError(f"{folder}: holds no outbox; expected {FILE_NAME} in it")
        for store in stores:
            _read_outbox(store / FILE_NAME, records, seen)
    for folder in captures:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            _read_capture(path, records)
    for folder in disclosures:
        _read_disclosures(folder, records)
    records.alerts.sort(key=lambda each: (each.event.time, each.event.source, each.event.sequence))
    records.positions.sort(key=lambda each: (each.event.time, each.event.source, each.event.sequence))
    records.captured.sort(key=lambda each: each.t_rx_utc_ns)
    return records


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_HASH_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _read_outbox(path: Path, records: Records, seen: set[str]) -> None:
    try:
        store = OutboxStore.open(path, read_only=True)
        try:
            digest = hashlib.sha256()
            taken = 0
            for row in store.rows(owner=records.device):
                found = _stored(row, records)
                if found is not None and row.message.event_id not in seen:
                    seen.add(row.message.event_id)
                    taken += len(row.message.body)
                    digest.update(row.message.body)
                    found.append(_fate(row, records))
            kept = store.kept()
        finally:
            store.close()
    except OutboxError as exc:
        raise AuditError(str(exc)) from exc
    what = "outbox: bodies of this device's messages, in order"
    records.sources.append(Source(path=path, what=what, length=taken, sha256=digest.hexdigest()))
    for saved in kept:
        if saved.key.startswith(ORDER_ROOM) and saved.owner == records.device:
            order = read_saved(saved)
            if isinstance(order, Order):
                records.orders.append(order)


def _stored(row: StoredRow, records: Records) -> list[Stored] | None:
    """Say which list a message belongs in."""
    topic = find_topic(row.message.topic)
    if topic is None or topic.subject != records.device:
        return None
    return {Stream.ALERT: records.alerts, Stream.POSITION: records.positions, Stream.INCIDENT: records.incidents}.get(
        topic.stream
    )


def _fate(row: StoredRow, records: Records) -> Stored:
    topic = find_topic(row.message.topic)
    assert topic is not None
    kind: type[AlertEvent | ProtectedAlertEvent | PositionEvent | IncidentEvent]
    match topic.stream:
        case Stream.POSITION:
            kind = PositionEvent
        case Stream.INCIDENT:
            kind = IncidentEvent
        case _:
            kind = ProtectedAlertEvent if topic.side is Side.PROTECTED else AlertEvent
    try:
        event = decode(row.message.body, kind)
    except msgspec.MsgspecError as exc:
        raise AuditError(f"message {row.message.event_id} of {records.device} cannot be read: {exc}") from exc
    return Stored(
        event=event,
        topic=row.message.topic,
        body=row.message.body,
        attempts=row.attempts,
        kept_utc_ns=row.t_utc_ns,
        acked_utc_ns=row.acked_utc_ns,
        receipt=row.receipt,
        receipt_utc_ns=row.receipt_utc_ns,
    )


def _read_capture(path: Path, records: Records) -> None:
    try:
        header, chunks = read_capture(path)
        if header.device_id != records.device:
            return
        decoder = NmeaDecoder()
        t_rx_utc_ns = header.t_start_utc_ns
        for chunk in chunks:
            t_rx_utc_ns = chunk.t_rx_utc_ns
            records.captured += _reports(decoder.feed(chunk.data, t_rx_utc_ns=t_rx_utc_ns), t_rx_utc_ns)
        records.captured += _reports(decoder.close(), t_rx_utc_ns)
    except CaptureError as exc:
        raise AuditError(str(exc)) from exc
    what = f"raw capture, tagrig {header.tagrig_version}, configuration {header.config_hash}"
    records.sources.append(Source(path=path, what=what, length=path.stat().st_size, sha256=file_hash(path)))


def _reports(found: Sequence[object], t_rx_utc_ns: int) -> Iterator[Captured]:
    for report in found:
        if isinstance(report, TagStatus) or (isinstance(report, Fix) and report.state is FixState.POSITION):
            yield Captured(report=report, t_rx_utc_ns=t_rx_utc_ns)


def _read_disclosures(folder: Path, records: Records) -> None:
    logs = find_logs(folder)
    for bridge, files in logs:
        chain = Chain(bridge=bridge)
        for place in read_chain(files, chain):
            if isinstance(place.line, Sent):
                topic = find_topic(place.line.topic)
                if topic is not None and topic.subject == records.device and topic.side is not Side.BRIDGE:
                    records.disclosures.append((place.line, place.digest))
        records.chains.append(chain)
        if chain.broken is not None:
            records.notes.append(f"the disclosure log of {bridge} is broken at {chain.broken}; it is used up to there")
    if not logs:
        records.notes.append(f"{folder} holds no disclosure log")


def event_utc_ns(stored: Stored) -> int:
    """When an event was made by the bridge."""
    return utc_ns(stored.event.time)
