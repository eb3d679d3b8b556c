"""Whatever happens in whatever order: what her tag is asked keeps to the rules, and the same input gives the same."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.warning.delivery import MAX_REMEMBERED
from devices.errors import WarnLoss
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.reports import BeaconVerdict, TagEventKind, TagMode
from tests.bridge.warning_bench import SECOND_WEARER, WarningBench

near = st.tuples(st.just("near"), st.sampled_from([20, 60, 300, 700, 3000]), st.sampled_from(["tag", "tag-2"]))
moments = st.one_of(
    near,
    near,
    st.tuples(st.just("wait"), st.sampled_from([1, 6, 31, 61, 200])),
    st.tuples(st.just("arrive"), st.booleans()),
    st.tuples(st.just("give_up"), st.sampled_from(list(WarnLoss))),
    st.tuples(st.just("event"), st.sampled_from(list(TagEventKind)), st.integers(0, 3)),
    st.tuples(st.just("state"), st.sampled_from(list(TagMode)), st.booleans(), st.sampled_from([3, 50])),
    st.tuples(st.just("sighting"), st.sampled_from(list(BeaconVerdict)), st.sampled_from([-50, -100])),
    st.tuples(st.just("presence"), st.booleans()),
    st.tuples(st.just("link")),
)


def play(folder: Path, story: list[tuple]) -> WarningBench:  # type: ignore[type-arg]
    bench = WarningBench(folder, extra=SECOND_WEARER)
    for what, *with_ in story:
        match what:
            case "near":
                bench.near(with_[0], wearer=with_[1])
            case "wait":
                bench.wait(with_[0])
            case "arrive" if bench.asked:
                bench.arrive(started=with_[0])
            case "give_up" if bench.asked:
                bench.give_up(with_[0])
            case "event":
                known = [ask.command.warn_id for ask in bench.asked[-3:]]
                warn_id = known[with_[1] % len(known)] if known and with_[1] else None
                bench.tag_event(with_[0], warn_id)
            case "state":
                warn_id = bench.asked[-1].command.warn_id if bench.asked else 4711
                bench.tag_state(with_[0], warn_id=warn_id, sos=with_[1], battery_pct=with_[2])
            case "sighting":
                bench.sighting(with_[0], rssi_dbm=with_[1])
            case "presence":
                bench.presence(with_[0])
            case "link":
                bench.link_up()
    return bench


def check(bench: WarningBench) -> None:
    ids = [ask.command.warn_id for ask in bench.asked]
    assert len(set(ids)) == len(ids)
    assert all(0 < warn_id < 1 << 16 for warn_id in ids)
    asked = [data for data in bench.warnings() if data["step"] == "asked"]
    assert [data["warn_id"] for data in asked] == ids
    for data, ask in zip(asked, bench.asked, strict=True):
        command = ask.command
        # Lost cover is never told in the words or at the level of nearness.
        if command.text is WarnText.COVER_LOST:
            assert (data["cause"], command.level) == ("cover", WarnLevel.NOTICE)
        if command.text is WarnText.NEARBY:
            assert data["cause"] in {"proximity", "beacon", "sos"}
        assert (command.level is WarnLevel.STAND_DOWN) == (command.text is WarnText.STAND_DOWN)
    # What stands is what the causes call for.
    person = bench.pipeline._warning._desk.find("her")
    assert person is not None
    wanted = person._wanted()
    if wanted is not None:
        assert person.target is not None
        assert wanted.is_like(person.target)
    else:
        assert person.target is None or person.target.level is WarnLevel.STAND_DOWN
    assert len(person.delivery._known) <= MAX_REMEMBERED
    numbers = [int(each["sequence"]) for each in bench.on("protected/her/warning")]
    assert numbers == list(range(1, len(numbers) + 1))
    # An alert that is not raised is not ended, and none is raised twice.
    raised: set[tuple[str, str]] = set()
    for event in bench.alerts("protected/her"):
        data = event["data"]
        key = (data["kind"], (data["proximity"] or {}).get("wearer", ""))
        assert (data["msg_type"] == "Alert") == (key not in raised)
        if data["msg_type"] == "Cancel":
            raised.discard(key)
        else:
            raised.add(key)


@settings(max_examples=60)
@given(st.lists(moments, max_size=25))
def test_rules_hold_in_every_order(story: list[tuple]) -> None:  # type: ignore[type-arg]
    with tempfile.TemporaryDirectory() as folder:
        bench = play(Path(folder), story)
        check(bench)
        again = play(Path(folder), story)
        assert [message.body for message in again.messages] == [message.body for message in bench.messages]
        assert again.asked == bench.asked


@settings(max_examples=25)
@given(st.lists(moments, max_size=15))
def test_all_is_over_once_he_is_far_and_her_tag_is_well(story: list[tuple]) -> None:  # type: ignore[type-arg]
    with tempfile.TemporaryDirectory() as folder:
        bench = play(Path(folder), story)
        bench.tag_event(TagEventKind.SOS_CANCELLED)
        bench.tag_state(battery_pct=90)
        for _ in range(65):
            bench.near(3000)
            bench.near(3000, wearer="tag-2")
        bench.wait(700)
        for _ in range(35):
            bench.near(3000)
            bench.near(3000, wearer="tag-2")
        if bench.asked:
            assert bench.commands[-1] == (WarnLevel.STAND_DOWN, WarnText.STAND_DOWN)
            bench.arrive()
        check(bench)
        assert bench.active("protected/her") == []
