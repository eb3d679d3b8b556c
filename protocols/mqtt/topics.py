"""Topics of the contract: which stream stands where, and which ids may stand in them.

::

    {root}/tag/{tag}/alert | active | position | status                    what a wearer-side reader may see
    {root}/protected/{ref}/alert | active | position | status | warning    hers; an access list of its own
    {root}/control/{tag}/incident                                          the force control centre's
    {root}/bridge/{id}/status | heartbeat | reply                          the bridge about itself, and its answers
    {root}/bridge/{id}/receipt | cmd                                       to the bridge
    {root}/bridge/{id}/canary                                              from the bridge to itself
    {root}/provider/{consumer}/status                                      whether somebody listens
"""

import re
from dataclasses import dataclass
from enum import StrEnum, unique

MAX_ID_LENGTH = 64
"""Characters of an id in a topic. Brokers allow 64 KiB; people compare ids by eye, and logs show them in full."""

_TOPIC_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ID_LENGTH}}}")
_TOPIC_LEVEL = re.compile(r"[A-Za-z0-9_-]+")

TOPIC_ID_RULE = f"1 to {MAX_ID_LENGTH} letters, digits, '-' or '_'"
"""For messages. No dots (NATS maps them to levels), no spaces (NATS refuses them), no '#', '+', '/' (MQTT's own)."""


@unique
class Side(StrEnum):
    """Whose streams: the second level of a topic decides who may read it."""

    TAG = "tag"
    PROTECTED = "protected"
    CONTROL = "control"
    PROVIDER = "provider"
    BRIDGE = "bridge"


@unique
class Stream(StrEnum):
    """The last level of a topic."""

    ALERT = "alert"
    ACTIVE = "active"
    POSITION = "position"
    STATUS = "status"
    WARNING = "warning"
    INCIDENT = "incident"
    RECEIPT = "receipt"
    COMMAND = "cmd"
    REPLY = "reply"
    CANARY = "canary"
    HEARTBEAT = "heartbeat"


def is_topic_id(text: str) -> bool:
    """Whether an id may stand as one topic level on every broker that we know."""
    return _TOPIC_ID.fullmatch(text) is not None


def is_topic_root(text: str) -> bool:
    """Whether a root is one or more safe levels joined by ``/``."""
    return all(_TOPIC_LEVEL.fullmatch(level) for level in text.split("/"))


def default_root(agency: str) -> str:
    """Root of version 1 of the contract; a breaking change is a ``v2``."""
    return f"em/v1/{agency}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic taken apart."""

    root: str
    side: Side
    subject: str
    stream: Stream

    def __str__(self) -> str:
        return f"{self.root}/{self.side}/{self.subject}/{self.stream}"


def find_topic(text: str) -> Topic | None:
    """Take a topic apart; None if it is not one of the contract."""
    levels = text.rsplit("/", 3)
    if len(levels) != 4 or not levels[0] or not is_topic_id(levels[2]):
        return None
    try:
        return Topic(root=levels[0], side=Side(levels[1]), subject=levels[2], stream=Stream(levels[3]))
    except ValueError:
        return None
