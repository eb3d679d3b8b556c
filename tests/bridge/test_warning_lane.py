"""Between the desk and the drivers: what a driver says comes back as what became of the warning."""

import asyncio

from bridge.warning.hearing import Hearing
from bridge.warning.lane import WarningLane
from bridge.warning.records import Arrived, Ask, Delivered, GivenUp
from devices.errors import WarnLoss, WarnLostError
from devices.smart_tag_warn import WarnReceipt
from protocols.ble.smart_tag import WarnCommand, WarnLevel, WarnPattern, WarnText
from protocols.reports import BeaconSighting, BeaconVerdict
from tests.ble_support import until


def ask(warn_id: int) -> Ask:
    command = WarnCommand(warn_id=warn_id, level=WarnLevel.ALARM, pattern=WarnPattern.BOTH, text=WarnText.NEARBY)
    return Ask(person="her", smart_tag="st", command=command)


class Driver:
    """Answers as it is told, when it is told."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answers: dict[int, asyncio.Future[WarnReceipt]] = {}

    async def warn(self, command: WarnCommand) -> WarnReceipt:
        self.asked.append(command.warn_id)
        answer: asyncio.Future[WarnReceipt] = asyncio.get_running_loop().create_future()
        self.answers[command.warn_id] = answer
        return await answer


class Scene:
    def __init__(self) -> None:
        self.driver = Driver()
        self.delivered: list[Delivered] = []
        self.failures: list[Exception] = []
        self.lane = WarningLane({"st": self.driver}, self.delivered.append, self.failures.append)


async def test_receipt_and_loss_come_back_each_in_its_own_time() -> None:
    scene = Scene()
    scene.lane.ask(ask(1))
    scene.lane.ask(ask(2))
    await until(lambda: scene.driver.asked == [1, 2], "both asked, in order")
    scene.driver.answers[2].set_result(
        WarnReceipt(warn_id=3, t_asked_mono_ns=1, t_written_mono_ns=5, t_started_mono_ns=9, confirmed=True)
    )
    await until(lambda: len(scene.delivered) == 1, "the receipt")
    scene.driver.answers[1].set_exception(WarnLostError("st: gone", WarnLoss.OUT_OF_RANGE))
    await until(lambda: len(scene.delivered) == 2, "the loss")
    assert scene.delivered == [
        Arrived(person="her", asked_warn_id=2, warn_id=3, t_written_mono_ns=5, t_started_mono_ns=9, confirmed=True),
        GivenUp(person="her", warn_id=1, loss=WarnLoss.OUT_OF_RANGE, detail="st: gone"),
    ]
    assert scene.failures == []


async def test_error_of_ours_is_handed_on_and_not_taken_for_a_loss() -> None:
    scene = Scene()
    scene.lane.ask(ask(1))
    await until(lambda: scene.driver.asked == [1], "asked")
    scene.driver.answers[1].set_exception(ZeroDivisionError("ours"))
    await until(lambda: bool(scene.failures), "the failure")
    assert isinstance(scene.failures[0], ZeroDivisionError)
    assert scene.delivered == []


async def test_closing_gives_up_what_is_under_way_without_a_word() -> None:
    scene = Scene()
    scene.lane.ask(ask(1))
    await until(lambda: scene.driver.asked == [1], "asked")
    await scene.lane.close()
    assert scene.driver.answers[1].cancelled()
    assert (scene.delivered, scene.failures) == ([], [])


def heard(rssi_dbm: int, age_ms: int = 0) -> BeaconSighting:
    return BeaconSighting(
        rolling_id=bytes(8), rssi_dbm=rssi_dbm, count=1, counter=1, age_ms=age_ms, verdict=BeaconVerdict.GENUINE
    )


def test_strong_beacon_is_near_weak_one_is_not_and_fading_is_smoothed() -> None:
    second = 1_000_000_000
    hearing = Hearing(within_m=30, log_ratio=0)
    assert hearing.is_near(heard(-60), 0)
    # One deep fade among strong ones is no proof of distance; a minute of them is.
    assert hearing.is_near(heard(-95), second // 10)
    assert not [hearing.is_near(heard(-95), n * second) for n in range(1, 60)][-1]
    assert not Hearing(within_m=30, log_ratio=0).is_near(heard(-100), 0)
    # What is asked for is stated: a stricter threshold wants better evidence.
    assert not Hearing(within_m=30, log_ratio=5).is_near(heard(-70), 0)


async def test_what_is_asked_after_the_end_reaches_no_driver_and_is_no_error() -> None:
    scene = Scene()
    await scene.lane.close()
    scene.lane.ask(ask(1))
    await asyncio.sleep(0)
    assert (scene.driver.asked, scene.delivered, scene.failures) == ([], [], [])
