"""Report intervals that follow who is near whom, and the cover of someone whose wearer is lost near her."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.sampling import HOLD_NS, Sampling, Steer
from bridge.steering import SteeringLane
from devices.errors import CommandTimeoutError
from devices.events import PresenceEvent
from protocols.reports import CommandAck, CommandOutcome, CommandVerb
from tests.bridge.bench import CONFIG, Bench, S

SPARSE = CONFIG.replace("interval_s = 1\n", "interval_s = 60\n")


class Steered(Bench):
    """A bench whose tags follow at once."""

    steered: list[Steer]
    follows = True

    def attach(self) -> None:
        self.steered = []
        self.pipeline._pairs._sampling = Sampling(self.pipeline.views, near_interval_s=5.0, steer=self._steer)

    def _steer(self, steer: Steer) -> None:
        self.steered.append(steer)
        self.pipeline.on_steered(steer, self.follows, self.clock.mono_ns())

    def told(self, side: str = "tag/tag") -> list[tuple[str, str]]:
        return [(each.device_id, f"{each.interval_s:g}") for each in self.steered]


@pytest.fixture
def bench(tmp_path: Path) -> Steered:
    made = Steered(tmp_path, zones="zones = []", config=SPARSE)
    made.attach()
    return made


def drive(bench: Steered, *north_m: float, every_s: float = 60) -> None:
    for place in north_m:
        bench.wait(every_s)
        bench.fix("her", 0)
        bench.fix("tag", place)


def test_tags_far_apart_keep_their_interval(bench: Steered) -> None:
    drive(bench, 9000, 8000, 7000)
    # Told once what is meant to hold: an earlier start may have left them at the short one.
    assert bench.told() == [("tag", "60"), ("her", "60")] or bench.told() == [("her", "60"), ("tag", "60")]


def test_both_report_more_often_before_they_can_meet(bench: Steered) -> None:
    drive(bench, 9000, 1900)
    assert {("tag", "5"), ("her", "5")} <= set(bench.told())
    assert all(view.device.interval_s == 5 for view in bench.pipeline.views)


def test_a_fast_one_is_taken_for_near_from_further_off(bench: Steered) -> None:
    drive(bench, 4200)
    assert ("tag", "5") not in bench.told()
    bench.pipeline._pairs._sampling._tag(bench.pipeline.views[0]).speeds_mps.append(31.0)  # type: ignore[union-attr]
    drive(bench, 4150)
    assert ("tag", "5") in bench.told()


def test_the_usual_interval_comes_back_once_they_are_apart_for_a_while(bench: Steered) -> None:
    drive(bench, 9000, 1900)
    bench.steered.clear()
    drive(bench, *[9000] * 10, every_s=5)
    assert bench.told() == []
    drive(bench, *[9000] * (HOLD_NS // S // 5), every_s=5)
    assert sorted(bench.told()) == [("her", "60"), ("tag", "60")]


def test_a_tag_that_does_not_follow_is_asked_again_later_and_later(bench: Steered) -> None:
    bench.follows = False
    asked = []
    for n in range(200):
        before = len(bench.steered)
        drive(bench, 500, every_s=5)
        if any(each.device_id == "tag" for each in bench.steered[before:]):
            asked.append(n)
    gaps = [b - a for a, b in itertools.pairwise(asked)]
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 2 * gaps[0]
    assert len(asked) < 10


def test_the_providers_interval_counts_as_the_usual_one(bench: Steered) -> None:
    drive(bench, 9000)
    bench.steered.clear()
    bench.pipeline.set_interval(bench.pipeline.views[0], 2.0, bench.clock.mono_ns())
    drive(bench, 500)
    assert ("tag", "5") not in bench.told()
    assert bench.pipeline.views[0].device.interval_s == 2.0


def test_silence_is_counted_by_the_short_interval(bench: Steered) -> None:
    drive(bench, 500)
    bench.wait(14)
    assert bench.on("tag/tag/alert") == [] or "location_lost" not in bench.active()
    bench.wait(2)
    assert "location_lost" in bench.active()


def test_a_tag_whose_answer_was_lost_is_told_to_go_back(bench: Steered) -> None:
    """It may report every five seconds all the same: until it says otherwise its battery pays for it."""
    drive(bench, 9000)
    bench.follows = False
    drive(bench, 500)
    bench.follows = True
    bench.steered.clear()
    drive(bench, *[9000] * (2 * HOLD_NS // S // 60))
    assert ("tag", "60") in bench.told()


def test_a_tag_that_went_back_and_whose_answer_was_lost_is_not_silent(bench: Steered) -> None:
    drive(bench, 9000, 500)
    drive(bench, *[9000] * (HOLD_NS // S // 5 - 1), every_s=5)
    assert bench.pipeline.views[0].device.interval_s == 5
    bench.follows = False
    drive(bench, 9000, 9000, every_s=5)
    assert bench.told()[-1][1] == "60"
    bench.follows = True
    drive(bench, 9000)
    assert bench.of_kind("comms_lost") == bench.of_kind("location_lost") == []


def test_a_tag_is_followed_until_it_says_that_it_is_back(bench: Steered) -> None:
    sampling, tag = bench.pipeline._pairs._sampling, bench.pipeline.views[0]
    assert sampling is not None
    drive(bench, 9000)
    bench.follows = False
    drive(bench, 500)
    assert sampling.is_steered(tag.device_idx)
    bench.follows = True
    drive(bench, *[9000] * (2 * HOLD_NS // S // 60))
    assert not sampling.is_steered(tag.device_idx)


def test_a_command_of_ours_that_came_after_the_providers_is_taken_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, zones="zones = []", config=SPARSE)
    asked: list[Steer] = []
    sampling = bench.pipeline._pairs._sampling = Sampling(bench.pipeline.views, near_interval_s=5.0, steer=asked.append)
    bench.fix("her", 0)
    bench.fix("tag", 500)
    tag = bench.pipeline.views[0]
    bench.pipeline.set_interval(tag, 2.0, bench.clock.mono_ns())
    bench.pipeline.on_steered(Steer(device_id="tag", interval_s=5.0), True, bench.clock.mono_ns())
    assert sampling.is_steered(tag.device_idx)
    asked.clear()
    bench.fix("tag", 500)
    assert Steer(device_id="tag", interval_s=2.0) in asked
    bench.pipeline.on_steered(Steer(device_id="tag", interval_s=2.0), True, bench.clock.mono_ns())
    assert tag.device.interval_s == 2.0
    assert not sampling.is_steered(tag.device_idx)


def test_a_tag_that_forgot_what_it_was_asked_is_asked_again(bench: Steered) -> None:
    """A tag that was restarted is back at its usual interval: silence at the short one tells."""
    drive(bench, 500, 500, every_s=5)
    bench.steered.clear()
    drive(bench, 500)
    assert ("tag", "5") in bench.told()
    bench.steered.clear()
    drive(bench, *[500] * 5, every_s=5)
    assert bench.told() == []


def test_a_wearer_lost_where_he_could_reach_her_takes_her_cover(tmp_path: Path) -> None:
    config = (
        CONFIG.replace('  device = "her"\n', '  device = "her"\n  smart_tag = "st"\n')
        + '\n[[device]]\nid = "st"\nkind = "smart_tag"\nrole = "protected"\ntransport = "ble:st"\n'
    )
    for distance_m, told in ((3000, True), (20_000, False)):
        (folder := tmp_path / str(distance_m)).mkdir()
        bench = Bench(folder, zones="zones = []", config=config)
        bench.feed("st", PresenceEvent(present=True, last_heard_mono_ns=None, rssi_dbm=None, detail=""))
        bench.fix("her", 0)
        bench.fix("tag", distance_m)
        for _ in range(13):
            bench.wait(1)
            bench.fix("her", 0)
        lost = [d["level"] for d in bench.of_kind("cover_lost", "protected/her")]
        assert lost == (["wearer_lost"] if told else [])
        bench.fix("tag", distance_m)
        for _ in range(31):
            bench.wait(1)
            bench.fix("her", 0)
            bench.fix("tag", distance_m)
        assert [d["msg_type"] for d in bench.of_kind("cover_lost", "protected/her")] == (
            ["Alert", "Cancel"] if told else []
        )


class Line:
    def __init__(self, answer: CommandAck | Exception) -> None:
        self.answer, self.asked = answer, []  # type: ignore[var-annotated]

    async def command(self, verb: CommandVerb, argument: str = "") -> CommandAck:
        self.asked.append((verb, argument))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def ack(outcome: CommandOutcome) -> CommandAck:
    return CommandAck(offset=0, command_id=1, outcome=outcome, value="")


@pytest.mark.parametrize(
    ("answer", "followed"),
    [
        (ack(CommandOutcome.DONE), True),
        (ack(CommandOutcome.REFUSED), False),
        (CommandTimeoutError("no answer"), False),
    ],
)
async def test_the_lane_says_whether_a_tag_follows(answer: CommandAck | Exception, followed: bool) -> None:
    line, told = Line(answer), asyncio.get_running_loop().create_future()
    lane = SteeringLane({"tag": line}, lambda steer, done: told.set_result((steer, done)), _never)
    steer = Steer(device_id="tag", interval_s=5.0)
    lane.steer(steer)
    assert await asyncio.wait_for(told, 5) == (steer, followed)
    assert line.asked == [(CommandVerb.REPORT_INTERVAL, "5")]
    await lane.close()
    lane.steer(steer)
    assert len(line.asked) == 1


async def test_an_error_of_ours_in_the_lane_is_told() -> None:
    failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    lane = SteeringLane({}, lambda *_: None, failed.set_result)
    lane.steer(Steer(device_id="nobody", interval_s=5.0))
    assert isinstance(await asyncio.wait_for(failed, 5), KeyError)
    await lane.close()


_never: Callable[[Exception], None] = pytest.fail  # type: ignore[assignment]
