"""The contract's closed lists of words; ``messages`` holds what is said with them."""

from enum import StrEnum, unique
from typing import Literal


@unique
class AlertKind(StrEnum):
    """Closed list of version 1 that this bridge raises; NIJ 1004.00 wording."""

    EXCLUSION_ZONE_ENTERED = "exclusion_zone_entered"
    INCLUSION_ZONE_LEFT = "inclusion_zone_left"
    PROXIMITY_BREACH = "proximity_breach"
    STRAP_TAMPER = "strap_tamper"
    CASE_TAMPER = "case_tamper"
    SHIELDING_SUSPECTED = "shielding_suspected"
    JAMMING_SUSPECTED = "jamming_suspected"
    BATTERY_LOW = "battery_low"
    BATTERY_CRITICAL = "battery_critical"
    COMMS_LOST = "comms_lost"
    LOCATION_LOST = "location_lost"
    SOS = "sos"
    """The protected person called for help."""
    PROTECTED_PERSON_NOT_WARNED = "protected_person_not_warned"
    """Her tag did not take a warning, or nobody knows whether it did."""
    COVER_LOST = "cover_lost"
    """The bridge cannot say who is near her, or cannot reach her."""
    BEACON_HEARD = "beacon_heard"
    """Proximity by radio: her unit hears the wearer's tag."""
    BEACON_FORGED = "beacon_forged"
    """Her unit hears something that pretends to be the wearer's tag: a forgery, a replay or a clone."""


@unique
class MsgType(StrEnum):
    """CAP ``msgType``: the life of an alert."""

    ALERT = "Alert"
    UPDATE = "Update"
    CANCEL = "Cancel"


@unique
class BandName(StrEnum):
    """Band of a pair; UNKNOWN (either side stale) is never shown as clear."""

    UNKNOWN = "unknown"
    CLEAR = "clear"
    PRE_ALERT = "pre_alert"
    ALARM = "alarm"
    CONTACT = "contact"


STATE_OF: dict[MsgType, Literal["raised", "updated", "cleared"]] = {
    MsgType.ALERT: "raised",
    MsgType.UPDATE: "updated",
    MsgType.CANCEL: "cleared",
}

CapStatus = Literal["Actual", "Exercise", "Test"]
Severity = Literal["Extreme", "Severe", "Moderate", "Minor"]
Urgency = Literal["Immediate", "Expected", "Future", "Past"]
Certainty = Literal["Observed", "Likely", "Possible", "Unknown"]
OnOff = Literal["online", "offline"]
Presence = Literal["online", "offline", "unknown"]
ReplyState = Literal["accepted", "done", "refused", "failed"]
DiskState = Literal["ok", "full", "failing", "off"]
CanaryState = Literal["ok", "late", "never", "off"]
ClockState = Literal["synced", "unsynced", "unknown"]


@unique
class WarningStep(StrEnum):
    """The life of a warning, from the bridge's decision to the person's thumb."""

    ASKED = "asked"
    WRITTEN = "written"
    STARTED = "started"
    """The tag says that it warns."""
    UNCONFIRMED = "unconfirmed"
    """Written to a tag that has no way to say that it warns."""
    ACKNOWLEDGED = "acknowledged"
    """She pressed the button."""
    NOT_ACKNOWLEDGED = "not_acknowledged"
    STOOD_DOWN = "stood_down"
    """The tag says that it took the warning back."""
    LOST = "lost"
    SUPERSEDED = "superseded"
    """A newer warning took its place before the tag had it."""
    OWN_STARTED = "own_started"
    """The tag warned by itself; the bridge learned of it ``age_s`` later."""
    OWN_ENDED = "own_ended"
    OWN_COVER_LOST = "own_cover_lost"
    """The tag told her by itself that she is not covered."""


WarnLevelName = Literal["stand_down", "notice", "alarm", "contact"]
WarnTextName = Literal["none", "nearby", "cover_lost", "stand_down", "test"]
WarnCause = Literal["proximity", "beacon", "sos", "cover", "provider", "over"]
SmartTagState = Literal["none_issued", "present", "absent", "unknown"]
