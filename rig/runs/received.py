"""One line of ``messages.jsonl``: a message as the provider's subscriber got it."""

import msgspec


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message and when it came, on the clock of the run.

    ``properties`` are the user properties of MQTT 5, empty where an older MQTT was spoken.
    """

    topic: str
    t_sub_mono_ns: int
    retain: bool
    payload: msgspec.Raw
    qos: int = 1
    properties: dict[str, str] = {}
