"""The captured bytes decoded again, beside the reports of the journal: proof that they are what was judged."""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from devices.capture import SUFFIX, CaptureHeader, CaptureRecord, RecordKind, read_records
from devices.errors import CaptureError
from devices.events import DeviceEvent, LinkEvent, PresenceEvent
from protocols.mqtt.times import utc_text
from protocols.nmea import NmeaDecoder
from protocols.rejects import Reject
from protocols.reports import Report
from rig.replay.errors import ReplayError
from rig.replay.journal_file import JournaledStart
from rig.replay.turns import events_of

MAX_NAMED = 20
"""Reports that differ and are named."""

_MOST_FIELDS = 3
"""Fields of a report that are named where it differs."""

_TIMES = ("t_fix_utc_ns", "t_status_utc_ns")
"""Fields that say when a report is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redecoded:
    """What the captures of one device say.

    Attributes
    ----------
    device : str
    captures, n_bytes : int
    reports : int
        In the journal.
    identical : int
        Of them, those that the bytes gave again, in their order.
    not_judged : int
        Given by the bytes and in no turn: those of a bridge that died before it judged them.
    differing : tuple of str
        The first reports that are not the same.
    """

    device: str
    captures: int
    n_bytes: int
    reports: int
    identical: int
    not_judged: int
    differing: tuple[str, ...]

    @property
    def is_identical(self) -> bool:
        """Whether the bytes give what was judged."""
        return self.identical == self.reports and not self.differing


def redecode(folder: Path, starts: Sequence[JournaledStart]) -> list[Redecoded]:
    """Decode all captures of a folder; one result per device that has any.

    Raises
    ------
    ReplayError
        A capture cannot be read.
    """
    journaled = [_reports_of(start) for start in starts]
    by_device: dict[str, list[Path]] = defaultdict(list)
    headers: dict[Path, CaptureHeader] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            headers[path], _ = read_records(path)
        except CaptureError as exc:
            raise ReplayError(str(exc)) from exc
        by_device[headers[path].device_id].append(path)
    found = []
    for device, paths in sorted(by_device.items()):
        checks = [
            _Check(reports[device], has_died=not _ended_in_order(start))
            for start, reports in zip(starts, journaled, strict=True)
        ]
        n_bytes = 0
        for path in paths:
            # A start makes its captures after it has said from what it goes on.
            began = [n for n, s in enumerate(starts) if s.line.t_mono_ns <= headers[path].t_start_mono_ns]
            _, records = read_records(path)
            n_bytes += checks[began[-1] if began else 0].decode(records)
        for check in checks:
            check.finish()
        found.append(
            Redecoded(
                device=device,
                captures=len(paths),
                n_bytes=n_bytes,
                reports=sum(check.reports for check in checks),
                identical=sum(check.identical for check in checks),
                not_judged=sum(check.not_judged for check in checks),
                differing=tuple(text for check in checks for text in check.differing)[:MAX_NAMED],
            )
        )
    return found


def _reports_of(start: JournaledStart) -> dict[str, deque[DeviceEvent]]:
    found: dict[str, deque[DeviceEvent]] = defaultdict(deque)
    for turn in start.turns:
        for event in events_of(turn):
            if not isinstance(event.report, LinkEvent | PresenceEvent):
                found[event.device_id].append(event)
    return found


def _ended_in_order(start: JournaledStart) -> bool:
    return any(turn.do == "finish" and not turn.is_cut for turn in start.turns)


class _Check:
    """Decodes as the driver does, and compares with what it handed on."""

    def __init__(self, owed: deque[DeviceEvent], *, has_died: bool) -> None:
        self._owed = owed
        self._has_died = has_died
        self.reports = len(owed)
        self.identical = 0
        self.not_judged = 0
        self.differing: list[str] = []

    def decode(self, records: Iterator[CaptureRecord]) -> int:
        """Decode one capture; returns its bytes."""
        n_bytes = 0
        decoder: NmeaDecoder | None = None
        before: CaptureRecord | None = None
        for record in records:
            if record.kind in (RecordKind.OPENED, RecordKind.LOST):
                if decoder is not None:
                    self._take(decoder.close())
                decoder, before = None, None
            elif record.kind is RecordKind.RECEIVED:
                decoder = decoder or NmeaDecoder()
                if before is not None and before.t_mono_ns != record.t_mono_ns:
                    self._take_idle(decoder, before)
                n_bytes += len(record.data)
                self._take(decoder.feed(record.data, t_rx_utc_ns=record.t_utc_ns))
                before = record
        if decoder is not None:
            self._take(decoder.close())
        return n_bytes

    def _take_idle(self, decoder: NmeaDecoder, before: CaptureRecord) -> None:
        """Close the epoch where the driver did: it handed on one more report of the chunk that was its last then."""
        if decoder.has_open_epoch and self._owed and self._owed[0].stamps.t_rx_mono_ns == before.t_mono_ns:
            self._take(decoder.close_epoch())

    def _take(self, reports: Sequence[Report | Reject]) -> None:
        for report in reports:
            if not self._owed:
                self.not_judged += 1
                continue
            event = self._owed.popleft()
            if event.report == report:
                self.identical += 1
            elif len(self.differing) < MAX_NAMED:
                self.differing.append(_difference(event.report, report))

    def finish(self) -> None:
        """Name what is left over."""
        if self._owed:
            self.differing.append(
                f"{len(self._owed)} reports were judged that no bytes say, first {_name(self._owed[0].report)}"
            )
        if self.not_judged and not self._has_died:
            self.differing.append(f"the bytes say {self.not_judged} reports that were never judged")


def _difference(judged: object, decoded: object) -> str:
    """Say what differs, in few words: a report has twenty fields."""
    if type(judged) is not type(decoded):
        return f"judged was {_name(judged)}, the bytes say {_name(decoded)}"
    names = [field.name for field in fields(judged) if getattr(judged, field.name) != getattr(decoded, field.name)]  # type: ignore[arg-type]  # reports are dataclasses
    told = [
        f"{name} {getattr(judged, name)!r}, the bytes say {getattr(decoded, name)!r}" for name in names[:_MOST_FIELDS]
    ]
    more = f", and {len(names) - _MOST_FIELDS} more fields" if len(names) > _MOST_FIELDS else ""
    return f"judged was {_name(judged)} with {'; '.join(told)}{more}"


def _name(report: object) -> str:
    """Name a report by its kind, its time and where it began in the stream."""
    t_utc_ns = next((t for name in _TIMES if (t := getattr(report, name, None)) is not None), None)
    at = "" if t_utc_ns is None else f" of {utc_text(t_utc_ns)}"
    return f"{type(report).__name__}{at} at byte {getattr(report, 'offset', 0)}"
