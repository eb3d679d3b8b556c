"""The tag's end of the downlink: commands in, one answer each; a retry gets the old answer and acts no second time."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocols.nmea.tag import Command, CommandReceiver, encode_ack
from protocols.rejects import Reject
from protocols.reports import CommandOutcome, CommandVerb
from rig.emulator.firmware import Answer

_REMEMBERED: Final = 64
"""Commands whose answers are kept for retries. A sender retries within seconds; a smaller number would act twice on a
late retry after many commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """One command, and the sentence that answers it."""

    command_id: int
    verb: str
    argument: str
    outcome: CommandOutcome
    repeated: bool
    answer: bytes


class Downlink:
    """Bytes from the reader in any pieces; ``execute`` carries out a command at a tag time."""

    def __init__(self, execute: Callable[[CommandVerb, str, int], Answer]) -> None:
        self._execute = execute
        self._receiver = CommandReceiver()
        self._answers: OrderedDict[int, tuple[Command, Handled]] = OrderedDict()
        self.rejects = 0

    def feed(self, data: bytes, t_ns: int) -> list[Handled]:
        """Take bytes; give what is to be answered. Damaged sentences are counted and not answered."""
        out = []
        for item in self._receiver.feed(data):
            if isinstance(item, Reject):
                self.rejects += 1
            else:
                out.append(self._handle(item, t_ns))
        return out

    def _handle(self, command: Command, t_ns: int) -> Handled:
        known = self._answers.get(command.command_id)
        if known is not None and known[0] == command:
            before = known[1]
            return Handled(
                command_id=before.command_id,
                verb=before.verb,
                argument=before.argument,
                outcome=before.outcome,
                repeated=True,
                answer=before.answer,
            )
        if command.verb is None:
            answer = Answer(outcome=CommandOutcome.UNKNOWN)
        else:
            answer = self._execute(command.verb, command.argument, t_ns)
        handled = Handled(
            command_id=command.command_id,
            verb=command.verb_text,
            argument=command.argument,
            outcome=answer.outcome,
            repeated=False,
            answer=encode_ack(command.command_id, answer.outcome, answer.value),
        )
        self._answers[command.command_id] = (command, handled)
        while len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return handled
