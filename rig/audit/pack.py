"""The pack for a court: statement, tables, map, the messages themselves, custody form, and a manifest with hashes.

All but the manifest's time of making follows from the records alone: who has the same records and the same tagrig gets
the same files.
"""

import csv
import hashlib
import io
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec

from protocols.mqtt.messages import AlertEvent, IncidentEvent, ProtectedAlertEvent
from protocols.mqtt.times import utc_text
from rig.audit.errors import AuditError
from rig.audit.findings import Findings
from rig.audit.records import Records, Stored, file_hash
from rig.audit.statement import write_custody_form, write_statement
from rig.audit.track_map import Shape, draw_map

MANIFEST = "manifest.json"

POINT_COLUMNS = (
    "n",
    "time_utc",
    "time_by_receiver",
    "received_utc",
    "latitude_deg",
    "longitude_deg",
    "altitude_m",
    "accuracy_m",
    "speed_mps",
    "course_deg",
    "satellites",
    "hdop",
    "battery_pct",
    "strap",
    "case",
    "told_utc",
    "from_memory",
    "late",
    "event_id",
    "sequence",
    "delivered_utc",
    "in_capture",
)


class PackedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file by its path below a folder, or an original by its own."""

    path: str
    length: int
    sha256: str
    what: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the pack holds and what it was made from."""

    exhibit: str
    device: str
    start: str
    end: str
    made_at: str
    made_by: str
    files: tuple[PackedFile, ...]
    originals: tuple[PackedFile, ...]
    disclosure_logs: tuple[dict[str, str | int | bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRequest:
    """Where the pack goes and what it is called. ``originals``: whether raw captures are copied into it."""

    folder: Path
    exhibit: str
    made_at_utc_ns: int
    shapes: tuple[Shape, ...] = ()
    originals: bool = True


def write_pack(findings: Findings, records: Records, request: PackRequest) -> Manifest:
    """Write the pack into a folder that must be empty or not there.

    Raises
    ------
    AuditError
        The folder holds something, or cannot be written.
    """
    folder = request.folder
    contents: dict[str, bytes] = {
        "statement.html": write_statement(findings, records, exhibit=request.exhibit).encode(),
        "points.csv": _points(findings),
        "events.csv": _events(findings, records),
        "messages.jsonl": _messages(findings, records),
        "disclosures.csv": _disclosures(findings, records),
        "map.svg": draw_map(findings, request.shapes).encode(),
        "custody.html": write_custody_form(findings, exhibit=request.exhibit).encode(),
    }
    captures = [source for source in records.sources if source.what.startswith("raw capture")]
    if request.originals:
        for source in captures:
            contents[f"originals/{source.path.name}"] = source.path.read_bytes()
    files = tuple(
        PackedFile(path=name, length=len(body), sha256=hashlib.sha256(body).hexdigest())
        for name, body in sorted(contents.items())
    )
    manifest = Manifest(
        exhibit=request.exhibit,
        device=findings.device,
        start=utc_text(findings.period.start_utc_ns),
        end=utc_text(findings.period.end_utc_ns),
        made_at=utc_text(request.made_at_utc_ns),
        made_by=f"tagrig {version('tagrig')}, Python {platform.python_version()}",
        files=files,
        originals=tuple(
            PackedFile(path=str(each.path), length=each.length, sha256=each.sha256, what=each.what)
            for each in records.sources
        ),
        disclosure_logs=tuple(
            {"bridge": chain.bridge, "whole": chain.is_whole, "lines": chain.lines, "head": chain.head}
            for chain in records.chains
        ),
    )
    contents[MANIFEST] = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            raise AuditError(f"{folder}: is not empty; a pack is never mixed with other files. Next: name a new folder")
        for name, body in contents.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True, mode=0o700)
            path.write_bytes(body)
            path.chmod(0o600)
    except OSError as exc:
        raise AuditError(f"{folder}: the pack cannot be written: {exc.strerror}") from exc
    return manifest


def verify_pack(folder: Path) -> tuple[Manifest, list[str]]:
    """Compare a pack with its manifest; returns what differs.

    Raises
    ------
    AuditError
        There is no manifest, or it cannot be read.
    """
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as exc:
        raise AuditError(f"{path}: is no manifest of a pack: {exc}") from exc
    listed = {file.path: file for file in manifest.files}
    here = {str(found.relative_to(folder)) for found in folder.rglob("*") if found.is_file()} - {MANIFEST}
    wrong = [f"{name}: is not in the manifest" for name in sorted(here - listed.keys())]
    for name, file in listed.items():
        if name not in here:
            wrong.append(f"{name}: is missing")
        elif file_hash(folder / name) != file.sha256:
            wrong.append(f"{name}: does not have the hash that the manifest states: it was changed")
    return manifest, wrong


def _table(columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    return text.getvalue().encode()


def _time(t_utc_ns: int | None) -> str | None:
    return None if t_utc_ns is None else utc_text(t_utc_ns)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _points(findings: Findings) -> bytes:
    rows: list[tuple[object, ...]] = [
        (
            n,
            utc_text(point.t_utc_ns),
            _yes(point.has_own_time),
            utc_text(point.received_utc_ns),
            f"{point.lat_deg:.7f}",
            f"{point.lon_deg:.7f}",
            point.alt_m,
            point.accuracy_m,
            point.speed_mps,
            point.course_deg,
            point.satellites,
            point.hdop,
            point.battery_pct,
            point.strap,
            point.case,
            _time(point.told_utc_ns),
            _yes(point.stored),
            _yes(point.late),
            point.event_id,
            point.sequence,
            _time(point.delivered_utc_ns),
            _yes(point.in_capture),
        )
        for n, point in enumerate(findings.points, start=1)
    ]
    return _table(POINT_COLUMNS, rows)


def _events(findings: Findings, records: Records) -> bytes:
    """Event time, received time, and who acted when, for each message of each alert."""
    acted = _acknowledged(records)
    rows: list[tuple[object, ...]] = []
    for episode in findings.episodes:
        for stored in episode.events:
            assert isinstance(stored.event, AlertEvent | ProtectedAlertEvent)
            data = stored.event.data
            by, at = acted.get(stored.event.id, (None, None))
            rows.append(
                (
                    data.occurred_at,
                    data.detected_at,
                    _time(stored.kept_utc_ns),
                    _time(stored.acked_utc_ns),
                    _time(stored.receipt_utc_ns),
                    ("", "received", "refused")[stored.receipt] if 0 <= stored.receipt <= 2 else stored.receipt,
                    at,
                    by,
                    data.msg_type,
                    data.kind,
                    episode.about,
                    data.severity,
                    data.level,
                    data.reason,
                    data.clock,
                    _yes(data.late),
                    _yes(data.stored),
                    episode.alert_id,
                    stored.event.id,
                    stored.event.sequence,
                    stored.attempts,
                )
            )
    columns = (
        "occurred_utc",
        "detected_utc",
        "kept_utc",
        "broker_took_utc",
        "provider_receipt_utc",
        "receipt",
        "acknowledged_utc",
        "acknowledged_by",
        "step",
        "kind",
        "about",
        "severity",
        "level",
        "reason",
        "clock",
        "late",
        "from_memory",
        "alert_id",
        "event_id",
        "sequence",
        "sendings",
    )
    return _table(columns, sorted(rows, key=lambda row: (str(row[1]), str(row[19]))))


def _acknowledged(records: Records) -> dict[str, tuple[str, str]]:
    """Who took up which alert event, by the incidents that say so."""
    found: dict[str, tuple[str, str]] = {}
    for stored in records.incidents:
        if not isinstance(stored.event, IncidentEvent):
            continue
        data = stored.event.data
        if data.acknowledged_by is not None and data.acknowledged_at is not None:
            for proof in data.evidence:
                if proof.at <= data.acknowledged_at:
                    found.setdefault(proof.id, (data.acknowledged_by, data.acknowledged_at))
    return found


def _messages(findings: Findings, records: Records) -> bytes:
    """Give the messages themselves, as they were made, so that the tables can be made again by others."""
    alerts = [stored for episode in findings.episodes for stored in episode.events]
    released = {point.event_id for point in findings.points}
    positions = [stored for stored in records.positions if stored.event.id in released]
    ordered: list[Stored] = sorted((*alerts, *positions), key=lambda each: (each.event.time, each.event.id))
    return b"".join(stored.body + b"\n" for stored in ordered)


def _disclosures(findings: Findings, records: Records) -> bytes:
    """Who was told what, when and why; with the line's number and hash in the whole log."""
    start, end = utc_text(findings.period.start_utc_ns), utc_text(findings.period.end_utc_ns)
    rows: list[tuple[object, ...]] = [
        (
            line.t,
            line.to,
            line.client_id,
            line.topic,
            line.type,
            line.id,
            line.attempt,
            line.purpose,
            line.length,
            line.sha256,
            line.n,
            digest,
        )
        for line, digest in records.disclosures
        if start <= line.t < end
    ]
    columns = "time_utc to as topic type event_id attempt purpose length sha256 line hash"
    return _table(tuple(columns.split()), rows)
