"""Alerts whose order, zone or pair is judged no more: over, because nobody asks any longer."""

import dataclasses

from bridge.alerts.change import Change
from devices.events import Stamps
from protocols.mqtt.messages import AlertKind, BandName

ORDER_WITHDRAWN = "order withdrawn"

ZONE_KINDS = frozenset({AlertKind.EXCLUSION_ZONE_ENTERED, AlertKind.INCLUSION_ZONE_LEFT})

WEARER_KINDS = frozenset(
    {AlertKind.PROTECTED_PERSON_NOT_WARNED, AlertKind.BEACON_HEARD, AlertKind.BEACON_FORGED},
)
"""Alerts of a protected person about a wearer of her order."""


def withdrawn_change(last: Change, stamps: Stamps) -> Change:
    """Say that an alert is over because its order was withdrawn; where anybody is, is not told any more."""
    return dataclasses.replace(
        last,
        raised=False,
        occurred_utc_ns=stamps.t_rx_utc_ns,
        stamps=stamps,
        reason=ORDER_WITHDRAWN,
        band=BandName.UNKNOWN if last.band is not None else None,
        fix=None,
        separation=None,
        stored=False,
    )
