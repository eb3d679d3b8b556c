"""Over all messages of the whole suite: what a wearer-side reader may see holds nothing of where she is.

Two looks: at the fields of each message, and, where the pipeline runs in the test's own process, at its coordinates,
which must be those of the device that the topic names.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

WEARERS_SIDE = re.compile(r"/(tag|control)/([^/]+)/[a-z]+$")
HERS = re.compile(rb'"([a-z_]*(?:distance|bearing|separation|proximity|smart_tag|warning)[a-z_]*)":')
"""Fields that only the protected side has, by parts of their names, in a body as msgspec writes it."""

PLACE = re.compile(rb'"type":"Point","coordinates":\[([-0-9.e]+),([-0-9.e]+)')


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
        self.faults += [f"{topic} has a field {name.decode()!r}" for name in HERS.findall(body)]
        if with_places:
            own = self.told.get(side.group(2), set())
            told = [(float(lat), float(lon)) for lon, lat in PLACE.findall(body)]
            self.faults += [f"{topic} holds a place that its device never told" for at in told if at not in own]


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
