"""Answers to commands: made, numbered and submitted like alerts, with what is to be kept of a command."""

from collections.abc import Callable

from bridge.compose import Composer
from bridge.publisher import Message, Saved
from devices.clock import Clock
from protocols.mqtt.messages import Delivery, ReplyData, ReplyResult
from protocols.mqtt.refusal import Refusal, clip_detail
from protocols.mqtt.signed import SignedCommand
from protocols.mqtt.times import utc_text
from protocols.mqtt.words import ReplyState


class Replies:
    """Makes the answers of one bridge.

    Parameters
    ----------
    composer : Composer
    clock : Clock
    submit : callable
    """

    def __init__(self, composer: Composer, clock: Clock, submit: Callable[[Message], None]) -> None:
        self._composer = composer
        self._clock = clock
        self._submit = submit

    def accepted(self, signed: SignedCommand, saves: tuple[Saved, ...] = ()) -> Message:
        """Make the word that a command is taken and under way. Submit it: numbers are gapless."""
        return self._make(signed.nonce, signed.name, "accepted", saves=saves)

    def send_accepted(self, signed: SignedCommand, saves: tuple[Saved, ...] = ()) -> None:
        """Say that a command is taken and under way."""
        self._submit(self.accepted(signed, saves))

    def done(self, signed: SignedCommand, result: ReplyResult | None, saves: tuple[Saved, ...] = ()) -> None:
        """Say that a command was carried out."""
        self._submit(self._make(signed.nonce, signed.name, "done", result=result, saves=saves))

    def failed(self, signed: SignedCommand, refusal: Refusal, saves: tuple[Saved, ...] = ()) -> None:
        """Say that a command was tried and could not be carried out."""
        self._submit(self._make(signed.nonce, signed.name, "failed", refusal=refusal, saves=saves))

    def refused(self, refusal: Refusal, saves: tuple[Saved, ...] = ()) -> None:
        """Say that a command was not taken."""
        self._submit(self._make(refusal.nonce, refusal.command, "refused", refusal=refusal, saves=saves))

    def _make(
        self,
        nonce: str | None,
        command: str | None,
        state: ReplyState,
        *,
        refusal: Refusal | None = None,
        result: ReplyResult | None = None,
        saves: tuple[Saved, ...] = (),
    ) -> Message:
        now_utc_ns = self._clock.utc_ns()
        identity = self._composer.identity
        data = ReplyData(
            nonce=nonce,
            command=command,
            state=state,
            reason=refusal.reason if refusal is not None else None,
            detail=clip_detail(refusal.detail) if refusal is not None else "",
            result=result,
            answered_at=utc_text(now_utc_ns),
            delivery=Delivery(attempt=1, durable=identity.durable, epoch=identity.epoch),
        )
        return self._composer.reply(data, now_utc_ns, saves=saves)
