"""What comes in: receipts, canaries, statuses and commands reach whom they are for, and nothing else does."""

import random

import msgspec
import pytest

from bridge.mqtt import canary as canary_module
from bridge.mqtt import inbound as module
from bridge.mqtt.canary import CanarySettings, CanaryWatch
from bridge.mqtt.events import Received
from bridge.mqtt.inbound import InboundDesk, InboundTopics
from bridge.publisher import Inbound
from protocols.mqtt.inbound import Canary, Receipt, read_canary

STATUS = "em/v1/t/bridge/b/status"
SECOND_NS = 1_000_000_000


class HandClock:
    def __init__(self) -> None:
        self.now_ns = SECOND_NS

    def mono_ns(self) -> int:
        return self.now_ns

    def utc_ns(self) -> int:
        return 7

    async def sleep_until(self, mono_ns: int) -> None:
        raise NotImplementedError


class Desk:
    def __init__(self, *, with_commands: bool = True, common_name: str | None = None) -> None:
        self.receipts: list[Receipt] = []
        self.canaries: list[tuple[int, Canary]] = []
        self.commands: list[Inbound] = []
        self.listening: list[bool] = []
        self.back: list[int] = []
        self.clock = HandClock()
        self.topics = InboundTopics.beside(STATUS, common_name)
        self.desk = InboundDesk(
            topics=self.topics,
            clock=self.clock,
            take_receipt=self.receipts.append,
            take_canary=lambda path, canary: self.canaries.append((path, canary)),
            take_command=self.commands.append if with_commands else None,
            tell_listening=self.listening.append,
            tell_back=self.back.append,
        )

    def take(self, topic: str, body: bytes, *, is_retained: bool = False, path: int = 0) -> None:
        self.desk.take(path, Received(topic=topic, body=body, is_retained=is_retained, correlation=b"c"))

    def say(self, consumer: str, state: str, *, is_retained: bool = False, path: int = 0) -> None:
        body = msgspec.json.encode({"state": state})
        self.take(f"em/v1/t/provider/{consumer}/status", body, is_retained=is_retained, path=path)


def test_each_kind_reaches_whom_it_is_for() -> None:
    made = Desk()
    made.take("em/v1/t/bridge/b/receipt", b'{"source":"s","upto":"0042","new":1}')
    made.take("em/v1/t/bridge/b/canary", b'{"epoch":"e","number":3}', path=1)
    made.take("em/v1/t/bridge/b/cmd", b"token")
    made.say("desk", "online", path=1)
    assert made.receipts == [Receipt(source="s", upto=42)]
    assert made.canaries == [(1, Canary(epoch="e", number=3))]
    (command,) = made.commands
    assert (command.topic, command.body, command.correlation) == ("em/v1/t/bridge/b/cmd", b"token", b"c")
    assert (command.t_rx_mono_ns, command.t_rx_utc_ns) == (SECOND_NS, 7)
    assert (made.back, made.listening, made.desk.provider_online) == ([1], [], True)
    assert not made.desk.refusals


def test_bridge_that_shares_its_configuration_listens_to_the_common_name_too() -> None:
    made = Desk(common_name="all")
    assert made.desk.filters(with_canary=True) == (
        "em/v1/t/bridge/b/receipt",
        "em/v1/t/bridge/all/receipt",
        "em/v1/t/provider/+/status",
        "em/v1/t/bridge/b/cmd",
        "em/v1/t/bridge/all/cmd",
        "em/v1/t/bridge/b/canary",
    )
    made.take("em/v1/t/bridge/all/receipt", b'{"source":"s","upto":1}')
    made.take("em/v1/t/bridge/all/cmd", b"token")
    assert len(made.receipts) == len(made.commands) == 1
    assert Desk(with_commands=False).desk.filters(with_canary=False) == (
        "em/v1/t/bridge/b/receipt",
        "em/v1/t/provider/+/status",
    )


@pytest.mark.parametrize(
    ("topic", "body", "reason"),
    [
        ("em/v1/t/bridge/b/receipt", b"", "not_json"),
        ("em/v1/t/bridge/b/receipt", b'{"source":"s"}', "invalid_field"),
        ("em/v1/t/bridge/b/receipt", b"[" * 5000, "too_large"),
        ("em/v1/t/bridge/b/canary", b'{"epoch":1,"number":1}', "invalid_field"),
        ("em/v1/t/provider/desk/status", b'{"state":"asleep"}', "invalid_field"),
        ("em/v1/other/provider/desk/status", b'{"state":"online"}', "not_subscribed"),
        ("em/v1/t/tag/t1/alert", b"{}", "not_subscribed"),
        ("x", b"", "not_subscribed"),
    ],
)
def test_what_is_none_of_it_is_refused_with_its_reason(topic: str, body: bytes, reason: str) -> None:
    made = Desk()
    made.take(topic, body)
    assert made.desk.refusals == {reason: 1}
    assert not (made.receipts or made.canaries or made.commands or made.back)


def test_retained_command_is_not_carried_out() -> None:
    made = Desk()
    made.take("em/v1/t/bridge/b/cmd", b"token", is_retained=True)
    unwanted = Desk(with_commands=False)
    unwanted.take("em/v1/t/bridge/b/cmd", b"token")
    assert (made.desk.refusals, made.commands) == ({"retained": 1}, [])
    assert unwanted.desk.refusals == {"not_wanted": 1}


