"""Acknowledgement and retry of downlink commands, sans-I/O: time is an argument, bytes are returned to be sent."""

from dataclasses import dataclass

from protocols.errors import EncodeError
from protocols.nmea.tag import MAX_COMMAND_ID, Command, encode_command
from protocols.reports import CommandAck, CommandVerb

ACK_TIMEOUT_NS = 2_000_000_000
"""Wait for an answer before sending again. A tag at 9600 Bd may be in the middle of a burst of half a second and
answers between bursts, which come once a second; less would send every command twice."""

MAX_ATTEMPTS = 4
"""Times a command is sent. At a sentence loss of one in ten each way, one command in 800 is lost after four."""

MAX_PENDING = 16
"""Commands without an answer at a time: a tag that is gone must not collect them for ever."""


@dataclass(slots=True, kw_only=True)
class _Pending:
    command: Command
    sentence: bytes
    attempts: int
    deadline_mono_ns: int


class CommandLink:
    """Commands of one device: which are under way, which to send again, which to give up.

    A command is sent at most ``max_attempts`` times, ``ack_timeout_ns`` apart. The tag answers a repeated id with the
    answer it gave before and does not act twice.
    """

    __slots__ = ("_ack_timeout_ns", "_expired", "_max_attempts", "_next_id", "_pending")

    def __init__(self, *, ack_timeout_ns: int = ACK_TIMEOUT_NS, max_attempts: int = MAX_ATTEMPTS) -> None:
        self._ack_timeout_ns = ack_timeout_ns
        self._max_attempts = max_attempts
        self._next_id = 1
        self._pending: dict[int, _Pending] = {}
        self._expired: list[Command] = []

    def new_command(self, verb: CommandVerb, argument: str = "") -> Command:
        """Return a command with the next free id."""
        while self._next_id in self._pending:
            self._step_id()
        command = Command(command_id=self._next_id, verb=verb, verb_text=verb.value, argument=argument)
        self._step_id()
        return command

    def submit(self, command: Command, now_mono_ns: int) -> bytes:
        """Take a command under way; return the sentence to send now.

        Raises
        ------
        EncodeError
            It has no place on the wire, its id is under way already, or too many are.
        """
        if command.verb is None:
            raise EncodeError(f"verb: expected one of {', '.join(CommandVerb)}, got {command.verb_text!r}")
        if command.command_id in self._pending:
            raise EncodeError(f"command_id: {command.command_id} is under way already; use new_command for a free id")
        if len(self._pending) >= MAX_PENDING:
            raise EncodeError(f"{MAX_PENDING} commands wait for an answer; wait for one or for its time-out")
        sentence = encode_command(command.command_id, command.verb, command.argument)
        self._pending[command.command_id] = _Pending(
            command=command,
            sentence=sentence,
            attempts=1,
            deadline_mono_ns=now_mono_ns + self._ack_timeout_ns,
        )
        return sentence

    def on_ack(self, ack: CommandAck) -> Command | None:
        """Return the command that is answered, or None for one that is not under way (answered or given up)."""
        pending = self._pending.pop(ack.command_id, None)
        return None if pending is None else pending.command

    def due(self, now_mono_ns: int) -> list[bytes]:
        """Return the sentences to send again now; commands out of attempts move to ``expired``."""
        again: list[bytes] = []
        for pending in list(self._pending.values()):
            if pending.deadline_mono_ns > now_mono_ns:
                continue
            if pending.attempts >= self._max_attempts:
                del self._pending[pending.command.command_id]
                self._expired.append(pending.command)
                continue
            pending.attempts += 1
            pending.deadline_mono_ns = now_mono_ns + self._ack_timeout_ns
            again.append(pending.sentence)
        return again

    def expired(self, now_mono_ns: int) -> list[Command]:
        """Return, once, the commands whose last attempt timed out. Call ``due`` first: it sends what is left to try."""
        for pending in list(self._pending.values()):
            if pending.attempts >= self._max_attempts and pending.deadline_mono_ns <= now_mono_ns:
                del self._pending[pending.command.command_id]
                self._expired.append(pending.command)
        expired, self._expired = self._expired, []
        return expired

    @property
    def next_deadline_ns(self) -> int | None:
        """Monotonic time at which ``due`` and ``expired`` should be called next; None when nothing is under way."""
        return min((pending.deadline_mono_ns for pending in self._pending.values()), default=None)

    def _step_id(self) -> None:
        self._next_id = self._next_id % MAX_COMMAND_ID + 1
