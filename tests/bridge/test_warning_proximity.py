"""From a fix to her tag and back: levels, answers, losses. Through the pipeline, on a clock that stands still."""

from pathlib import Path

import pytest

from bridge.warning.records import Arrived
from devices.errors import WarnLoss
from protocols.ble.smart_tag import WarnLevel, WarnPattern, WarnText
from protocols.reports import TagEventKind, TagMode
from tests.bridge.warning_bench import MS, SECOND_WEARER, WarningBench

NOTICE = (WarnLevel.NOTICE, WarnText.NEARBY)
ALARM = (WarnLevel.ALARM, WarnText.NEARBY)
CONTACT = (WarnLevel.CONTACT, WarnText.NEARBY)
STAND_DOWN = (WarnLevel.STAND_DOWN, WarnText.STAND_DOWN)
COVER_LOST = (WarnLevel.NOTICE, WarnText.COVER_LOST)
UNWARNED = "protected_person_not_warned"


@pytest.fixture
def bench(tmp_path: Path) -> WarningBench:
    return WarningBench(tmp_path)


def test_level_follows_the_ring_and_ends_with_it(bench: WarningBench) -> None:
    bench.near(2000, 900, 400, 30, 40, 400, 900, 2000)
    assert bench.commands == [NOTICE, ALARM, CONTACT, ALARM, NOTICE, STAND_DOWN]
    assert [ask.command.pattern for ask in bench.asked] == [
        WarnPattern.VIBRATE,
        WarnPattern.BOTH,
        WarnPattern.BOTH,
        WarnPattern.BOTH,
        WarnPattern.VIBRATE,
        WarnPattern.SILENT,
    ]
    assert len({ask.command.warn_id for ask in bench.asked}) == len(bench.asked)


def test_nothing_is_asked_while_nobody_is_near(bench: WarningBench) -> None:
    bench.near(3000, 2000, 1500)
    assert bench.asked == []
    assert bench.steps() == []


def test_it_is_asked_before_anything_is_published(bench: WarningBench) -> None:
    seen: list[int] = []
    bench.near(3000)
    bench.pipeline._warning._ask = lambda _ask: seen.append(len(bench.messages))
    before = len(bench.messages)
    bench.fix("tag", 400)
    # Her own position was published with the fix before; of this fix nothing was, when her tag was asked.
    assert seen == [before]
    assert len(bench.messages) > before


def test_each_step_is_told_with_its_latency(bench: WarningBench) -> None:
    bench.near(3000, 400)
    bench.arrive()
    bench.wait(3)
    bench.acknowledge()
    bench.near(3000)
    bench.arrive()
    told = bench.warnings()
    assert bench.steps() == ["asked", "written", "started", "acknowledged", "asked", "written", "stood_down"]
    asked, written, started, acknowledged = told[:4]
    assert {data["warn_id"] for data in told[:4]} == {bench.asked[0].command.warn_id}
    assert (asked["level"], asked["text"], asked["cause"], asked["wearer"]) == ("alarm", "nearby", "proximity", "tag")
    assert asked["latency"]["fix_to_asked_ms"] == 0
    assert written["latency"]["fix_to_written_ms"] == 8
    assert started["latency"]["written_to_started_ms"] == 12
    assert started["latency"]["fix_to_started_ms"] == 20
    assert acknowledged["latency"]["started_to_acknowledged_ms"] == 3000
    assert told[-1]["cause"] == "over"
    standing = bench.last_status("protected/her")["warning"]
    assert (standing["level"], standing["step"]) == ("stand_down", "stood_down")


def test_position_that_flaps_at_a_ring_does_not_buzz(bench: WarningBench) -> None:
    bench.near(600)
    for _ in range(30):
        bench.near(499, 505)
    assert bench.commands == [NOTICE, ALARM]


def test_same_band_again_is_no_second_warning(bench: WarningBench) -> None:
    bench.near(400)
    bench.arrive()
    bench.acknowledge()
    bench.stay(300, 390)
    assert bench.commands == [ALARM]


