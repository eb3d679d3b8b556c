"""Orders that come, change and go at random while two wearers move: what is raised is what is so now, no more."""

import random
from pathlib import Path

import pytest

from protocols.ble.smart_tag import WarnLevel
from protocols.mqtt.commands import LoadOrder, OrderedProtection, ReplaceOrder, WithdrawOrder
from protocols.mqtt.refusal import Refusal
from tests.bridge.order_bench import OrderDriver, an_order, circle
from tests.bridge.test_replan_pairs import TAGS
from tests.bridge.warning_bench import WarningBench

WEARERS = ("tag", "tag-2")


class World:
    """An oracle of its own: everything lies on one meridian, so that distances are differences."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bench = WarningBench(folder, config=TAGS.replace("exit_margin_m = 10", "exit_margin_m = 0"))
        self.driver = OrderDriver(self.bench)
        self.place = {"tag": 5000.0, "tag-2": 5000.0, "her": 0.0}
        self.orders: dict[
            str, tuple[int, str, dict[str, tuple[float, float, bool]], tuple[float, float, float] | None]
        ] = {}

    def move(self) -> None:
        name = self.rng.choice(list(self.place))
        self.place[name] = self.rng.choice([-2000, -400, 0, 333, 777, 1500]) + self.rng.uniform(-30, 30)
        self.bench.wait(0.5)
        for each, north_m in self.place.items():
            self.bench.fix(each, north_m)

    def change(self) -> None:
        name = self.rng.choice(["o1", "o2", "o3"])
        known = self.orders.get(name)
        if known is not None and self.rng.random() < 0.3:
            (answer,) = self.driver.do(WithdrawOrder(order_id=name, if_version=known[0]))
            assert not isinstance(answer, Refusal)
            del self.orders[name]
            return
        wearer = self.rng.choice(WEARERS)
        zones = {
            f"{name}-z{n}": (
                float(self.rng.choice([0, 333, 777])),
                float(self.rng.choice([50, 120])),
                self.rng.random() < 0.7,
            )
            for n in range(self.rng.randrange(1, 4))
        }
        taken = any(key != name and each[1] == wearer and each[3] is not None for key, each in self.orders.items())
        rings = None if taken else self.rng.choice([None, (50.0, 500.0, 1000.0), (10.0, 100.0, 300.0)])
        version = 1 if known is None else known[0] + 1
        order = an_order(
            name,
            version,
            wearer=wearer,
            features=[
                circle(key, north_m=north_m, radius_m=radius_m, purpose="exclusion" if exclusion else "inclusion")
                for key, (north_m, radius_m, exclusion) in zones.items()
            ],
            protected=[]
            if rings is None
            else [OrderedProtection(device="her", contact_m=rings[0], alarm_m=rings[1], pre_alert_m=rings[2])],
        )
        command = LoadOrder(order=order) if known is None else ReplaceOrder(order=order, if_version=known[0])
        (answer,) = self.driver.do(command)
        assert not isinstance(answer, Refusal), answer
        self.orders[name] = (version, wearer, zones, rings)

    def expected(self) -> tuple[set[tuple[str, str, str]], int]:
        """What should be raised on the wearers' side, and how strongly she should be warned."""
        found: set[tuple[str, str, str]] = set()
        level = 0
        for _, wearer, zones, rings in self.orders.values():
            here = self.place[wearer]
            for key, (north_m, radius_m, exclusion) in zones.items():
                inside = abs(here - north_m) <= radius_m
                if inside is exclusion:
                    found.add((wearer, "exclusion_zone_entered" if exclusion else "inclusion_zone_left", key))
            if rings is not None:
                near = sum(abs(here - self.place["her"]) <= ring for ring in rings)
                level = max(level, near)
                if near:
                    found.add((wearer, "proximity_breach", "her"))
        return found, level

    def raised(self) -> tuple[set[tuple[str, str, str]], int]:
        kept = [each.last.key for each in self.bench.pipeline.ledger.all()]
        target = self.bench.asked[-1].command.level if self.bench.asked else WarnLevel.STAND_DOWN
        return {(k.device_id, k.kind.value, k.about) for k in kept if k.device_id in WEARERS}, int(target)


def run(tmp_path: Path, seed: int, steps: int) -> None:
    world = World(tmp_path, seed)
    world.bench.presence(True)
    world.move()
    seen = set()
    for step in range(steps):
        world.change() if world.rng.random() < 0.5 else world.move()
        assert world.raised() == world.expected(), f"seed {seed}, step {step}: {world.orders} {world.place}"
        seen |= {kind for _, kind, _ in world.raised()[0]}
    assert seen == {"exclusion_zone_entered", "inclusion_zone_left", "proximity_breach"}
    for name in list(world.orders):
        world.driver.withdraw(name, world.orders.pop(name)[0])
    assert world.raised() == (set(), 0)
    # Both sides, and every snapshot: nothing is left over.
    assert [each.last.key for each in world.bench.pipeline.ledger.all()] == []
    for side in ("tag/tag", "tag/tag-2", "protected/her"):
        assert world.bench.active(side) == []
        assert world.bench.last_status(side)["pairs"] == []


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_raised_is_what_is_so(tmp_path: Path, seed: int) -> None:
    run(tmp_path, seed, 60)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 8))
def test_what_is_raised_is_what_is_so_for_long(tmp_path: Path, seed: int) -> None:
    run(tmp_path, seed, 300)
