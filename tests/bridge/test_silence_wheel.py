"""The wheel against a plain dictionary, and the watchdog on a clock that stands still."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bridge.silence import Deadline, DeadlineWheel, Due, watch
from tests.devices.manual_clock import ManualClock

KEYS = [Deadline(due, idx) for due in Due for idx in range(3)]
step = st.one_of(
    st.tuples(st.just("touch"), st.sampled_from(KEYS), st.integers(0, 100)),
    st.tuples(st.just("cancel"), st.sampled_from(KEYS), st.just(0)),
    st.tuples(st.just("wait"), st.just(KEYS[0]), st.integers(0, 30)),
)


@given(st.lists(step, max_size=60))
def test_wheel_equals_a_dictionary(steps: list[tuple[str, Deadline, int]]) -> None:
    wheel, model, now = DeadlineWheel(), dict[Deadline, int](), 0
    for what, key, value in steps:
        if what == "touch":
            wheel.touch(key, now + value)
            model[key] = now + value
        elif what == "cancel":
            wheel.cancel(key)
            model.pop(key, None)
        else:
            now += value
            expected = {k for k, due in model.items() if due <= now}
            next_ns = wheel.find_next_mono_ns()
            if model:
                assert next_ns is not None
                assert next_ns <= min(model.values())
            assert set(wheel.take_due(now)) == expected
            model = {k: due for k, due in model.items() if k not in expected}


def test_heap_does_not_grow_with_touches() -> None:
    wheel = DeadlineWheel()
    for n in range(100_000):
        wheel.touch(KEYS[n % 3], n)
    assert len(wheel._heap) == 3


async def test_watch_wakes_at_the_deadline_and_for_an_earlier_one() -> None:
    clock, wheel = ManualClock(mono_ns=0), DeadlineWheel()
    passed: list[tuple[list[Deadline], int]] = []
    task = asyncio.create_task(watch(wheel, clock, lambda due, now: passed.append((due, now))))
    await clock.settle()
    wheel.touch(KEYS[0], 1000)
    wheel.touch(KEYS[1], 300)
    await clock.advance(299)
    assert passed == []
    await clock.advance(1)
    assert passed == [([KEYS[1]], 300)]
    wheel.touch(KEYS[0], 2000)
    await clock.advance(1500)
    assert len(passed) == 1, "a touched deadline has moved"
    await clock.advance(500)
    assert passed[1:] == [([KEYS[0]], 2000)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