def test_alarm_without_answer_is_repeated_and_told(bench: WarningBench) -> None:
    bench.near(400)
    bench.arrive()
    for _ in range(6):
        bench.stay(31, 400)
        if bench.steps()[-1] == "asked":
            bench.arrive()
    assert bench.commands == [ALARM] * 4
    assert [data["repeat"] for data in bench.warnings() if data["step"] == "asked"] == [0, 1, 2, 3]
    assert bench.steps().count("not_acknowledged") == 1
    assert bench.life_of("proximity_breach") == [
        ("Alert", None, "Extreme"),
        ("Update", "not_acknowledged", "Extreme"),
    ]
    bench.acknowledge()
    assert bench.life_of("proximity_breach")[-1] == ("Update", "acknowledged", "Extreme")
    bench.stay(300, 400)
    assert bench.commands == [ALARM] * 4
    # The wearer's side hears nothing of it.
    assert [data["msg_type"] for data in bench.of_kind("proximity_breach")] == ["Alert"]


def test_notice_needs_no_answer(bench: WarningBench) -> None:
    bench.near(900)
    bench.arrive()
    bench.stay(200, 900)
    assert bench.commands == [NOTICE]
    assert "not_acknowledged" not in bench.steps()


def test_answer_to_the_first_of_two_like_warnings_counts(bench: WarningBench) -> None:
    bench.near(400)
    first = bench.asked[0]
    bench.arrive()
    bench.stay(32, 400)
    assert len(bench.asked) == 2
    bench.tag_event(TagEventKind.WARN_ACKED, first.command.warn_id)
    bench.arrive()
    bench.stay(100, 400)
    assert len(bench.asked) == 2


def test_answer_to_a_lower_level_does_not_answer_the_higher(bench: WarningBench) -> None:
    bench.near(400)
    alarm = bench.asked[0]
    bench.arrive()
    bench.near(30)
    bench.arrive()
    bench.tag_event(TagEventKind.WARN_ACKED, alarm.command.warn_id)
    bench.stay(70, 30)
    assert "not_acknowledged" in bench.steps()


def test_start_and_answer_are_also_taken_from_the_state(bench: WarningBench) -> None:
    bench.near(400)
    warn_id = bench.asked[0].command.warn_id
    bench.tag_state(TagMode.WARNING, warn_id=warn_id)
    bench.tag_state(TagMode.ACKNOWLEDGED, warn_id=warn_id)
    assert bench.steps() == ["asked", "started", "acknowledged"]


@pytest.mark.parametrize(("distance_m", "level", "severity"), [(900, "notice", "Severe"), (30, "contact", "Extreme")])
def test_lost_warning_is_told_at_once_and_asked_again(
    bench: WarningBench, distance_m: float, level: str, severity: str
) -> None:
    bench.near(3000, distance_m)
    bench.give_up(WarnLoss.REFUSED)
    assert bench.life_of(UNWARNED) == [("Alert", level, severity)]
    assert bench.steps() == ["asked", "lost"]
    assert UNWARNED in bench.active("protected/her")
    bench.stay(6, distance_m)
    assert len(bench.asked) == 2
    bench.arrive()
    assert bench.life_of(UNWARNED)[-1][0] == "Cancel"
    assert bench.life_of(UNWARNED)[-1][2] == severity
    assert bench.of_kind(UNWARNED) == []


def test_retries_are_bounded_in_rate(bench: WarningBench) -> None:
    bench.near(3000, 30)
    for _ in range(600):
        bench.near(30)
        if bench.steps()[-1] == "asked":
            bench.give_up(WarnLoss.NO_ACK)
    # 5, 10, 20, 40, then every 60 s.
    assert 11 <= len(bench.asked) <= 15
    assert bench.life_of(UNWARNED) == [("Alert", "contact", "Extreme")]


def test_out_of_range_waits_for_the_connection(bench: WarningBench) -> None:
    bench.near(3000, 30)
    bench.give_up(WarnLoss.OUT_OF_RANGE)
    bench.stay(100, 30)
    assert len(bench.asked) == 1
    bench.link_up()
    assert bench.commands == [CONTACT, CONTACT]
    bench.arrive()
    assert [step for step, *_ in bench.life_of(UNWARNED)] == ["Alert", "Cancel"]


def test_warning_that_the_driver_wrote_after_all_clears_too(bench: WarningBench) -> None:
    bench.near(3000, 30)
    bench.give_up(WarnLoss.OUT_OF_RANGE)
    bench.tag_event(TagEventKind.WARN_STARTED, bench.asked[0].command.warn_id)
    assert [step for step, *_ in bench.life_of(UNWARNED)] == ["Alert", "Cancel"]
    bench.link_up()
    assert len(bench.asked) == 1


