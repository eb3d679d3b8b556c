"""What a place does to Bluetooth. Its name is also that of a GNSS profile: one word of a scenario drives both."""

import dataclasses
from dataclasses import dataclass
from typing import Final

from rig.ble.path_loss import RADIO_PROFILES, RadioProfile
from rig.errors import RigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Radio within a place, and what its walls take from what comes in or goes out.

    Attributes
    ----------
    radio : RadioProfile
        Between two people who are both in such a place; they are taken to be in the same one.
    shell_db : float
        Loss through its walls, dB.
    """

    radio: RadioProfile
    shell_db: float = 0.0


_OUTDOOR: Final = Surroundings(radio=RADIO_PROFILES["ankle_outdoor"])

SURROUNDINGS: Final = {
    "open_sky": _OUTDOOR,
    "poor_view": _OUTDOOR,
    "urban": _OUTDOOR,
    "rtk": _OUTDOOR,
    # one outer wall of brick: 5 to 15 dB at 2.4 GHz (a)
    "indoor": Surroundings(radio=RADIO_PROFILES["ankle_indoor"], shell_db=10.0),
    # metal round windows (a)
    "in_car": Surroundings(radio=RADIO_PROFILES["ankle_outdoor"], shell_db=8.0),
    # reinforced concrete: 15 to 30 dB (a)
    "car_park": Surroundings(radio=RADIO_PROFILES["ankle_concrete"], shell_db=20.0),
    "tunnel": Surroundings(radio=RADIO_PROFILES["ankle_concrete"], shell_db=30.0),
}
"""By the names of ``rig.emulator.profiles.PROFILES``, all of them."""


def radio_between(place: str, other: str, tx_dbm: float = 0.0) -> RadioProfile:
    """Return the radio between two people, each in a place, for a transmit power.

    In one place it is that of the place; between two the signal passes the walls of both and goes on as in the one with
    the thicker walls, where the path loses more to bodies and furniture.

    Raises
    ------
    RigError
        No such place; the message names all.
    """
    for name in (place, other):
        if name not in SURROUNDINGS:
            raise RigError(f"surroundings {name!r} are not known. Expected one of: {', '.join(SURROUNDINGS)}")
    one, two = SURROUNDINGS[place], SURROUNDINGS[other]
    inner = one if one.shell_db >= two.shell_db else two
    walls_db = 0.0 if place == other else one.shell_db + two.shell_db
    name = f"{inner.radio.name} ({place}, {other})"
    return dataclasses.replace(inner.radio, name=name, rssi_1m_dbm=inner.radio.rssi_1m_dbm + tx_dbm - walls_db)
