"""What the process of the emulated radio says of its tags, one JSON line each."""

import msgspec


class RadioReady(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="ready"):
    """The radio is up; ``bus`` is what DBUS_SYSTEM_BUS_ADDRESS must be."""

    bus: str


class TagWord(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="tag"):
    """Something about a smart tag has changed. ``felt`` says what began to be felt, None where nothing did."""

    tag: str
    t_mono_ns: int
    level: int
    mode: str
    connected: bool
    felt: str | None = None
