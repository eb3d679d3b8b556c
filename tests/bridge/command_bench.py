"""The command desk with a real pipeline, a real driver of a tag and real signatures, on a clock that tests move."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bridge.commands.room import CommandRoom, make_command_room
from bridge.config.load import LoadedConfig, load_config
from bridge.outbox.port import Replayed
from bridge.publisher import Inbound, Message, Saved
from devices.ankle_tag import AnkleTag
from devices.transports import open_transport
from protocols.mqtt.commands import Command
from protocols.mqtt.signed import sign_command
from protocols.reports import CommandOutcome, CommandVerb
from rig.emulator.downlink import Downlink
from rig.emulator.firmware import Answer
from tests.bridge.warning_bench import WarningBench

CONFIG = """
[bridge]
id = "b"
agency = "t"
[commands]
provider_key_file = "provider.pem"
window_s = 60
[zones]
file = "zones.geojson"
[policy]
exit_margin_m = 10
[[device]]
id = "tag"
transport = "memory:commanded"
interval_s = 1
silence_buffer_s = 500
[[device]]
id = "log"
kind = "gnss_receiver"
transport = "memory:log"
silence_buffer_s = 500
[[device]]
id = "her"
kind = "smart_tag"
role = "protected"
transport = "ble:C0:DE:00:00:00:01"
silence_buffer_s = 500
[[device]]
id = "phone"
role = "protected"
transport = "memory:phone"
silence_buffer_s = 500
[[order]]
id = "o"
wearer = "tag"
zones = []
  [[order.protected]]
  device = "her"
"""


@cache
def key_pair(name: str = "provider") -> tuple[bytes, bytes]:
    """Private and public key, in PEM; ``name`` tells one from another."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class CommandBench(WarningBench):
    """Commands are put in signed; answers come out as messages."""

    def __init__(
        self, folder: Path, *, config: str = CONFIG, extra: str = "", after: WarningBench | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "provider.pem").write_bytes(key_pair()[1])
        self.disk_works = True
        self.answers_tag = True
        self.tag_asked: list[tuple[CommandVerb, str]] = []
        self.asked_replays: list[tuple[str, int, int]] = []
        self.replayed = Replayed(queued=3, waiting=0, missing=0, next_sequence=None)
        super().__init__(folder, config=config, extra=extra, epoch="SECOND" if after else "EPOCH", after=after)
        self.loaded: LoadedConfig = load_config(folder / "bridge.toml")
        self.topic = "em/v1/t/bridge/b/cmd"
        self._nonce = 0
        self._device = open_transport("memory:commanded?end=device", clock=self.clock)
        self.tag = AnkleTag(
            device_id="tag",
            transport=open_transport("memory:commanded", clock=self.clock),
            clock=self.clock,
            on_event=lambda event: self.pipeline.process([event]),
        )
        self.room = self._make_room()

    def _make_room(self) -> CommandRoom:
        return make_command_room(
            self.loaded,
            orders=self.orders,
            kept=[Saved(owner=owner, key=key, value=value) for (owner, key), value in self.kept.items()],
            composer=self.composer,
            clock=self.clock,
            pipeline=self.pipeline,
            tags={"tag": self.tag},
            submit=self.submit,
            replay=self._replay,
            find_cap=lambda incident_id: "<alert/>" if incident_id == "known" else None,
        )

    def submit(self, message: Message) -> None:
        """What the publisher does: keep it, then tell of the commit."""
        self.messages.append(message)
        if self.room.is_waited_for((message,)):
            asyncio.get_running_loop().call_soon(self.room.commits.take, (message,), self.disk_works)

    def _replay(self, source: str, first: int, last: int) -> "Future[Replayed]":
        self.asked_replays.append((source, first, last))
        future: Future[Replayed] = Future()
        future.set_result(self.replayed)
        return future

    @asynccontextmanager
    async def running(self) -> AsyncIterator["CommandBench"]:
        """Run the desk, the driver and the tag."""
        await self._device.open()
        parts = (self.room.desk.run(), self.tag.run(), self._be_a_tag())
        tasks = [asyncio.create_task(part) for part in parts]
        await self.settle()
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(result, asyncio.CancelledError), result
            await self._device.close()

    async def _be_a_tag(self) -> None:
        def execute(verb: CommandVerb, argument: str, _t_ns: int) -> Answer:
            self.tag_asked.append((verb, argument))
            if argument == "60":
                return Answer(outcome=CommandOutcome.REFUSED, value="1-30")
            return Answer(outcome=CommandOutcome.DONE, value=argument)

        downlink = Downlink(execute)
        while True:
            chunk = await self._device.receive()
            if self.answers_tag:
                for handled in downlink.feed(chunk.data, 0):
                    await self._device.send(handled.answer)

    # Input

    def nonce(self) -> str:
        self._nonce += 1
        return f"nonce-{self._nonce:08}"

    def sign(self, command: Command, **changed: object) -> bytes:
        fields: dict[str, object] = {
            "key_pem": key_pair()[0],
            "issuer": "provider",
            "audience": "b",
            "nonce": self.nonce(),
            "issued_utc_ns": self.clock.utc_ns(),
        }
        return sign_command(command, **{**fields, **changed})  # type: ignore[arg-type]

    def put(self, body: bytes, *, topic: str | None = None) -> None:
        now = self.clock
        self.room.desk.take(
            Inbound(
                topic=topic or self.topic,
                body=body,
                response_topic=None,
                correlation=None,
                t_rx_utc_ns=now.utc_ns(),
                t_rx_mono_ns=now.mono_ns(),
            )
        )

    async def command(self, command: Command, **changed: object) -> list[Mapping[str, object]]:
        """Put a command in and give the answers that it gets, once there is no more to do."""
        before = len(self.replies())
        self.put(self.sign(command, **changed))
        await self.settle()
        return self.replies()[before:]

    async def settle(self) -> None:
        """Wait until nothing is left to do: commands read, plans built, disk written."""
        for _ in range(3):
            await self.wait_for(lambda: not self.room.desk._waiting and not self._is_busy())
            await self.clock.settle()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Let the loop turn, and threads work, until something is so."""
        async with asyncio.timeout(30):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.001)

    def _is_busy(self) -> bool:
        waits_for_tag = len(self.tag._answers)
        return len(self.room.desk._under_way) > waits_for_tag

    # Output

    def replies(self) -> list[Mapping[str, object]]:
        return [json.loads(m.body)["data"] for m in self.messages if m.topic == "em/v1/t/bridge/b/reply"]

    def fingerprint(self) -> tuple[object, ...]:
        """All that a command can change."""
        orders = self.room.desk._orders.orders
        pipeline = self.pipeline
        states = [(state.inside.tobytes(), state.t_ns.tobytes()) for state in pipeline._live._states]
        people = [
            (p.person, p.smart_tag, p.target, dict(p._bands), dict(p._causes)) for p in pipeline._warning._desk.people
        ]
        return (
            id(orders.plan),
            id(pipeline._plan),
            tuple((key, id(each)) for key, each in orders.book.orders.items()),
            tuple(pipeline.ledger._raised.items()),
            tuple(view.device for view in pipeline.views),
            states,
            str(people),
            len(self.asked),
            len(self.tag_asked),
            len(self.asked_replays),
            pipeline.incidents.open(),
        )


@asynccontextmanager
async def running(bench: CommandBench) -> AsyncIterator[CommandBench]:
    async with bench.running():
        yield bench


def short(reply: Mapping[str, object]) -> tuple[object, object]:
    """State and reason."""
    return reply["state"], reply["reason"]
