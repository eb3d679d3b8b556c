"""Runs a firmware on a port: a thread that paces by absolute deadlines, and one that takes commands meanwhile."""

import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from devices.clock import Clock
from rig.emulator.clock import NS_PER_S, TagClock
from rig.emulator.downlink import Downlink, Handled
from rig.emulator.firmware import AnkleTagFirmware, Outgoing
from rig.emulator.pty_port import PtyPort
from rig.emulator.wire import encode_epoch
from rig.truth.records import TruthCommand, TruthEnd, TruthEpoch, TruthEvent, TruthRecord

UNPACED_PATIENCE_S: Final = 5.0
"""How long an unpaced run waits for a reader that does not read, seconds, before bytes are lost."""

_BITS_PER_BYTE: Final = 10
"""Start bit, eight data bits, stop bit: what a UART sends per byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """When a run ends and how it is paced.

    Attributes
    ----------
    duration_s : float
        Tag time after which the run ends; ``math.inf`` for never.
    baud : int or None
        Sentences arrive when their last bit would; None writes an epoch at once.
    """

    duration_s: float = math.inf
    baud: int | None = None


def epoch_record(item: Outgoing, stamp_mono_ns: int, written: int, size: int) -> TruthEpoch:
    """Write down an epoch of which so many of its bytes went out at a moment."""
    observation = item.epoch.observation
    # An estimate of a receiver without signals is marked as one, and no position to anybody.
    position = None if observation.coasting else observation.position
    return TruthEpoch(
        sequence=item.epoch.sequence,
        t_s=item.epoch.t_ns / NS_PER_S,
        t_utc_ns=item.epoch.t_utc_ns,
        stored=item.stored,
        true_lat_deg=item.epoch.truth.lat_deg,
        true_lon_deg=item.epoch.truth.lon_deg,
        lat_deg=position.lat_deg if position else None,
        lon_deg=position.lon_deg if position else None,
        sigma_m=math.hypot(position.sigma_lat_m, position.sigma_lon_m) / math.sqrt(2) if position else None,
        t_write_mono_ns=stamp_mono_ns,
        bytes_written=written,
        bytes_lost=size - written,
    )


def command_record(handled: Handled, t_ns: int, now_mono_ns: int) -> TruthCommand:
    """Write down a command that came at a tag time."""
    return TruthCommand(
        t_s=t_ns / NS_PER_S,
        command_id=handled.command_id,
        verb=handled.verb,
        argument=handled.argument,
        outcome=handled.outcome.value,
        repeated=handled.repeated,
        t_mono_ns=now_mono_ns,
    )


class Console(Protocol):
    """Something that answers on the tag's line beside its downlink commands."""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what came in; returns the answers, and what is for others."""
        ...


class TagRunner:
    """One emulated tag at work on one port.

    Parameters
    ----------
    firmware, tag_clock, port
    clock : Clock
        The bench's clock.
    record : callable
        Takes every record of the truth log, in order; called under the runner's lock.
    limits : RunLimits
    console : Console, optional
        Shares the line with the downlink commands and answers first.
    """

    def __init__(
        self,
        firmware: AnkleTagFirmware,
        tag_clock: TagClock,
        port: PtyPort,
        clock: Clock,
        record: Callable[[TruthRecord], None],
        limits: RunLimits,
        console: Console | None = None,
    ) -> None:
        self._firmware = firmware
        self._tag_clock = tag_clock
        self._port = port
        self._clock = clock
        self._record = record
        self._limits = limits
        self._console = console
        self._downlink = Downlink(firmware.execute)
        self._changed = threading.Condition()
        self._stopping = False
        self._epochs = 0
        self._bytes_written = 0
        self._t_ns = 0

    def stop(self) -> None:
        """End the run soon; safe from a signal handler's thread."""
        self._stopping = True

    def run(self) -> TruthEnd:
        """Run until the duration is over or ``stop`` is called."""
        wake_read, wake_write = os.pipe()
        listener = threading.Thread(target=self._listen, args=(wake_read,), name="downlink", daemon=True)
        listener.start()
        try:
            self._pace()
        finally:
            os.write(wake_write, b"x")
            listener.join()
            os.close(wake_read)
            os.close(wake_write)
        end = TruthEnd(
            t_s=self._t_ns / NS_PER_S,
            epochs=self._epochs,
            bytes_written=self._bytes_written,
            bytes_lost=self._port.bytes_lost,
            bytes_unheard=self._port.bytes_unheard,
            stored_dropped=self._firmware.stored_dropped,
        )
        self._record(end)
        return end

    def _pace(self) -> None:
        end_ns = self._limits.duration_s * NS_PER_S
        while not self._stopping:
            with self._changed:
                due_ns = self._firmware.next_due_ns()
                if due_ns > end_ns:
                    due_ns = round(end_ns)
                left_ns = self._tag_clock.due_mono_ns(due_ns) - self._clock.mono_ns()
                if left_ns > 0:
                    # bounded, so that a stop from a signal handler is seen
                    self._changed.wait(min(left_ns / NS_PER_S, 0.2))
                    continue
                self._t_ns = due_ns
                if due_ns >= end_ns:
                    return
                outgoing = self._firmware.run(due_ns)
                self._record_applied()
            for item in outgoing:
                self._send(item)

    def _record_applied(self) -> None:
        for action in self._firmware.take_applied():
            self._record(
                TruthEvent(t_s=action.at_s, kind=action.kind.value, value=action.value, t_mono_ns=self._clock.mono_ns())
            )

    def _send(self, item: Outgoing) -> None:
        sentences = encode_epoch(item.epoch, stored=item.stored)
        if self._limits.baud is None:
            stamp, written, size = self._write(b"".join(sentences))
        else:
            stamp, written, size = self._write_paced(sentences, self._limits.baud)
        self._epochs += 1
        self._bytes_written += written
        with self._changed:
            self._record(epoch_record(item, stamp, written, size))

    def _write(self, data: bytes) -> tuple[int, int, int]:
        patience_s = UNPACED_PATIENCE_S if math.isinf(self._tag_clock.speed) else 0.0
        with self._changed:
            stamp = self._clock.mono_ns()
            return stamp, self._port.write(data, patience_s=patience_s), len(data)

    def _write_paced(self, sentences: list[bytes], baud: int) -> tuple[int, int, int]:
        """Write each sentence when its last bit is due; an answer to a command may come in between."""
        due_ns = self._clock.mono_ns()
        stamp = written = size = 0
        for sentence in sentences:
            due_ns += round(len(sentence) * _BITS_PER_BYTE * NS_PER_S / baud)
            with self._changed:
                while (left_ns := due_ns - self._clock.mono_ns()) > 0 and not self._stopping:
                    self._changed.wait(min(left_ns / NS_PER_S, 0.2))
            stamp, done, length = self._write(sentence)
            written += done
            size += length
        return stamp, written, size

    def _listen(self, wake_fd: int) -> None:
        while (data := self._port.read(wake_fd)) is not None:
            with self._changed:
                if not self._firmware.on_air:
                    continue
                if self._console is not None:
                    answers, data = self._console.feed(data)
                    if answers:
                        self._port.write(answers, patience_s=1.0)
                now_ns = self._tag_clock.tag_time_ns(self._clock.mono_ns())
                t_ns = self._t_ns if now_ns is None else now_ns
                for handled in self._downlink.feed(data, t_ns):
                    self._port.write(handled.answer)
                    self._record(command_record(handled, t_ns, self._clock.mono_ns()))
                self._changed.notify_all()
