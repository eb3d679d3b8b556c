"""What we say of ourselves on a broker: that we are there, and what it says for us when we are gone."""

from collections.abc import Callable
from dataclasses import dataclass

from bridge.publisher import Message
from protocols.mqtt.words import OnOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Where the bridge's status goes, and who makes one.

    Attributes
    ----------
    topic : str
        Also tells where receipts, commands and the canary come in.
    make : callable
        Makes a status of a state and a reason, each with an id and a number of its own, in the order in which they
        hold: what is said of a connection, then what the broker says at its end. Called in the publisher's thread.
    """

    topic: str
    make: Callable[[OnOff, str], Message]
