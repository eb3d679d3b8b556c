"""What a device sent that is not a report: counted, kept, never raised."""

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class RejectReason(StrEnum):
    """Why bytes from a device did not become a report."""

    BAD_CHECKSUM = "bad_checksum"
    """The two hex digits after ``*`` differ from the XOR of the sentence."""
    MISSING_CHECKSUM = "missing_checksum"
    """The sentence ends without ``*hh``."""
    TRUNCATED = "truncated"
    """A new ``$`` or ``!`` came before the sentence ended."""
    OVERLONG = "overlong"
    """No line end within the framer's cap, or bytes behind the end of a value."""
    GARBAGE = "garbage"
    """Bytes between sentences that belong to none; a run of them is one reject."""
    BAD_HEMISPHERE = "bad_hemisphere"
    """A latitude or longitude whose hemisphere letter is not N/S or E/W."""
    BAD_FIELD = "bad_field"
    """A field that cannot be what the sentence says it is: unparsable or out of range."""
    CUT_SHORT = "cut_short"
    """A BLE value or AD structure that ends before its layout does."""
    RESERVED = "reserved"
    """A bit or value that the layout keeps for the future: its meaning is not known, so nothing is guessed."""
    UNKNOWN_VALUE = "unknown_value"
    """A kind or layout version that is none of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Bytes that were refused.

    Attributes
    ----------
    offset : int
        Position of the first refused byte in the stream, counted from its opening.
    reason : RejectReason
    raw : bytes
        The refused bytes, cut to the framer's cap.
    detail : str
        What was expected and what was got, for a person; empty where the reason says all.
    """

    offset: int
    reason: RejectReason
    raw: bytes
    detail: str = ""
