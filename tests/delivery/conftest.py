"""Fixtures of the acceptance suite."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.netlink.link import TunLink
from rig.netlink.namespaces import find_obstacle
from tests.delivery.course import Course
from tests.delivery.nursery import Nursery
from tests.support import skip_or_fail


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    made = Nursery(tmp_path_factory.mktemp("nursery") / "nursery.log")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def course(tmp_path: Path, nursery: Nursery) -> Iterator[Course]:
    made = Course(tmp_path / "course", nursery)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def link(tmp_path: Path) -> Iterator[TunLink]:
    """A network of our own; what needs it skips where the kernel or the rights for one are missing."""
    obstacle = find_obstacle()
    if obstacle is not None:
        skip_or_fail(obstacle)
    with TunLink(tmp_path / "link") as made:
        yield made


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Randomness whose seed is shown when the test fails; set TAGRIG_SEED to run the same again."""
    seed = int(os.environ.get("TAGRIG_SEED", random.SystemRandom().randrange(1_000_000)))
    print(f"\n{request.node.name}: TAGRIG_SEED={seed}")  # noqa: T201 - shown on failure
    return random.Random(seed)
