"""Which endpoint of a path is next, and when."""

import dataclasses
import random
import ssl
from dataclasses import dataclass

from bridge.mqtt.settings import MqttSettings, PathSettings, TlsSettings

BACKOFF_FIRST_S = 0.05
BACKOFF_LAST_S = 1.0
"""Bounds of the wait between attempts to connect: a restarted broker is found within a second, a dead one costs one
connect a second. It is doubled once all endpoints were tried."""


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """``settings`` changes when the broker turns out to speak an older version only."""

    settings: MqttSettings
    tls: ssl.SSLContext | None


class Endpoints:
    """Tried in turn: the next one is not where the last one failed."""

    def __init__(self, settings: PathSettings) -> None:
        # Once, not per node of a cluster: loading the authorities takes milliseconds.
        contexts: dict[TlsSettings, ssl.SSLContext] = {}
        self._all: list[Endpoint] = []
        for each in settings.endpoints:
            if each.tls is not None and each.tls not in contexts:
                contexts[each.tls] = each.tls.context()
            self._all.append(Endpoint(settings=each, tls=None if each.tls is None else contexts[each.tls]))
        self._index = 0
        self._failures = 0
        self._random = random.Random()

    @property
    def current(self) -> Endpoint:
        """The one in use, or to be tried next."""
        return self._all[self._index]

    def fall_back(self) -> None:
        """Speak MQTT 3.1.1 to the current one from now on."""
        self.current.settings = dataclasses.replace(self.current.settings, version="3.1.1")
        self._failures = 0

    def fail(self, *, was_stable: bool) -> int:
        """Go on to the next one; give the nanoseconds to wait before. ``was_stable``: it had worked for a while."""
        if was_stable:
            self._failures = 0
        rounds = self._failures // len(self._all)
        longest_s = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2.0 ** min(rounds, 10))
        self._failures += 1
        self._index = (self._index + 1) % len(self._all)
        return int(longest_s * self._random.uniform(0.5, 1.0) * 1e9)
