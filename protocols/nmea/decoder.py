"""The stream decoder: bytes in, reports and rejects out, in stream order. No clock, no I/O."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from protocols.errors import DecoderClosedError
from protocols.nmea.dates import Calendar
from protocols.nmea.epoch import Assembler, Epoch
from protocols.nmea.fields import DAY_NS, FieldRefusedError
from protocols.nmea.fix import build_fix
from protocols.nmea.framer import Frame, Framer
from protocols.nmea.sentences import decode, find_kind
from protocols.nmea.tag import ACK_ADDRESS, STATUS_ADDRESS, decode_ack, decode_status
from protocols.rejects import Reject, RejectReason
from protocols.reports import CommandAck, Fix, NmeaReport


@dataclass(frozen=True, slots=True, kw_only=True)
class NmeaCounters:
    """What went through a decoder so far.

    Attributes
    ----------
    bytes_in : int
    framed : int
        Whole sentences with a right checksum, of any type.
    sentences : int
        Of these, the ones that were decoded: the ten types of ``sentences`` and the tag's own.
    ignored : int
        Of these, the ones of other types, AIS included. ``framed`` less ``sentences`` less ``ignored`` had a bad field.
    late_sentences : int
        Sentences that came after their epoch had been closed; their positions are reported, the rest of them is lost.
    fixes : int
        Fix reports, whatever their state.
    rejects_by_reason : Mapping[RejectReason, int]
        Only reasons that occurred.
    """

    bytes_in: int
    framed: int
    sentences: int
    ignored: int
    late_sentences: int
    fixes: int
    rejects_by_reason: Mapping[RejectReason, int]


class NmeaDecoder:
    """NMEA 0183 stream of one device, fed in any pieces. The same bytes give the same reports however they are cut.

    Parameters
    ----------
    require_checksum : bool
        When false, sentences without ``*hh`` are decoded too; one that has ``*hh`` must still be right.
    """

    __slots__ = (
        "_assembler",
        "_bytes_in",
        "_calendar",
        "_closed",
        "_fixes",
        "_framed",
        "_framer",
        "_ignored",
        "_rejects",
        "_sentences",
        "_t_rx_utc_ns",
    )

    def __init__(self, require_checksum: bool = True) -> None:
        self._framer = Framer(require_checksum=require_checksum)
        self._assembler = Assembler()
        self._calendar = Calendar()
        self._closed = False
        self._bytes_in = 0
        self._framed = 0
        self._sentences = 0
        self._ignored = 0
        self._fixes = 0
        self._rejects: Counter[RejectReason] = Counter()
        self._t_rx_utc_ns: int | None = None

    @property
    def counters(self) -> NmeaCounters:
        """A snapshot."""
        return NmeaCounters(
            bytes_in=self._bytes_in,
            framed=self._framed,
            sentences=self._sentences,
            ignored=self._ignored,
            late_sentences=self._assembler.late_sentences,
            fixes=self._fixes,
            rejects_by_reason=dict(self._rejects),
        )

    @property
    def framed(self) -> int:
        """``counters.framed`` alone, for a caller that asks at every chunk."""
        return self._framed

    @property
    def has_open_epoch(self) -> bool:
        """Whether ``close_epoch`` would report a fix."""
        return self._assembler.has_open_epoch

    def feed(self, data: bytes, *, t_rx_utc_ns: int | None = None) -> list[NmeaReport | Reject]:
        """Take the next bytes; return what they completed.

        Parameters
        ----------
        data : bytes
        t_rx_utc_ns : int, optional
            The host's UTC when the bytes came in, for rollover and for receivers that send no date.

        Raises
        ------
        DecoderClosedError
            ``close`` was called before.
        """
        if self._closed:
            raise DecoderClosedError("feed after close: make a new NmeaDecoder for a new stream")
        self._bytes_in += len(data)
        if t_rx_utc_ns is not None:
            self._t_rx_utc_ns = t_rx_utc_ns
        out: list[NmeaReport | Reject] = []
        for item in self._framer.feed(data):
            self._take(item, out)
        return out

    def close_epoch(self) -> list[NmeaReport | Reject]:
        """Close the open epoch: to be called when the line has been idle for longer than a pause within a cycle."""
        return self._fix_reports(self._assembler.close())

    def close(self) -> list[NmeaReport | Reject]:
        """End of stream: name what is left in the buffer, close the open epoch."""
        out: list[NmeaReport | Reject] = []
        if not self._closed:
            self._closed = True
            for item in self._framer.close():
                self._take(item, out)
            out += self._fix_reports(self._assembler.close())
        return out

    def _take(self, item: Frame | Reject, out: list[NmeaReport | Reject]) -> None:
        if isinstance(item, Reject):
            self._rejects[item.reason] += 1
            out.append(item)
            return
        self._framed += 1
        body = item.body.decode("ascii")
        address = body.partition(",")[0]
        try:
            kind = find_kind(address) if item.raw[0:1] == b"$" else None
            if kind is not None:
                sentence = decode(address, kind, body)
                self._sentences += 1
                out += self._fix_reports(self._assembler.add(sentence, item.offset))
            elif address == STATUS_ADDRESS:
                status = decode_status(item.offset, body)
                self._sentences += 1
                time_ns = None if status.t_status_utc_ns is None else status.t_status_utc_ns % DAY_NS
                closed = self._assembler.close_with_status(time_ns, status.sequence, stored=status.stored)
                out += self._fix_reports(closed)
                out.append(status)
            elif address == ACK_ADDRESS:
                ack: CommandAck = decode_ack(item.offset, body)
                self._sentences += 1
                out.append(ack)
            else:
                self._ignored += 1
        except FieldRefusedError as exc:
            self._rejects[exc.reason] += 1
            out.append(Reject(offset=item.offset, reason=exc.reason, raw=item.raw, detail=exc.detail))

    def _fix_reports(self, epochs: list[Epoch]) -> list[NmeaReport | Reject]:
        fixes: list[NmeaReport | Reject] = []
        for epoch in epochs:
            t_fix_utc_ns, rule = self._calendar.resolve(epoch.time_of_day_ns, epoch.day, self._t_rx_utc_ns)
            if epoch.claims:
                fix: Fix = build_fix(epoch, t_fix_utc_ns, rule)
                self._fixes += 1
                fixes.append(fix)
        return fixes
