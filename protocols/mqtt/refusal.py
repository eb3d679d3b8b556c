"""Why something that a peer sent was not taken: never an exception, always a reason that is counted and logged."""

from dataclasses import dataclass
from enum import StrEnum, unique

MAX_DETAIL = 512
"""Characters of a refusal's detail. It may quote what the peer sent, and goes into logs and replies."""


@unique
class RefusalReason(StrEnum):
    """Closed list. The first group is told by the readers of this package, the second by who acts on a command."""

    TOO_LARGE = "too_large"
    """The body is longer than its topic allows."""
    NOT_JSON = "not_json"
    """The body, or the content of a signed one, is no JSON."""
    INVALID_FIELD = "invalid_field"
    """A field is missing, unknown, of another type or out of range; the detail has its path."""
    NOT_A_TOKEN = "not_a_token"
    """The body is no signed token in compact form."""
    WRONG_ALGORITHM = "wrong_algorithm"
    """Its header names another algorithm than EdDSA, or a parameter that is not understood."""
    BAD_SIGNATURE = "bad_signature"
    """It was not signed with the provider's key, or was changed since."""
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    """It was signed for another bridge."""
    STALE = "stale"
    """It was issued longer ago than the window, or has expired."""
    FROM_THE_FUTURE = "from_the_future"
    """It was issued further ahead than the window: the clocks disagree."""
    UNKNOWN_COMMAND = "unknown_command"

    NO_PROVIDER_KEY = "no_provider_key"
    """This bridge was given no key: it obeys nobody."""
    REPLAYED = "replayed"
    """A command with this nonce was taken before."""
    BUSY = "busy"
    """Too many commands wait already, or one of the same kind is at work."""
    UNKNOWN_DEVICE = "unknown_device"
    WRONG_ROLE = "wrong_role"
    """The device is not what the command is for: a wearer's where a protected person's is expected, or the reverse."""
    UNKNOWN_SOURCE = "unknown_source"
    """No stream of this bridge has that name."""
    UNKNOWN_ALERT = "unknown_alert"
    UNKNOWN_INCIDENT = "unknown_incident"
    UNKNOWN_ORDER = "unknown_order"
    ORDER_EXISTS = "order_exists"
    """An order with this id is loaded already. Next: ``replace_order``."""
    VERSION_CONFLICT = "version_conflict"
    """The loaded order has another version than ``if_version``, or a version that is not lower."""
    INVALID_ORDER = "invalid_order"
    """It contradicts itself, another order or the configuration."""
    INVALID_ZONES = "invalid_zones"
    """A zone cannot be judged; the detail has zone, ring and vertex."""
    NOT_SUPPORTED = "not_supported"
    """The device, or this bridge, has no way to do it."""
    NOT_REACHED = "not_reached"
    """The device did not answer in time."""
    NOT_KEPT = "not_kept"
    """It could not be written to disk, so it was not done: it would be forgotten at the next start."""
    OUT_OF_RANGE = "out_of_range"
    """What is asked for was never sent, or is past retention."""
    INTERNAL = "internal"
    """An error of the bridge itself; its log has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that was not taken.

    Attributes
    ----------
    reason : RefusalReason
    detail : str
        What was expected and what was got, for a person; empty where the reason says all.
    nonce : str or None
        Of a command whose signature is good; None: who sent it is not known.
    command : str or None
        Name of that command, where it could be read.
    """

    reason: RefusalReason
    detail: str = ""
    nonce: str | None = None
    command: str | None = None


def clip_detail(text: str) -> str:
    """Cut a detail to ``MAX_DETAIL`` characters on one line, printable."""
    flat = "".join(char if char.isprintable() else "�" for char in text[: MAX_DETAIL + 1])
    return flat if len(flat) <= MAX_DETAIL else f"{flat[: MAX_DETAIL - 1]}…"
