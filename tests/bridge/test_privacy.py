"""The guard over all messages of the suite finds what it is there for."""

import dataclasses
from pathlib import Path

import pytest

from tests.bridge.bench import Bench
from tests.privacy import PrivacyWatch, privacy_wall

__all__ = ["privacy_wall"]

TAG = "em/v1/t/tag/tag/alert"
PLACE = b'{"data":{"position":{"type":"Feature","geometry":{"type":"Point","coordinates":[-6.5,51.0,3.0]}}}}'


@pytest.mark.parametrize(
    ("topic", "body", "expected"),
    [
        (TAG, b'{"data":{"protected_party":{"ref":"her","distance_m":212}}}', "has a field 'distance_m'"),
        (TAG, b'{"data":{"pairs":[{"bearing_deg":3}]}}', "has a field 'bearing_deg'"),
        ("em/v1/t/control/tag/incident", b'{"data":{"smart_tag":"st"}}', "has a field 'smart_tag'"),
        (TAG, PLACE, "holds a place that its device never told"),
    ],
)
def test_what_must_not_be_there_is_found(topic: str, body: bytes, expected: str) -> None:
    watch = PrivacyWatch(told={"her": {(51.0, -6.5)}})
    watch.check(topic, body, with_places=True)
    assert [fault.partition(" ")[2] for fault in watch.faults] == [expected]


@pytest.mark.parametrize(
    ("topic", "body"),
    [
        ("em/v1/t/protected/her/alert", b'{"data":{"proximity":{"distance_m":212}}}'),
        ("em/v1/t/bridge/b/heartbeat", b'{"data":{"warning":1}}'),
        (TAG, b'{"data":{"protected_party":{"ref":"her","band":"alarm"}}}'),
    ],
)
def test_what_may_be_there_is_left_alone(topic: str, body: bytes) -> None:
    watch = PrivacyWatch()
    watch.check(topic, body, with_places=True)
    assert not watch.faults


def test_alert_with_the_place_of_the_other_is_found(
    tmp_path: Path, privacy_wall: PrivacyWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline is made to say her place where his belongs; the guard of every test sees it."""
    bench = Bench(tmp_path)
    alert = bench.composer.alert
    hers = bench.make_fix(300)

    def leaking(change: object, *rest: object) -> object:
        return alert(dataclasses.replace(change, fix=hers), *rest)  # type: ignore[type-var, arg-type]

    monkeypatch.setattr(bench.composer, "alert", leaking)
    bench.feed("her", hers)
    bench.fix("tag", 0)
    assert privacy_wall.checked
    found = [fault for fault in privacy_wall.faults if "never told" in fault]
    privacy_wall.faults.clear()
    assert {fault.split()[0] for fault in found} >= {TAG, "em/v1/t/control/tag/incident"}
