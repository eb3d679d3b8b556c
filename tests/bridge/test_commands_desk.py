"""The command desk: who may command, what each command does, what is refused, what is kept."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.commands import actions
from bridge.commands import desk as desk_module
from bridge.commands.nonces import MAX_FORGOTTEN, Nonces
from bridge.orders import desk as order_desk
from bridge.orders.batch import Orders, Prepared
from bridge.orders.book import OrderCommand
from bridge.outbox.port import Replayed
from protocols.ble.smart_tag import WarnLevel, WarnText
from protocols.mqtt.commands import (
    COMMANDS,
    AcknowledgeAlert,
    Command,
    IncidentCap,
    LoadOrder,
    LocateNow,
    OrderedProtection,
    Ping,
    ReplaceOrder,
    Replay,
    ResendActive,
    SetInterval,
    StandDown,
    Status,
    Vibrate,
    Warn,
    WithdrawOrder,
)
from protocols.nmea.command_link import ACK_TIMEOUT_NS, MAX_ATTEMPTS
from protocols.reports import CommandVerb, TagEventKind
from tests.bridge.bench import S
from tests.bridge.command_bench import CONFIG, CommandBench, key_pair, running, short
from tests.bridge.order_bench import an_order, circle, zone_life

DONE = ("done", None)
ACCEPTED = ("accepted", None)


@pytest.fixture
def bench(tmp_path: Path) -> CommandBench:
    return CommandBench(tmp_path)


# Who may command


async def test_without_a_key_nobody_is_obeyed(tmp_path: Path) -> None:
    config = CONFIG.replace('provider_key_file = "provider.pem"\n', "")
    async with running(CommandBench(tmp_path, config=config)) as bench:
        (answer,) = await bench.command(Vibrate(tag="tag"))
        assert short(answer) == ("refused", "no_provider_key")
        assert "provider_key_file" in str(answer["detail"])
        assert bench.tag_asked == []


async def test_refusals_of_strangers_are_counted_and_logged_and_seldom_answered(
    bench: CommandBench, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = key_pair("stranger")[0]
    caplog.set_level(logging.WARNING)
    async with running(bench):
        for _ in range(5):
            await bench.command(Vibrate(tag="tag"), key_pem=stranger)
        bench.put(b"not a token")
        await bench.settle()
        assert [short(each) for each in bench.replies()] == [("refused", "bad_signature"), ("refused", "not_a_token")]
        assert bench.room.desk.refusals == {"bad_signature": 5, "not_a_token": 1}
        assert len([r for r in caplog.records if "bad_signature" in r.message]) == 5
        await bench.clock.advance(10 * S)
        await bench.command(Vibrate(tag="tag"), key_pem=stranger)
        assert len(bench.replies()) == 3
        assert bench.tag_asked == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"issuer": "another"}, "wrong_issuer"),
        ({"audience": "b-2"}, "wrong_audience"),
        ({"issued_utc_ns": -61}, "stale"),
        ({"issued_utc_ns": 61}, "from_the_future"),
        ({"lifetime_s": -1.0}, "stale"),
    ],
)
async def test_a_command_for_another_or_for_another_time_is_refused(
    bench: CommandBench, changed: dict[str, object], reason: str
) -> None:
    if "issued_utc_ns" in changed:
        changed = {"issued_utc_ns": bench.clock.utc_ns() + int(changed["issued_utc_ns"]) * S}  # type: ignore[call-overload]
    async with running(bench):
        (answer,) = await bench.command(Vibrate(tag="tag"), **changed)
        assert short(answer) == ("refused", reason)
        assert bench.tag_asked == []


async def test_a_command_is_obeyed_once(bench: CommandBench) -> None:
    body = bench.sign(Vibrate(tag="tag", seconds=3.0))
    async with running(bench):
        for _ in range(3):
            bench.put(body)
            await bench.settle()
        assert [short(each) for each in bench.replies()] == [ACCEPTED, DONE, *[("refused", "replayed")] * 2]
        assert bench.tag_asked == [(CommandVerb.VIBRATE, "3")]


async def test_a_command_is_obeyed_once_over_a_restart(bench: CommandBench, tmp_path: Path) -> None:
    body = bench.sign(Ping())
    async with running(bench):
        bench.put(body)
        await bench.settle()
    again = CommandBench(tmp_path, after=bench)
    async with running(again):
        again.put(body)
        await again.settle()
        assert [short(each) for each in again.replies()] == [("refused", "replayed")]


async def test_whoever_overheard_a_command_cannot_fill_the_disk_with_answers(bench: CommandBench) -> None:
    body = bench.sign(Ping())
    async with running(bench):
        for _ in range(desk_module.ANSWERS_AT_ONCE + 50):
            bench.put(body)
        await bench.settle()
        assert len(bench.replies()) == desk_module.ANSWERS_AT_ONCE + 1
        assert bench.room.desk.refusals["replayed"] == desk_module.ANSWERS_AT_ONCE + 49  # type: ignore[index]
        # A new command is answered all the same.
        assert short((await bench.command(Ping()))[-1]) == DONE


async def test_what_waits_to_be_read_is_bounded(bench: CommandBench) -> None:
    large = bytes(1_000_000)
    async with running(bench):
        for _ in range(20):
            bench.put(large)
        await bench.wait_for(lambda: bench.room.desk.refused == 20)
        assert bench.room.desk.refusals == {"busy": 4, "not_a_token": 16}


def test_nonces_are_forgotten_with_the_window_and_their_time_with_them() -> None:
    nonces = Nonces(60 * S)
    now = 1_000 * S
    kept = {}
    for n in range(200):
        for saved in nonces.take(f"n{n}", now + n * S, now + n * S):
            kept[saved.key] = saved
            if saved.value is None:
                del kept[saved.key]
    assert len(nonces) == 60
    assert not nonces.is_known("n100")
    # The wall clock is set back: what is forgotten is not taken again.
    assert nonces.is_forgotten(now + 100 * S)
    assert not nonces.is_forgotten(now + 190 * S)
    again = Nonces(60 * S)
    again.restore(kept.values())
    assert len(again) == 60
    assert again.is_known("n199") and again.is_forgotten(now + 100 * S)
    assert len(nonces.take("late", now + 9_000 * S, now + 9_000 * S)) == MAX_FORGOTTEN + 2


# A wearer's tag


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (LocateNow(tag="tag"), (CommandVerb.LOCATE_NOW, "")),
        (SetInterval(tag="tag", interval_s=300.0), (CommandVerb.REPORT_INTERVAL, "300")),
        (Vibrate(tag="tag", seconds=2.5), (CommandVerb.VIBRATE, "2.5")),
    ],
)
async def test_a_tag_is_asked_and_its_answer_told(
    bench: CommandBench, command: Command, asked: tuple[CommandVerb, str]
) -> None:
    async with running(bench):
        accepted, done = await bench.command(command)
        assert (short(accepted), short(done)) == (ACCEPTED, DONE)
        assert accepted["nonce"] == done["nonce"] == "nonce-00000001"
        assert done["result"] == {"kind": "device", "device": "tag", "answer": asked[1] or "OK"}
        assert bench.tag_asked == [asked]
        assert bench.room.desk.done == 1


async def test_a_tag_that_refuses_is_told(bench: CommandBench) -> None:
    async with running(bench):
        accepted, failed = await bench.command(Vibrate(tag="tag", seconds=60.0))
        assert (short(accepted), short(failed)) == (ACCEPTED, ("failed", "not_supported"))
        assert "1-30" in str(failed["detail"])


async def test_a_tag_that_does_not_answer_is_told(bench: CommandBench, caplog: pytest.LogCaptureFixture) -> None:
    bench.answers_tag = False
    async with running(bench):
        (accepted,) = await bench.command(LocateNow(tag="tag"))
        assert short(accepted) == ACCEPTED
        # Others are not held up.
        assert [short(each) for each in await bench.command(Ping())] == [DONE]
        await bench.clock.advance(ACK_TIMEOUT_NS * (MAX_ATTEMPTS + 1))
        await bench.settle()
        assert short(bench.replies()[-1]) == ("failed", "not_reached")
        assert ": failed: not_reached" in caplog.text


@pytest.mark.parametrize(
    ("device", "reason"), [("nobody", "unknown_device"), ("her", "wrong_role"), ("log", "not_supported")]
)
async def test_what_is_no_tag_is_not_asked(bench: CommandBench, device: str, reason: str) -> None:
    async with running(bench):
        (answer,) = await bench.command(LocateNow(tag=device))
        assert short(answer) == ("refused", reason)


async def test_silence_is_counted_by_the_interval_that_was_set(bench: CommandBench, tmp_path: Path) -> None:
    async with running(bench):
        bench.fix("tag", 0)
        await bench.command(SetInterval(tag="tag", interval_s=3600.0))
        bench.wait(4000)
        assert bench.of_kind("comms_lost") == []
        bench.wait(101)
        assert [each["msg_type"] for each in bench.of_kind("comms_lost")] == ["Alert"]
    again = CommandBench(tmp_path, after=bench)
    assert again.pipeline.views[0].device.interval_s == 3600.0
    assert again.pipeline.views[1].device.interval_s == 1.0


# A protected person's tag


async def test_she_is_warned_for_the_provider(bench: CommandBench) -> None:
    async with running(bench):
        (done,) = await bench.command(Warn(person="her", level="alarm", text="test"))
        assert short(done) == DONE
        (ask,) = bench.asked
        assert (ask.smart_tag, ask.command.level, ask.command.text) == ("her", WarnLevel.ALARM, WarnText.TEST)
        assert done["result"] == {"kind": "warning", "person": "her", "warn_id": ask.command.warn_id}
        bench.arrive()
        assert bench.steps() == ["asked", "written", "started"]
        assert bench.warnings()[0]["cause"] == "provider"
        # Asked for by a person: the same again warns her again.
        await bench.command(Warn(person="her", level="alarm", text="test"))
        assert len(bench.asked) == 2
        await bench.command(StandDown(person="her"))
        assert bench.commands[-1] == (WarnLevel.STAND_DOWN, WarnText.STAND_DOWN)


async def test_what_is_still_so_stays_when_the_provider_stands_her_down(bench: CommandBench) -> None:
    async with running(bench):
        bench.near(300)
        assert bench.commands[-1] == (WarnLevel.ALARM, WarnText.NEARBY)
        await bench.command(Warn(person="her", level="contact"))
        assert bench.commands[-1] == (WarnLevel.CONTACT, WarnText.NONE)
        await bench.command(StandDown(person="her"))
        assert bench.commands[-1] == (WarnLevel.ALARM, WarnText.NEARBY)
        before = len(bench.asked)
        # A weaker word does not hide the stronger one.
        await bench.command(Warn(person="her", level="notice"))
        assert len(bench.asked) == before


async def test_a_warning_of_an_earlier_start_can_be_taken_back(bench: CommandBench) -> None:
    async with running(bench):
        await bench.command(StandDown(person="her"))
        assert bench.commands == [(WarnLevel.STAND_DOWN, WarnText.STAND_DOWN)]


@pytest.mark.parametrize(
    ("person", "reason"), [("nobody", "unknown_device"), ("tag", "wrong_role"), ("phone", "not_supported")]
)
async def test_who_cannot_be_warned_is_told(bench: CommandBench, person: str, reason: str) -> None:
    async with running(bench):
        for command in (Warn(person=person, level="alarm"), StandDown(person=person)):
            (answer,) = await bench.command(command)
            assert short(answer) == ("refused", reason)


async def test_her_own_call_stays_whatever_the_provider_says(bench: CommandBench) -> None:
    async with running(bench):
        bench.tag_event(TagEventKind.SOS_PRESSED)
        await bench.command(StandDown(person="her"))
        assert [each[0] for each in bench.life_of("sos")] == ["Alert"]
        assert bench.last_status("protected/her")["sos"] is True


# Alerts


async def test_an_alert_is_acknowledged_on_its_incident(bench: CommandBench) -> None:
    async with running(bench):
        bench.near(300)
        alert = bench.alerts()[-1]
        command = AcknowledgeAlert(source=alert["source"], event_id=alert["id"], by="desk 3")
        (answer,) = await bench.command(command)
        assert short(answer) == DONE
        assert [each.acknowledged_by for each in bench.pipeline.incidents.open()] == ["desk 3"]
        (answer,) = await bench.command(AcknowledgeAlert(source=alert["source"], event_id="other", by="desk 3"))
        assert short(answer) == ("refused", "unknown_alert")


async def test_a_replay_is_asked_of_the_outbox_and_says_what_is_not_there(bench: CommandBench) -> None:
    def told(last: int, events: int, waiting: int, missing: int) -> dict[str, object]:
        span = {"kind": "replay", "source": "urn:x", "first": 3, "last": last}
        return span | {"events": events, "waiting": waiting, "missing": missing}

    async with running(bench):
        (done,) = await bench.command(Replay(source="urn:x", first=3, last=9))
        assert bench.asked_replays == [("urn:x", 3, 9)]
        assert done["result"] == told(9, 3, 0, 0)
        bench.replayed = Replayed(queued=1000, waiting=1, missing=2, next_sequence=1005)
        (done,) = await bench.command(Replay(source="urn:x", first=3, last=9000))
        assert done["result"] == told(1004, 1000, 1, 2)
        bench.replayed = Replayed(queued=0, waiting=0, missing=7, next_sequence=None)
        (answer,) = await bench.command(Replay(source="urn:x", first=3, last=9))
        assert short(answer) == ("refused", "out_of_range")
        (answer,) = await bench.command(Replay(source="urn:x", first=9, last=3))
        assert short(answer) == ("refused", "invalid_field")


async def test_snapshots_are_published_again(bench: CommandBench) -> None:
    async with running(bench):
        bench.near(300)
        before = len(bench.on("tag/tag/active"))
        (done,) = await bench.command(ResendActive())
        assert done["result"] == {"kind": "count", "what": "snapshots", "count": 4}
        assert len(bench.on("tag/tag/active")) == before + 1
        assert bench.active() == ["proximity_breach"]


async def test_snapshots_of_many_devices_leave_turns_to_others(
    bench: CommandBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "SNAPSHOTS_AT_ONCE", 1)
    seen: list[int] = []
    async with running(bench):
        before = len(bench.messages)
        for _ in range(2):
            bench.put(bench.sign(ResendActive()))
        while len(bench.messages) < before + 10:
            await asyncio.sleep(0)
            seen.append(len(bench.messages) - before)
        await bench.settle()
    kinds = [m.topic.rpartition("/")[2] for m in bench.messages[before:]]
    assert kinds == (["active"] * 4 + ["reply"]) * 2, "one after the other"
    assert {1, 2, 3}.issubset(seen), "the loop turned between any two"


async def test_an_incident_is_rendered(bench: CommandBench) -> None:
    async with running(bench):
        (done,) = await bench.command(IncidentCap(incident_id="known"))
        assert done["result"] == {"kind": "cap", "incident_id": "known", "cap_xml": "<alert/>"}
        (answer,) = await bench.command(IncidentCap(incident_id="unknown"))
        assert short(answer) == ("refused", "unknown_incident")


# Orders


async def test_orders_are_loaded_replaced_and_withdrawn(bench: CommandBench) -> None:
    async with running(bench):
        bench.fix("tag", 0)
        accepted, done = await bench.command(LoadOrder(order=an_order(features=[circle("z")])))
        assert (short(accepted), short(done)) == (ACCEPTED, DONE)
        assert done["result"] == {"kind": "order", "order_id": "p1", "version": 1, "loaded": True}
        assert zone_life(bench, "z") == ["Alert"]
        assert ("tag", "order/p1") in bench.on_disk()[0]
        replacing = ReplaceOrder(order=an_order(version=2, features=[circle("z", north_m=900)]), if_version=1)
        assert short((await bench.command(replacing))[-1]) == DONE
        assert zone_life(bench, "z") == ["Alert", "Cancel"]
        _, done = await bench.command(WithdrawOrder(order_id="p1", if_version=2, reason="over"))
        assert done["result"] == {"kind": "order", "order_id": "p1", "version": 2, "loaded": False}
        assert ("tag", "order/p1") not in bench.on_disk()[0]


async def test_a_refused_order_says_why_and_changes_nothing(bench: CommandBench) -> None:
    async with running(bench):
        await bench.command(LoadOrder(order=an_order(features=[circle("z")])))
        before = bench.fingerprint()
        for command, reason in (
            (LoadOrder(order=an_order(features=[circle("z")])), "order_exists"),
            (LoadOrder(order=an_order("p2", features=[circle("z", radius_m=-1)])), "invalid_zones"),
            (LoadOrder(order=an_order("p2", wearer="nobody", features=[circle("z")])), "unknown_device"),
            (LoadOrder(order=an_order("p2", protected=[OrderedProtection(device="tag")])), "invalid_order"),
            (WithdrawOrder(order_id="p1", if_version=9), "version_conflict"),
            (WithdrawOrder(order_id="p9", if_version=1), "unknown_order"),
        ):
            (answer,) = await bench.command(command)
            assert short(answer) == ("refused", reason), answer
            assert answer["detail"]
        assert bench.fingerprint() == before


async def test_an_order_that_cannot_be_kept_is_not_judged_by(bench: CommandBench) -> None:
    """It would be forgotten at the next start, and nobody would know."""
    async with running(bench):
        bench.disk_works = False
        before = bench.fingerprint()
        accepted, failed = await bench.command(LoadOrder(order=an_order(features=[circle("z")])))
        assert (short(accepted), short(failed)) == (ACCEPTED, ("failed", "not_kept"))
        assert bench.fingerprint() == before
        # What memory holds of it must not come to the disk later.
        assert ("tag", "order/p1") not in bench.on_disk()[0]
        bench.disk_works = True
        assert short((await bench.command(LoadOrder(order=an_order(features=[circle("z")]))))[-1]) == DONE


async def test_without_a_disk_orders_are_taken_for_this_run(tmp_path: Path) -> None:
    async with running(CommandBench(tmp_path, extra="[outbox]\ndurable = false\n")) as bench:
        bench.disk_works = False
        assert short((await bench.command(LoadOrder(order=an_order(features=[circle("z")]))))[-1]) == DONE


async def test_orders_go_on_over_a_restart(bench: CommandBench, tmp_path: Path) -> None:
    async with running(bench):
        await bench.command(LoadOrder(order=an_order(features=[circle("z")])))
    again = CommandBench(tmp_path, after=bench)
    assert again.unusable == ()
    again.fix("tag", 0)
    assert zone_life(again, "z") == ["Alert"]
    async with running(again):
        again.clock._mono_ns += S
        assert short((await again.command(WithdrawOrder(order_id="p1", if_version=1)))[-1]) == ("refused", "replayed")
        assert short((await again.command(WithdrawOrder(order_id="p1", if_version=1)))[-1]) == DONE
        assert zone_life(again, "z") == ["Alert", "Cancel"]


async def test_an_order_begins_by_itself_at_its_time(bench: CommandBench) -> None:
    now = datetime.fromtimestamp(bench.clock.utc_ns() / 1e9, UTC)
    order = an_order(
        features=[circle("z")], valid_from=now + timedelta(seconds=90), valid_until=now + timedelta(seconds=150)
    )
    async with running(bench):
        bench.fix("tag", 0)
        await bench.command(LoadOrder(order=order))
        await bench.clock.advance(80 * S)
        assert zone_life(bench, "z") == []
        bench.fix("tag", 0)
        for expected in (["Alert"], ["Alert", "Cancel"]):
            await bench.clock.advance(65 * S)
            await bench.wait_for(lambda expected=expected: zone_life(bench, "z") == expected)  # type: ignore[misc]


async def test_an_error_of_ours_costs_one_order_its_answer_and_nobody_else(
    bench: CommandBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work_out = order_desk.prepare

    def fails(orders: Orders, commands: Sequence[OrderCommand], now_utc_ns: int) -> Prepared:
        if any(isinstance(each, LoadOrder) and each.order.id == "p1" for each in commands):
            raise ZeroDivisionError("of ours")
        return work_out(orders, commands, now_utc_ns)

    monkeypatch.setattr(order_desk, "prepare", fails)
    async with running(bench):
        for n in range(4):
            bench.put(bench.sign(LoadOrder(order=an_order(f"p{n}", features=[circle(f"z{n}")]))))
        await bench.settle()
        last = {each["nonce"]: short(each) for each in bench.replies()}
        assert [last[nonce] for nonce in sorted(last)] == [DONE, ("refused", "internal"), DONE, DONE]
        assert sorted(bench.room.desk._orders.orders.book.orders) == ["p0", "p2", "p3"]
    assert "ZeroDivisionError" in caplog.text


async def test_many_orders_at_once_are_built_once(bench: CommandBench) -> None:
    async with running(bench):
        for n in range(40):
            bench.put(bench.sign(LoadOrder(order=an_order(f"p{n}", features=[circle(f"z{n}")]))))
        await bench.settle()
        assert [short(each) for each in bench.replies()].count(DONE) == 40
        assert len(bench.room.desk._orders.orders.book.orders) == 40


# The bridge


async def test_a_ping_and_what_is_loaded(bench: CommandBench) -> None:
    async with running(bench):
        (pong,) = await bench.command(Ping())
        assert pong["result"] == {
            "kind": "pong",
            "bridge_time": "2026-05-28T20:26:40.000Z",
            "version": "0",
            "epoch": "EPOCH",
        }
        long_name = 'é"' * 60
        for n in range(60):
            bench.put(bench.sign(LoadOrder(order=an_order(f"{long_name}{n}", features=[circle(f"z{n}")]))))
        await bench.settle()
        (status,) = await bench.command(Status())
        result = status["result"]
        assert isinstance(result, dict)
        assert (result["devices"], len(result["orders"]) + result["left_out"]) == (4, 60)
        assert (result["commands_done"], result["commands_refused"]) == (61, 0)


async def test_bridges_that_share_a_configuration_answer_for_their_own(tmp_path: Path) -> None:
    """A command to all of them: who does not have the device keeps still."""
    bench = CommandBench(tmp_path)
    desk = bench.room.desk
    desk._authority = desk_module.Authority(
        key_pem=key_pair()[1], issuer="provider", window_s=60, names=frozenset({"b", "all"})
    )
    bench.topic = "em/v1/t/bridge/all/cmd"
    async with running(bench):
        assert await bench.command(LocateNow(tag="elsewhere"), audience="all") == []
        assert await bench.command(WithdrawOrder(order_id="elsewhere", if_version=1), audience="all") == []
        assert bench.room.desk.refusals == {"unknown_device": 1, "unknown_order": 1}
        assert short((await bench.command(LocateNow(tag="tag"), audience="all"))[-1]) == DONE
        (answer,) = await bench.command(Ping(), audience="b")
        assert short(answer) == ("refused", "wrong_audience")


def test_every_command_is_handled() -> None:
    """The desk's own match is checked by mypy; here, that this file tries each of them."""
    text = Path(__file__).read_text()
    assert [name for name, kind in COMMANDS.items() if f"{kind.__name__}(" not in text] == []
