"""How grave each kind of alert is, in CAP's words; also the table in ``bridge/README.md``."""

from dataclasses import dataclass

from protocols.mqtt.messages import AlertKind, BandName, Certainty, Severity, Urgency


@dataclass(frozen=True, slots=True, kw_only=True)
class Gravity:
    """Severity, urgency and certainty of an alert."""

    severity: Severity
    urgency: Urgency
    certainty: Certainty


# Exclusion zone, strap, case and the victim's rings are what the field calls critical; a lost link or position and a
# nearly empty battery are serious: cover is gone though nothing was done on purpose.
_BY_KIND: dict[AlertKind, Gravity] = {
    AlertKind.EXCLUSION_ZONE_ENTERED: Gravity(severity="Extreme", urgency="Immediate", certainty="Observed"),
    AlertKind.INCLUSION_ZONE_LEFT: Gravity(severity="Severe", urgency="Immediate", certainty="Observed"),
    AlertKind.STRAP_TAMPER: Gravity(severity="Extreme", urgency="Immediate", certainty="Observed"),
    AlertKind.CASE_TAMPER: Gravity(severity="Extreme", urgency="Immediate", certainty="Observed"),
    AlertKind.SHIELDING_SUSPECTED: Gravity(severity="Severe", urgency="Immediate", certainty="Likely"),
    AlertKind.JAMMING_SUSPECTED: Gravity(severity="Severe", urgency="Immediate", certainty="Likely"),
    AlertKind.BATTERY_LOW: Gravity(severity="Minor", urgency="Expected", certainty="Observed"),
    AlertKind.BATTERY_CRITICAL: Gravity(severity="Severe", urgency="Expected", certainty="Observed"),
    AlertKind.COMMS_LOST: Gravity(severity="Severe", urgency="Immediate", certainty="Observed"),
    AlertKind.LOCATION_LOST: Gravity(severity="Severe", urgency="Immediate", certainty="Observed"),
    AlertKind.SOS: Gravity(severity="Extreme", urgency="Immediate", certainty="Observed"),
    AlertKind.PROTECTED_PERSON_NOT_WARNED: Gravity(severity="Severe", urgency="Immediate", certainty="Likely"),
    AlertKind.COVER_LOST: Gravity(severity="Severe", urgency="Immediate", certainty="Observed"),
    AlertKind.BEACON_HEARD: Gravity(severity="Extreme", urgency="Immediate", certainty="Likely"),
    AlertKind.BEACON_FORGED: Gravity(severity="Severe", urgency="Immediate", certainty="Likely"),
}

_UNWARNED_IN_DANGER = Gravity(severity="Extreme", urgency="Immediate", certainty="Likely")
"""Not warned while he is within her alarm or contact ring, or near by radio."""

_BY_BAND: dict[BandName, Gravity] = {
    BandName.CONTACT: Gravity(severity="Extreme", urgency="Immediate", certainty="Observed"),
    BandName.ALARM: Gravity(severity="Extreme", urgency="Immediate", certainty="Observed"),
    BandName.PRE_ALERT: Gravity(severity="Moderate", urgency="Immediate", certainty="Observed"),
    BandName.UNKNOWN: Gravity(severity="Severe", urgency="Immediate", certainty="Unknown"),
    BandName.CLEAR: Gravity(severity="Minor", urgency="Past", certainty="Observed"),
}


def gravity_of(kind: AlertKind, band: BandName | None = None, level: str | None = None) -> Gravity:
    """Gravity of an alert; proximity is graded by its band, a warning that did not arrive by its level."""
    if kind is AlertKind.PROXIMITY_BREACH:
        return _BY_BAND[band or BandName.UNKNOWN]
    if kind is AlertKind.PROTECTED_PERSON_NOT_WARNED and level in {"alarm", "contact"}:
        return _UNWARNED_IN_DANGER
    return _BY_KIND[kind]
