"""A device's records as a bridge leaves them: its line captured and judged, messages kept, sent and disclosed."""

from dataclasses import asdict, dataclass
from pathlib import Path

from bridge.disclosure import DisclosureLog
from bridge.outbox.durable import DurableOutbox
from bridge.publisher import Message
from devices.capture import CaptureHeader, CaptureWriter, RecordKind, capture_path
from devices.events import DeviceEvent, Stamps
from protocols.mqtt.messages import with_delivery
from protocols.nmea import NmeaDecoder
from protocols.nmea.encode import encode_gga, encode_rmc
from protocols.nmea.tag import encode_status
from protocols.rejects import Reject
from protocols.reports import Closure
from tests.bridge.bench import LAT, LON, METRE_DEG, Bench

ZONE = 'zones = ["z-ex"]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Whether a message was delivered, and confirmed by the provider."""

    sendings: int = 1
    receipt: bool = True


class Scene:
    """Ten minutes: 10 s apart, an entry into the zone, a strap cut, two minutes of silence, a line that goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bench = Bench(folder, zones=ZONE, extra=_FOLDERS)
        self.decoder = NmeaDecoder()
        self.start_utc_ns = self.bench.clock.utc_ns()
        header = CaptureHeader(
            device_id="tag",
            transport="memory:tag",
            tagrig_version="0",
            t_start_mono_ns=self.bench.clock.mono_ns(),
            t_start_utc_ns=self.start_utc_ns,
            config_hash="c0ffee",
        )
        captures = folder / "captures"
        self.capture = CaptureWriter(capture_path(captures, "tag", self.start_utc_ns), header)
        self.outbox, _ = DurableOutbox.open(folder / "outbox", paths=1, clock=self.bench.clock, ballast_bytes=0)
        self.log = self.open_log()
        self._written = 0

    def open_log(self) -> DisclosureLog:
        return DisclosureLog(
            self.folder / "disclosures",
            bridge_id="b",
            client_id="tagrig-b",
            version="0",
            epoch="EPOCH",
            purpose="supervision of a court order",
            clock=self.bench.clock,
        )

    def play(self) -> None:
        for second in range(0, 600, 10):
            silent = 300 <= second < 420
            if not silent:
                self.report(north_m=500 if second < 120 else 20, strap_open=200 <= second < 260)
                self.bench.fix("her", 3000)
            self.bench.wait(10)
            self.deliver()

    def report(self, *, north_m: float, strap_open: bool) -> None:
        """One cycle of the tag's line: RMC, GGA, status."""
        t_utc_ns = self.bench.clock.utc_ns()
        lat_deg = LAT + north_m * METRE_DEG
        line = encode_rmc(t_utc_ns=t_utc_ns, lat_deg=lat_deg, lon_deg=LON, speed_mps=1.0, course_deg=90.0)
        line += encode_gga(t_utc_ns=t_utc_ns, lat_deg=lat_deg, lon_deg=LON, satellites_used=9, hdop=0.8, alt_m=12.0)
        status = self.bench.make_status(battery_pct=66, strap=Closure.OPEN if strap_open else Closure.CLOSED)
        told = asdict(status)
        del told["offset"]
        line += encode_status(**told)
        now = self.bench.clock.mono_ns()
        self.capture.write(RecordKind.RECEIVED, line, t_mono_ns=now, t_utc_ns=t_utc_ns)
        stamps = Stamps(t_rx_mono_ns=now, t_rx_utc_ns=t_utc_ns, t_decoded_mono_ns=now)
        found = self.decoder.feed(line, t_rx_utc_ns=t_utc_ns)
        assert not any(isinstance(report, Reject) for report in found)
        self.bench.pipeline.process([DeviceEvent(device_id="tag", report=report, stamps=stamps) for report in found])

    def deliver(self, fate: Fate = Fate()) -> None:
        """Commit what was made, send it, take the PUBACK and the receipt."""
        fresh = self.bench.messages[self._written :]
        self._written = len(self.bench.messages)
        now = self.bench.clock.mono_ns()
        self.outbox.write(fresh, now)
        while (entry := self.outbox.find_next(0, now)) is not None:
            for attempt in range(1, fate.sendings + 1):
                body = _as_sent(entry.message, attempt)
                self.log.note(entry.message, body, "mqtts://provider.example:8883", attempt)
            self.log.flush()
            self.outbox.mark_delivered(0, entry.number, now)
        self.outbox.flush_acks(now, force=True)
        if fate.receipt:
            for source in {message.source for message in fresh if message.alert_type is not None}:
                self.outbox.take_receipt(source, upto=10**6)
            self.outbox.flush_acks(now, force=True)

    def end(self) -> None:
        self.log.close()
        self.outbox.close()
        self.capture.close()


def _as_sent(message: Message, attempt: int) -> bytes:
    if message.alert_type is None or attempt == 1:
        return message.body
    return with_delivery(message.body, message.alert_type, attempt=attempt)


_FOLDERS = """
[outbox]
folder = "outbox"
[disclosure]
folder = "disclosures"
[capture]
folder = "captures"
"""