def test_no_word_in_time_is_told_before_the_driver_gives_up(bench: WarningBench) -> None:
    bench.near(3000, 400)
    bench.wait(4.9)
    assert bench.life_of(UNWARNED) == []
    bench.wait(0.2)
    assert bench.life_of(UNWARNED) == [("Alert", "alarm", "Extreme")]
    bench.arrive()
    assert [step for step, *_ in bench.life_of(UNWARNED)] == ["Alert", "Cancel"]


def test_not_warned_ends_with_the_band(bench: WarningBench) -> None:
    bench.near(3000, 900)
    bench.give_up(WarnLoss.OUT_OF_RANGE)
    bench.near(3000)
    assert [step for step, *_ in bench.life_of(UNWARNED)] == ["Alert", "Cancel"]


def test_lost_stand_down_is_no_alert(bench: WarningBench) -> None:
    bench.near(900)
    bench.arrive()
    bench.near(3000)
    bench.give_up(WarnLoss.OUT_OF_RANGE)
    assert bench.life_of(UNWARNED) == []
    assert bench.steps()[-1] == "lost"
    bench.link_up()
    assert bench.commands[-1] == STAND_DOWN
    assert len(bench.asked) == 3


def test_level_that_rises_while_not_warned_updates_the_alert(bench: WarningBench) -> None:
    bench.near(3000, 900)
    bench.give_up(WarnLoss.OUT_OF_RANGE)
    bench.near(30)
    bench.give_up(WarnLoss.OUT_OF_RANGE)
    assert bench.life_of(UNWARNED) == [("Alert", "notice", "Severe"), ("Update", "contact", "Extreme")]


def test_find_me_tag_is_told_as_unconfirmed_not_as_lost(bench: WarningBench) -> None:
    bench.near(3000, 400)
    bench.arrive(started=False)
    assert bench.steps() == ["asked", "written", "unconfirmed"]
    assert bench.life_of(UNWARNED) == []
    bench.wait(10)
    assert bench.life_of(UNWARNED) == []
    # Its button says only that it was pressed.
    bench.tag_event(TagEventKind.BUTTON)
    assert bench.steps()[-1] == "acknowledged"
    bench.stay(100, 400)
    assert len(bench.asked) == 1


def test_receipt_for_a_newer_warning_says_that_the_older_was_overtaken(bench: WarningBench) -> None:
    bench.near(900, 30)
    notice, contact = bench.asked
    now = bench.clock.mono_ns()
    for ask in (notice, contact):
        receipt = Arrived(
            person="her",
            asked_warn_id=ask.command.warn_id,
            warn_id=contact.command.warn_id,
            t_written_mono_ns=now + MS,
            t_started_mono_ns=now + MS,
            confirmed=True,
        )
        bench.pipeline.on_delivered(receipt, now + MS)
    assert bench.steps() == ["asked", "asked", "superseded", "written", "started"]
    assert bench.life_of(UNWARNED) == []


def test_answer_to_an_earlier_approach_does_not_answer_this_one(bench: WarningBench) -> None:
    bench.near(400)
    earlier = bench.asked[0]
    bench.arrive()
    bench.near(3000)
    bench.arrive()
    bench.near(400)
    bench.arrive()
    bench.tag_event(TagEventKind.WARN_ACKED, earlier.command.warn_id, age_s=2)
    bench.stay(70, 400)
    assert "not_acknowledged" in bench.steps()


def test_lower_warning_that_arrives_late_does_not_end_not_warned(bench: WarningBench) -> None:
    bench.near(3000, 900, 30)
    notice, contact = bench.asked
    bench.give_up(WarnLoss.REFUSED, contact)
    bench.tag_event(TagEventKind.WARN_STARTED, notice.command.warn_id)
    assert bench.life_of(UNWARNED) == [("Alert", "contact", "Extreme")]
    standing = bench.last_status("protected/her")["warning"]
    assert (standing["warn_id"], standing["step"]) == (contact.command.warn_id, "lost")


