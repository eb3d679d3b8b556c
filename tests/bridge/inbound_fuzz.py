"""Hostile bodies for every inbound topic: random bytes, mutated JSON, commands changed before or after signing."""

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import msgspec

from protocols.mqtt.commands import (
    COMMANDS,
    AcknowledgeAlert,
    Command,
    IncidentCap,
    LoadOrder,
    LocateNow,
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
from protocols.mqtt.signed import sign_content
from tests.bridge.command_bench import key_pair
from tests.bridge.order_bench import HER, an_order, circle, square

ROOT = "em/v1/t"
RECEIPT, CANARY, COMMAND = f"{ROOT}/bridge/b/receipt", f"{ROOT}/bridge/b/canary", f"{ROOT}/bridge/b/cmd"
PROVIDER = f"{ROOT}/provider/desk/status"

Json = object


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One message. ``may_be_good``: a command that a change may have left valid."""

    topic: str
    body: bytes
    may_be_good: bool = False


def good_commands(rng: random.Random) -> Command:
    """One of each command, in turn, as a provider would send it."""
    order = an_order(
        f"f{rng.randrange(8)}",
        rng.randrange(1, 5),
        features=[circle("z"), square("y", north_m=rng.choice([300, 600]))],
        protected=[HER] if rng.random() < 0.3 else [],
    )
    makers: tuple[Callable[[], Command], ...] = (
        lambda: LocateNow(tag="tag"),
        lambda: SetInterval(tag="tag", interval_s=60.0),
        lambda: Vibrate(tag="tag"),
        lambda: Warn(person="her", level="notice", text="test"),
        lambda: StandDown(person="her"),
        lambda: AcknowledgeAlert(source="urn:em:t:b:tag:tag", event_id="x", by="desk"),
        lambda: LoadOrder(order=order),
        lambda: ReplaceOrder(order=order, if_version=1),
        lambda: WithdrawOrder(order_id="f1", if_version=1),
        lambda: Replay(source="urn:em:t:b:tag:tag", first=1, last=2),
        ResendActive,
        lambda: IncidentCap(incident_id="x"),
        Ping,
        Status,
    )
    assert len(makers) == len(COMMANDS)
    return rng.choice(makers)()


ODD: tuple[Json, ...] = (
    None, True, -1, 0, 2**63, 2**64, 1e308, -0.0, "", "x" * 5000, "\x00", "\ud7ff￾", "../..", "#", "+", "tag\n",
    [], {}, [[]], {"": None}, [None] * 50, "2026-13-45T00:00:00Z", 1e-320,
)  # fmt: skip


def mutate(tree: Json, rng: random.Random) -> Json:
    """Change one place of a JSON document: drop, add, swap, nest, or put something odd there."""
    tree = deepcopy(tree)
    node: Json = tree
    parents: list[tuple[Json, object]] = []
    while isinstance(node, dict | list) and node and (not parents or rng.random() < 0.75):
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        parents.append((node, key))
        node = node[key]  # type: ignore[index]
    if not parents:
        return rng.choice(ODD)
    parent, key = parents[-1]
    match rng.randrange(6):
        case 0:
            del parent[key]  # type: ignore[attr-defined]
        case 1 if isinstance(parent, dict):
            parent[rng.choice(["extra", "command", "id", "", "x" * 300])] = rng.choice(ODD)
        case 2 if isinstance(node, int | float) and not isinstance(node, bool):
            parent[key] = rng.choice([-node, node * 1e6, node + 0.5, str(node)])  # type: ignore[index]
        case 3 if isinstance(node, str):
            at = rng.randrange(len(node) + 1)
            parent[key] = node[:at] + rng.choice(["", "é", "\x1f", "'", "0", node]) + node[at + 1 :]  # type: ignore[index]
        case 4:
            parent[key] = {"type": node} if rng.random() < 0.5 else [node, node]  # type: ignore[index]
        case _:
            parent[key] = rng.choice(ODD)  # type: ignore[index]
    return tree


def damage(body: bytes, rng: random.Random) -> bytes:
    """Change bytes: flip, cut, double, insert."""
    if not body:
        return rng.randbytes(3)
    at = rng.randrange(len(body))
    match rng.randrange(4):
        case 0:
            return body[:at] + bytes([body[at] ^ (1 << rng.randrange(8))]) + body[at + 1 :]
        case 1:
            return body[:at]
        case 2:
            return body + body[at:]
        case _:
            return body[:at] + rng.randbytes(rng.randrange(1, 9)) + body[at:]


@cache
def _plain() -> tuple[tuple[str, dict[str, object]], ...]:
    receipt = {"source": "urn:em:t:b:tag:tag", "upto": "00000000000000000001", "at": "2026-05-28T20:26:40Z"}
    single = {"source": "urn:em:t:b:tag:tag", "id": "01JD8Z3V9Q4T8W2K5M7N9P1R3S", "state": "rejected", "by": "desk"}
    return (
        (RECEIPT, receipt),
        (RECEIPT, single),
        (PROVIDER, {"state": "online", "at": "now"}),
        (CANARY, {"epoch": "EPOCH", "number": 3}),
    )


def hostile(rng: random.Random, now_utc_ns: int, numbers: Iterator[int]) -> Hostile:
    """Make the next message."""
    dice = rng.random()
    if dice < 0.5:
        topic = rng.choice([RECEIPT, CANARY, COMMAND, COMMAND, PROVIDER, f"{ROOT}/provider/#/status", "", "x" * 999])
        return Hostile(topic=topic, body=rng.randbytes(int(rng.expovariate(1 / 60))))
    if dice < 0.84:
        topic, tree = rng.choice(_plain())
        body = msgspec.json.encode(mutate(tree, rng))
        return Hostile(topic=topic, body=damage(body, rng) if rng.random() < 0.3 else body)
    claims = {
        "iss": "provider",
        "aud": "b",
        "iat": now_utc_ns / 1e9,
        "exp": now_utc_ns / 1e9 + 30,
        "jti": f"fuzz-{next(numbers):010}",
        "cmd": msgspec.to_builtins(good_commands(rng)),
    }
    if dice < 0.89:
        # Changed after it was signed, or signed by another.
        key = key_pair()[0] if rng.random() < 0.7 else key_pair("stranger")[0]
        token = sign_content(msgspec.json.encode(claims), key)
        return Hostile(topic=COMMAND, body=damage(token, rng) if key == key_pair()[0] else token)
    if dice < 0.96:
        claims["cmd"] = mutate(claims["cmd"], rng)
    elif dice < 0.99:
        changed = mutate(claims, rng)
        claims = changed if isinstance(changed, dict) else {"cmd": changed}
    content = msgspec.json.encode(claims)
    return Hostile(topic=COMMAND, body=sign_content(content, key_pair()[0]), may_be_good=True)
