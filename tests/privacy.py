"""Over all messages of the whole suite: what a wearer-side reader may see holds nothing of where she is.

Two looks: at the fields of each message, and, where the pipeline runs in the test's own process, at its coordinates,
which must be those of the device that the topic names.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
import pytest

WEARERS_SIDE = re.compile(r"/(tag|control)/([^/]+)/[a-z]+$")
FORBIDDEN = re.compile("distance|bearing|separation|proximity|smart_tag|warning")
"""Parts of names of fields that only the protected side has."""


@dataclass
class PrivacyWatch:
    """Notes what each device told of its place; finds messages that say more than they may."""

    told: dict[str, set[tuple[float, float]]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    checked: int = 0

    def note(self, batch: Sequence[Any]) -> None:  # Any: device events, without importing the package here
        for event in batch:
            lat, lon = getattr(event.report, "lat_deg", None), getattr(event.report, "lon_deg", None)
            if lat is not None and lon is not None:
                self.told.setdefault(event.device_id, set()).add((lat, lon))

    def check(self, topic: str, body: bytes, *, with_places: bool) -> None:
        side = WEARERS_SIDE.search(topic)
        if side is None:
            return
        self.checked += 1
        tree = msgspec.json.decode(body)
        self.faults += [f"{topic} has a field {name!r}" for name in names(tree) if is_hers(name)]
        if with_places:
            own = self.told.get(side.group(2), set())
            self.faults += [f"{topic} holds a place that its device never told" for at in places(tree) if at not in own]


@lru_cache
def is_hers(name: str) -> bool:
    return FORBIDDEN.search(name) is not None


def names(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from names(value)
    elif isinstance(node, list):
        for value in node:
            yield from names(value)


def places(node: object) -> Iterator[tuple[float, float]]:
    """Latitude and longitude of every GeoJSON point."""
    if isinstance(node, dict):
        if node.get("type") == "Point":
            lon, lat = node["coordinates"][:2]
            yield lat, lon
        for value in node.values():
            yield from places(value)
    elif isinstance(node, list):
        for value in node:
            yield from places(value)


@pytest.fixture(autouse=True)
def privacy_wall(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivacyWatch]:
    """Look at every message that a pipeline of this process composes, and that a subscriber of this process hears."""
    watch = PrivacyWatch()
    pipeline, compose = sys.modules.get("bridge.pipeline"), sys.modules.get("bridge.compose")
    if pipeline is not None and compose is not None:
        process, message = pipeline.Pipeline.process, compose.Composer._message

        def noting(self: Any, batch: Sequence[Any]) -> None:
            watch.note(batch)
            process(self, batch)

        def checking(self: Any, *args: Any, **kwargs: Any) -> Any:
            made = message(self, *args, **kwargs)
            watch.check(made.topic, made.body, with_places=bool(watch.told))
            return made

        monkeypatch.setattr(pipeline.Pipeline, "process", noting)
        monkeypatch.setattr(compose.Composer, "_message", checking)
    support = sys.modules.get("tests.bridge.support")
    if support is not None:
        heard = support.Heard

        def hearing(**fields: Any) -> Any:
            watch.check(fields["topic"], fields["body"], with_places=False)
            return heard(**fields)

        monkeypatch.setattr(support, "Heard", hearing)
    yield watch
    assert not watch.faults, watch.faults[:5]