def test_second_wearer_at_the_same_level_is_a_warning_of_its_own(tmp_path: Path) -> None:
    bench = WarningBench(tmp_path, extra=SECOND_WEARER)
    bench.near(3000)
    bench.near(3000, wearer="tag-2")
    bench.near(400)
    bench.near(400, wearer="tag-2")
    assert bench.commands == [ALARM, ALARM]
    assert [data["wearer"] for data in bench.warnings()] == ["tag", "tag-2"]
    # The first goes: the other is still there, and she knows it.
    bench.near(3000)
    assert len(bench.asked) == 2
    bench.near(3000, wearer="tag-2")
    assert bench.commands[-1] == STAND_DOWN


def test_warning_of_an_earlier_start_is_taken_back_once_all_is_clear(bench: WarningBench) -> None:
    bench.tag_state(TagMode.WARNING, warn_id=4711)
    assert bench.asked == []
    bench.near(3000)
    bench.tag_state(TagMode.WARNING, warn_id=4711)
    assert bench.commands == [STAND_DOWN]
    bench.tag_state(TagMode.WARNING, warn_id=4711)
    assert len(bench.asked) == 1


def test_same_input_gives_the_same_bytes_and_another_start_other_ids(tmp_path: Path) -> None:
    def play(folder: Path, epoch: str) -> tuple[list[bytes], list[int]]:
        folder.mkdir(exist_ok=True)
        bench = WarningBench(folder, epoch=epoch)
        bench.near(3000, 900, 400)
        bench.arrive()
        bench.stay(70, 400)
        bench.near(3000)
        return [message.body for message in bench.messages], [ask.command.warn_id for ask in bench.asked]

    first, again, other = play(tmp_path / "a", "E1"), play(tmp_path / "b", "E1"), play(tmp_path / "c", "E2")
    assert first == again
    assert not set(first[1]) & set(other[1])


def test_warning_that_outlives_its_cause_speaks_of_who_is_left(tmp_path: Path) -> None:
    bench = WarningBench(tmp_path, extra=SECOND_WEARER)
    bench.near(3000)
    bench.near(3000, wearer="tag-2")
    bench.near(400)
    bench.arrive()
    bench.near(400, wearer="tag-2")
    bench.give_up(WarnLoss.REFUSED)
    assert [data["proximity"]["wearer"] for data in bench.of_kind(UNWARNED, "protected/her")] == ["tag-2"]
    bench.near(3000, wearer="tag-2")
    assert bench.life_of(UNWARNED)[-1][0] == "Cancel"
    # The retry that was due is about the first.
    bench.stay(6, 400)
    assert bench.warnings()[-1]["wearer"] == "tag"
    bench.give_up(WarnLoss.REFUSED)
    bench.near(3000)
    assert UNWARNED not in bench.active("protected/her")


def test_warnings_that_overtake_each_other_do_not_put_off_the_news_that_none_arrives(bench: WarningBench) -> None:
    bench.near(900, 400, 40, 400, 900, 400)
    assert len(bench.asked) == 6
    assert bench.life_of(UNWARNED) == [("Alert", "notice", "Severe")]
    assert bench.of_kind(UNWARNED, "protected/her")[0]["reason"] == "no word from the tag within 5 s"


def test_a_warning_that_arrived_gives_the_next_one_its_own_time(bench: WarningBench) -> None:
    bench.near(900)
    first = bench.asked[-1]
    bench.wait(3)
    bench.near(400)
    bench.tag_event(TagEventKind.WARN_STARTED, first.command.warn_id)
    bench.wait(3)
    assert bench.life_of(UNWARNED) == []
    bench.wait(3)
    assert bench.life_of(UNWARNED) == [("Alert", "alarm", "Extreme")]


def test_a_warning_whose_place_another_man_took_is_not_forgotten_when_he_leaves(tmp_path: Path) -> None:
    bench = WarningBench(tmp_path, extra=SECOND_WEARER)
    bench.near(3000)
    bench.near(3000, wearer="tag-2")
    bench.near(400, wearer="tag-2")
    bench.near(400)
    bench.wait(6)
    for ask in bench.asked:
        bench.give_up(WarnLoss.OUT_OF_RANGE, ask)
    assert [kind for kind, *_ in bench.life_of(UNWARNED)].count("Alert") == 2
    bench.near(3000)
    # Nobody has told her of the other, who is still there.
    assert [kind for kind, *_ in bench.life_of(UNWARNED)].count("Cancel") == 1
    bench.near(3000, wearer="tag-2")
    assert [kind for kind, *_ in bench.life_of(UNWARNED)].count("Cancel") == 2
