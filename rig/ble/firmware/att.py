"""ATT error codes with which a tag refuses what was written to it (Core 5.4 Vol 3 Part F 3.4.1.1)."""

from typing import Final

from protocols.rejects import Reject, RejectReason

INVALID_LENGTH: Final = 0x0D
VALUE_NOT_ALLOWED: Final = 0x13

_HIGHEST_ALERT: Final = 2


def code_of(reject: Reject) -> int:
    """Return the code for a value that could not be decoded."""
    wrong_length = reject.reason in (RejectReason.CUT_SHORT, RejectReason.OVERLONG)
    return INVALID_LENGTH if wrong_length else VALUE_NOT_ALLOWED


def refuse_alert_level(data: bytes) -> int | None:
    """Return the code for what is no Alert Level of 0 to 2, None for one."""
    if len(data) != 1:
        return INVALID_LENGTH
    return VALUE_NOT_ALLOWED if data[0] > _HIGHEST_ALERT else None
