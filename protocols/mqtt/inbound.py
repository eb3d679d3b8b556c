"""What a provider sends unsigned: receipts, whether it listens, and the bridge's own canary coming back.

Commands are signed and read by ``signed.read_command``. Unknown fields are ignored here: a provider may say more than
this version understands, and nothing that it says on these topics changes an order.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Annotated, Literal, TypeVar

import msgspec

from protocols.mqtt.refusal import Refusal, RefusalReason, clip_detail

MAX_INBOUND_BYTES = 4096
"""Largest receipt, status or canary. The longest that this contract describes has about 1,100 bytes."""

MAX_SEQUENCE = 2**63 - 1
"""Largest sequence number: what a database of 64-bit integers holds. Streams count by one from one."""


SourceName = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
EventId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
PersonName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
ShortText = Annotated[str, msgspec.Meta(max_length=256)]
SequenceText = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}(?!\n)$")]


@unique
class ReceiptState(StrEnum):
    """How far an alert got at the provider. REJECTED: its system does not take it; a person must look."""

    RECEIVED = "received"
    DISPLAYED = "displayed"
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"


class ReceiptBody(msgspec.Struct, frozen=True, kw_only=True):
    """``{root}/bridge/{id}/receipt``: all of a stream up to a number, or one event by its id; or both in one.

    ``upto`` is a sequence number as it stands in the envelope; leading zeros may be left out, a number is taken too.
    """

    source: SourceName
    upto: SequenceText | Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)] | None = None
    id: EventId | None = None
    state: ReceiptState = ReceiptState.RECEIVED
    at: ShortText | None = None
    by: PersonName | None = None


class ProviderStatusBody(msgspec.Struct, frozen=True, kw_only=True):
    """``{root}/provider/{consumer}/status``: retained, and the consumer's will says offline."""

    state: Literal["online", "offline"]
    at: ShortText | None = None
    reason: ShortText | None = None


class CanaryBody(msgspec.Struct, frozen=True, kw_only=True):
    """``{root}/bridge/{id}/canary``: sent by a bridge to itself through the broker."""

    epoch: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    number: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A provider's word that it has events of a stream.

    Attributes
    ----------
    source : str
        The stream, as in the envelope.
    upto : int or None
        All events up to this number; None: this receipt is about one event.
    event_id : str or None
        One event; None: only ``upto`` is told.
    state : ReceiptState
        Of that one event. ``upto`` always means received.
    at, by : str or None
        When and by whom, in the provider's words.
    """

    source: str
    upto: int | None = None
    event_id: str | None = None
    state: ReceiptState = ReceiptState.RECEIVED
    at: str | None = None
    by: str | None = None

    @property
    def is_rejected(self) -> bool:
        """Whether the provider's system did not take the event."""
        return self.state is ReceiptState.REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStatus:
    """Whether a consumer of the provider listens."""

    is_online: bool
    at: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One canary: which start of the bridge sent it, and which it was of that start."""

    epoch: str
    number: int


_BodyT = TypeVar("_BodyT", ReceiptBody, ProviderStatusBody, CanaryBody)
_receipt_decoder = msgspec.json.Decoder(ReceiptBody)
_provider_decoder = msgspec.json.Decoder(ProviderStatusBody)
_canary_decoder = msgspec.json.Decoder(CanaryBody)


def read_receipt(body: bytes) -> Receipt | Refusal:
    """Read a receipt; what is none becomes a refusal."""
    said = _read(body, _receipt_decoder)
    if isinstance(said, Refusal):
        return said
    if said.upto is None and said.id is None:
        return Refusal(reason=RefusalReason.INVALID_FIELD, detail="expected upto, id or both; got neither")
    if said.upto is not None and int(said.upto) > MAX_SEQUENCE:
        detail = f"upto is beyond every sequence number ({MAX_SEQUENCE}), got {said.upto}"
        return Refusal(reason=RefusalReason.INVALID_FIELD, detail=detail)
    upto = None if said.upto is None else int(said.upto)
    return Receipt(source=said.source, upto=upto, event_id=said.id, state=said.state, at=said.at, by=said.by)


def read_provider_status(body: bytes) -> ProviderStatus | Refusal:
    """Read a consumer's status. An empty body is a retained message taken away: nobody is there any more."""
    if not body:
        return ProviderStatus(is_online=False, reason="its status was taken away")
    said = _read(body, _provider_decoder)
    if isinstance(said, Refusal):
        return said
    return ProviderStatus(is_online=said.state == "online", at=said.at, reason=said.reason)


def encode_canary(canary: Canary) -> bytes:
    """Body of a canary."""
    return msgspec.json.encode(CanaryBody(epoch=canary.epoch, number=canary.number))


def read_canary(body: bytes) -> Canary | Refusal:
    """Read a canary that came back; anybody who may write to the topic may have sent it."""
    said = _read(body, _canary_decoder)
    return said if isinstance(said, Refusal) else Canary(epoch=said.epoch, number=said.number)


def _read(body: bytes, decoder: msgspec.json.Decoder[_BodyT]) -> _BodyT | Refusal:
    if len(body) > MAX_INBOUND_BYTES:
        detail = f"expected at most {MAX_INBOUND_BYTES} bytes, got {len(body)}"
        return Refusal(reason=RefusalReason.TOO_LARGE, detail=detail)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as exc:
        return Refusal(reason=RefusalReason.INVALID_FIELD, detail=clip_detail(str(exc)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        return Refusal(reason=RefusalReason.NOT_JSON, detail=clip_detail(str(exc)))
