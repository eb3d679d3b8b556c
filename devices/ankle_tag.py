"""Driver of an ankle tag, or of a plain GNSS receiver, on any transport: bytes in, device events out.

It opens the line, decodes what comes, reopens with backoff when the line is lost, names a wrong baud rate, and sends
downlink commands until they are acknowledged. Every wait is on the transport or on the injected clock; nothing polls.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from devices.backoff import Backoff
from devices.baud_watch import BaudWatch, describe
from devices.clock import Clock
from devices.errors import (
    CommandTimeoutError,
    TransportClosedError,
    TransportEndedError,
    TransportError,
    TransportLostError,
    TransportOpenError,
)
from devices.events import DeviceEvent, LinkEvent, LinkState, Stamps
from devices.health import DeviceHealth, LineCounts, add_counters
from devices.transports.base import Chunk, Transport
from protocols.nmea import NmeaDecoder
from protocols.nmea.command_link import ACK_TIMEOUT_NS, MAX_ATTEMPTS, MAX_PENDING, CommandLink
from protocols.rejects import Reject
from protocols.reports import CommandAck, CommandVerb, Report

IDLE_CLOSE_NS = 150_000_000
"""ns of silence after which an open epoch is closed without waiting for the next one. A UART hands a burst on in steps
of at most 16 ms (FTDI's collecting time), and receivers pause some tens of ms between the sentences of one epoch; at
10 Hz the next epoch itself comes first. Shorter, a pause splits an epoch in two fixes; longer, a fix whose cycle is not
known yet, or whose last sentence was damaged, waits that much longer."""

SEND_QUEUE = 4 * MAX_PENDING
"""Sentences that wait for a line that takes none: every command in every attempt. More are dropped and counted; the
retry covers them."""

_log = logging.getLogger(__name__)


class AnkleTag:
    """One device on one line.

    Parameters
    ----------
    device_id : str
    transport : Transport
        Closed; the driver opens and closes it.
    clock : Clock
    on_event : callable
        Called in the event loop for each report, reject and change of the line, in stream order. It must not block.
    rng : random.Random, optional
        Jitter of the backoff.
    """

    def __init__(
        self,
        *,
        device_id: str,
        transport: Transport,
        clock: Clock,
        on_event: Callable[[DeviceEvent], None],
        rng: random.Random | None = None,
        idle_close_ns: int = IDLE_CLOSE_NS,
    ) -> None:
        self.device_id = device_id
        self._transport = transport
        self._clock = clock
        self._on_event = on_event
        self._backoff = Backoff(rng or random.Random())
        self._idle_close_ns = idle_close_ns
        self._decoder = NmeaDecoder()
        self._past = self._decoder.counters
        self._baud_watch = BaudWatch()
        self._newest: Chunk | None = None
        self._epoch_is_open = asyncio.Event()
        self._commands = CommandLink()
        self._answers: dict[int, asyncio.Future[CommandAck]] = {}
        self._submitted = asyncio.Event()
        self._to_send: asyncio.Queue[bytes] = asyncio.Queue(SEND_QUEUE)
        self._link: LinkState | None = None
        self._link_detail = ""
        self._down_since_mono_ns: int | None = None
        self._counts = LineCounts()
        self._is_running = False

    @property
    def health(self) -> DeviceHealth:
        """A snapshot of the counters."""
        return DeviceHealth(
            device_id=self.device_id,
            link=self._link,
            line=replace(self._counts),
            nmea=add_counters(self._past, self._decoder.counters),
            last_rx_mono_ns=None if self._newest is None else self._newest.t_rx_mono_ns,
        )

    async def run(self) -> None:
        """Follow the line until cancelled, until a replay has ended, or until the transport is closed by its owner."""
        parts = (self._follow_line(), self._close_idle_epochs(), self._watch_commands(), self._send_queued())
        tasks = [asyncio.create_task(part) for part in parts]
        self._is_running = True
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_running = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(CommandTimeoutError(f"{self.device_id}: the driver ended before any answer"))
        for task in done:
            task.result()

    async def command(self, verb: CommandVerb, argument: str = "") -> CommandAck:
        """Send a command and wait for the tag's answer; it is sent again while none comes.

        Raises
        ------
        CommandTimeoutError
            No answer to any attempt, or the driver is not running.
        protocols.errors.EncodeError
            The argument has no place on the wire, or too many commands are under way.
        """
        if not self._is_running:
            raise CommandTimeoutError(f"{self.device_id}: the driver is not running. Next: start run() first")
        command = self._commands.new_command(verb, argument)
        sentence = self._commands.submit(command, self._clock.mono_ns())
        answer: asyncio.Future[CommandAck] = asyncio.get_running_loop().create_future()
        self._answers[command.command_id] = answer
        self._counts.commands_sent += 1
        self._queue(sentence)
        self._submitted.set()
        try:
            return await answer
        finally:
            self._answers.pop(command.command_id, None)

    # The line

    async def _follow_line(self) -> None:
        while True:
            try:
                await self._transport.open()
            except TransportOpenError as exc:
                self._counts.open_failures += 1
                self._went_down(str(exc))
            else:
                self._came_up()
                try:
                    while True:
                        self._take(await self._transport.receive())
                except TransportLostError as exc:
                    self._end_stream()
                    self._counts.lost += 1
                    self._went_down(str(exc))
                except TransportEndedError as exc:
                    self._end_stream()
                    self._set_link(LinkState.ENDED, str(exc))
                    return
                except TransportClosedError:
                    return
                finally:
                    self._end_stream()
                    await self._transport.close()
            await self._clock.sleep_until(self._clock.mono_ns() + self._backoff.next_ns())

    def _came_up(self) -> None:
        self._counts.opened += 1
        self._baud_watch = BaudWatch()
        gap_ns = None
        if self._down_since_mono_ns is not None:
            gap_ns = self._clock.mono_ns() - self._down_since_mono_ns
            self._down_since_mono_ns = None
        self._set_link(LinkState.UP, self._transport.spec, gap_ns=gap_ns)

    def _went_down(self, detail: str) -> None:
        if self._down_since_mono_ns is None:
            self._down_since_mono_ns = self._clock.mono_ns()
        if self._link is not LinkState.LOST or detail != self._link_detail:
            self._set_link(LinkState.LOST, detail)

    def _set_link(self, state: LinkState, detail: str, *, gap_ns: int | None = None) -> None:
        self._link, self._link_detail = state, detail
        level = logging.INFO if state in (LinkState.UP, LinkState.ENDED) else logging.WARNING
        _log.log(level, "%s: line %s: %s", self.device_id, state, detail)
        now_ns = self._clock.mono_ns()
        stamps = Stamps(t_rx_mono_ns=now_ns, t_rx_utc_ns=self._clock.utc_ns(), t_decoded_mono_ns=now_ns)
        event = LinkEvent(state=state, detail=detail, gap_ns=gap_ns)
        self._on_event(DeviceEvent(device_id=self.device_id, report=event, stamps=stamps))

    # What comes in

    def _take(self, chunk: Chunk) -> None:
        self._backoff.reset()
        self._newest = chunk
        self._counts.chunks_in += 1
        self._hand_on(self._decoder.feed(chunk.data, t_rx_utc_ns=chunk.t_rx_utc_ns))
        if self._decoder.has_open_epoch:
            self._epoch_is_open.set()
        else:
            self._epoch_is_open.clear()
        if self._baud_watch.update(chunk.data, self._decoder.framed, chunk.t_rx_mono_ns):
            if self._baud_watch.is_wrong:
                self._counts.wrong_baud += 1
                self._set_link(LinkState.WRONG_BAUD, describe(self._transport.spec, self._baud_watch.sample))
            else:
                self._set_link(LinkState.UP, f"{self._transport.spec}: sentences frame now")

    def _hand_on(self, reports: Sequence[Report | Reject]) -> None:
        if not reports:
            return
        assert self._newest is not None
        stamps = Stamps(
            t_rx_mono_ns=self._newest.t_rx_mono_ns,
            t_rx_utc_ns=self._newest.t_rx_utc_ns,
            t_decoded_mono_ns=self._clock.mono_ns(),
        )
        for report in reports:
            if isinstance(report, CommandAck):
                self._acknowledge(report)
            self._on_event(DeviceEvent(device_id=self.device_id, report=report, stamps=stamps))

    def _end_stream(self) -> None:
        """Hand on what an ended stream leaves behind; the next opening begins a new one at offset 0."""
        decoder, self._decoder = self._decoder, NmeaDecoder()
        self._epoch_is_open.clear()
        reports = decoder.close()
        self._past = add_counters(self._past, decoder.counters)
        self._hand_on(reports)

    async def _close_idle_epochs(self) -> None:
        while True:
            await self._epoch_is_open.wait()
            assert self._newest is not None
            deadline_ns = self._newest.t_rx_mono_ns + self._idle_close_ns
            if self._clock.mono_ns() < deadline_ns:
                await self._clock.sleep_until(deadline_ns)
                continue
            self._epoch_is_open.clear()
            self._hand_on(self._decoder.close_epoch())

    # Commands

    def _acknowledge(self, ack: CommandAck) -> None:
        if self._commands.on_ack(ack) is None:
            return
        self._counts.commands_acked += 1
        answer = self._answers.get(ack.command_id)
        if answer is not None and not answer.done():
            answer.set_result(ack)

    async def _watch_commands(self) -> None:
        while True:
            deadline_ns = self._commands.next_deadline_ns
            if deadline_ns is None:
                self._submitted.clear()
                await self._submitted.wait()
                continue
            # Commands that come while this sleeps are due later than this one: all wait equally long.
            await self._clock.sleep_until(deadline_ns)
            now_ns = self._clock.mono_ns()
            for sentence in self._commands.due(now_ns):
                self._counts.commands_resent += 1
                self._queue(sentence)
            for command in self._commands.expired(now_ns):
                self._counts.commands_expired += 1
                answer = self._answers.get(command.command_id)
                if answer is not None and not answer.done():
                    answer.set_exception(
                        CommandTimeoutError(
                            f"{self.device_id}: no answer to {command.verb_text} in {MAX_ATTEMPTS} attempts "
                            f"{ACK_TIMEOUT_NS / 1e9:g} s apart; the line is {self._link or 'not open'}. "
                            "Next: see that the tag is on and hears (TX wire, baud rate)"
                        )
                    )

    def _queue(self, sentence: bytes) -> None:
        try:
            self._to_send.put_nowait(sentence)
        except asyncio.QueueFull:
            self._counts.send_failures += 1

    async def _send_queued(self) -> None:
        while True:
            sentence = await self._to_send.get()
            try:
                await self._transport.send(sentence)
            except TransportError as exc:
                self._counts.send_failures += 1
                _log.debug("%s: not sent: %s", self.device_id, exc)
            else:
                self._counts.bytes_out += len(sentence)