def test_flood_of_commands_is_cut_and_the_next_second_is_served() -> None:
    made = Desk()
    for _ in range(module.COMMANDS_AT_ONCE + 500):
        made.take("em/v1/t/bridge/b/cmd", b"x")
    assert (len(made.commands), made.desk.commands_dropped) == (module.COMMANDS_AT_ONCE, 500)
    made.clock.now_ns += SECOND_NS
    for _ in range(500):
        made.take("em/v1/t/bridge/b/cmd", b"x")
    assert len(made.commands) == module.COMMANDS_AT_ONCE + module.COMMANDS_PER_S


def test_refusals_are_all_counted_and_seldom_logged(caplog: pytest.LogCaptureFixture) -> None:
    made = Desk()
    for _ in range(1000):
        made.take("em/v1/t/bridge/b/receipt", b"\xff")
    assert made.desk.refusals == {"not_json": 1000}
    assert caplog.text.count("is refused: not_json") == 1
    made.clock.now_ns += module.LOG_EVERY_NS
    made.take("em/v1/t/bridge/b/receipt", b"\xff")
    assert "(1001 for this reason so far)" in caplog.text


def test_nobody_listens_once_every_consumer_is_gone() -> None:
    made = Desk()
    made.say("a", "online", is_retained=True)
    made.say("b", "online", is_retained=True)
    made.say("a", "offline")
    assert made.listening == []
    made.say("b", "offline")
    made.say("b", "offline")
    made.take("em/v1/t/provider/c/status", b"")
    assert made.listening == [False]
    made.say("c", "online")
    assert (made.listening, made.desk.provider_online, made.back) == ([False, True], True, [0])
    gone = Desk()
    gone.say("a", "offline", is_retained=True)
    assert gone.listening == [False], "gone before we came"


def test_consumers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CONSUMERS", 2)
    made = Desk()
    for name in ("a", "b", "c", "a"):
        made.say(name, "online")
    assert made.desk.refusals == {"too_many": 1}


def test_random_bytes_on_every_topic_raise_nothing_and_change_nothing() -> None:
    made = Desk()
    rng = random.Random(5)
    topics = (*made.topics.receipts, made.topics.canary, "em/v1/t/provider/x/status", "a//b", "")
    for _ in range(5000):
        made.take(rng.choice(topics), rng.randbytes(rng.randrange(1, 40)))
    assert made.desk.refusals.total() == 5000
    assert not (made.receipts or made.canaries or made.listening)


def test_topics_stand_beside_a_bridges_status_only() -> None:
    with pytest.raises(ValueError, match="expected the topic of a bridge's status"):
        InboundTopics.beside("em/v1/t/tag/b/status")
    with pytest.raises(ValueError, match="got 'x'"):
        InboundTopics.beside("x")


def watch(path: int = 0, paths: int = 1) -> CanaryWatch:
    return CanaryWatch(CanarySettings(interval_s=30, epoch="e"), "em/v1/t/bridge/b/canary", path, paths)


def numbers_of(made: CanaryWatch, times_ns: list[int]) -> list[int]:
    numbers = []
    for now in times_ns:
        message = made.make(now)
        if message is not None:
            canary = read_canary(message.body)
            assert isinstance(canary, Canary)
            numbers.append(canary.number)
            made.has_returned(canary, now)
    return numbers


def test_canary_is_sent_at_once_and_then_every_interval() -> None:
    made = watch()
    assert (made.make(0), made.find_due_mono_ns, made.state) == (None, None, "never")
    made.connected(5)
    assert numbers_of(made, [5, 6, 29 * SECOND_NS, 31 * SECOND_NS, 62 * SECOND_NS]) == [0, 1, 2]
    assert (made.state, made.is_lost) == ("ok", False)


def test_lost_canary_is_told_once_and_its_return_once() -> None:
    made = watch()
    made.connected(0)
    assert made.make(0) is not None
    assert made.find_due_mono_ns == canary_module.PATIENCE_NS
    assert not made.has_lost(canary_module.PATIENCE_NS - 1)
    assert made.has_lost(canary_module.PATIENCE_NS)
    assert made.state == "never"
    assert made.make(30 * SECOND_NS) is not None
    assert not made.has_lost(50 * SECOND_NS), "told already"
    assert made.make(60 * SECOND_NS) is not None
    assert not made.has_returned(Canary(epoch="e", number=1), 61 * SECOND_NS), "one that was given up"
    assert not made.has_returned(Canary(epoch="other", number=2), 61 * SECOND_NS), "another start's"
    assert made.has_returned(Canary(epoch="e", number=2), 61 * SECOND_NS)
    assert not made.has_returned(Canary(epoch="e", number=2), 61 * SECOND_NS)
    assert made.state == "ok"
    assert made.make(90 * SECOND_NS) is not None
    assert made.give_up()
    assert made.state == "late"


def test_canary_that_went_with_its_connection_proves_nothing() -> None:
    made = watch()
    made.connected(0)
    assert made.make(0) is not None
    made.disconnected()
    assert (made.has_lost(100 * SECOND_NS), made.find_due_mono_ns) == (False, None)


def test_canaries_of_two_paths_are_never_confused() -> None:
    first, second = watch(0, 2), watch(1, 2)
    first.connected(0)
    second.connected(0)
    times = [n * 31 * SECOND_NS for n in range(5)]
    assert not set(numbers_of(first, times)) & set(numbers_of(second, times))
