"""How strongly each cause is told to her, and in which words."""

from bridge.warning.records import CauseKind
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt.messages import BandName

LEVEL_OF: dict[BandName, WarnLevel] = {
    BandName.PRE_ALERT: WarnLevel.NOTICE,
    BandName.ALARM: WarnLevel.ALARM,
    BandName.CONTACT: WarnLevel.CONTACT,
}
"""Level by ring. Bands that are not here warn of nobody: clear, and unknown, which is lost cover."""

BEACON_LEVEL = WarnLevel.ALARM
"""Level of a heard beacon: its radio does not reach beyond the alarm ring of any order, and it cannot tell contact."""

TEXT_OF: dict[CauseKind, WarnText] = {
    CauseKind.PROXIMITY: WarnText.NEARBY,
    CauseKind.BEACON: WarnText.NEARBY,
    CauseKind.SOS: WarnText.NONE,
    CauseKind.COVER: WarnText.COVER_LOST,
}
"""What her tag shows for a cause; for the provider's it is the provider's choice."""

FIRST_OF_EQUALS = (CauseKind.PROXIMITY, CauseKind.BEACON, CauseKind.PROVIDER, CauseKind.SOS, CauseKind.COVER)
"""Of causes with the same level the first one says most."""
