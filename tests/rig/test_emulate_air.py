"""``tagrig emulate air`` and ``tagrig emulate victim`` as processes: lines in, words out, a clean end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner
from click.testing import CliRunner

from protocols.ble import uuids
from rig.ble.keys import key_at
from rig.cli.emulate import command
from rig.errors import RigError

ROOT = Path(__file__).parents[2]


class Emulator:
    """A running verb."""

    def __init__(self, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from rig.cli import main; main()", "emulate", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._words: Queue[dict[str, Any]] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._words.put(json.loads(line))

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def word(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for the next word of a kind that says this."""
        while True:
            try:
                word = self._words.get(timeout=15)
            except Empty:
                pytest.fail(f"no {event} with {fields} within 15 s")
            if word["event"] == event and all(word.get(key) == value for key, value in fields.items()):
                return word

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        code = self.process.wait(timeout=15)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


@contextmanager
def emulator(*args: str) -> Iterator[Emulator]:
    made = Emulator(*args)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        made._reader.join()
        for pipe in (made.process.stdin, made.process.stdout, made.process.stderr):
            assert pipe is not None
            pipe.close()


async def test_a_program_that_knows_the_bus_only_finds_the_tags_and_lines_move_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ["air", "--tags", "2", "--find-me", "1", "--beacon", "--keys", str(tmp_path), "--interval-s", "0.05"]
    with emulator(*args, "--profile", "free_space", "--json") as air:
        ready = await asyncio.to_thread(air.word, "ready")
        assert [tag["kind"] for tag in ready["tags"]] == ["smart_tag", "smart_tag", "find_me"]
        for name in ("tag-1", "tag-2", "beacon"):
            assert (tmp_path / f"{name}.key").stat().st_mode & 0o777 == 0o600
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", ready["bus"])
        device = await BleakScanner.find_device_by_address(ready["tags"][1]["address"], timeout=10)
        assert device is not None
        async with BleakClient(device) as client:
            assert (await client.read_gatt_char(uuids.BATTERY_LEVEL))[0] == 82
            air.word("change", tag="tag-2", connected=True)
        air.say("tag-2 battery 5")
        assert air.word("change", felt="cover_lost")["tag"] == "tag-2"
        air.say("move 3")
        near = air.word("change", tag="tag-1", felt="nearby")
        assert (near["level"], near["cause"], near["pattern"]) == ("alarm", "own", "both")
        air.say("tag-1 press")
        air.word("change", tag="tag-1", mode="acknowledged")
        air.say("tag-1 prses")
        assert "'prses' is no command" in air.word("refused")["detail"]
        air.say("move far")
        assert "one number of 0 to 10000" in air.word("refused")["detail"]
        air.say("tag-1 fault rssi_noise sigma_db=4")
        air.say("state")
        assert air.word("done", line="state")["detail"].startswith("acknowledged, level alarm")
        assert air.end(signal.SIGINT) == (0, "")
        # bleak holds its bus until it sees its end
        for _ in range(20):
            await asyncio.sleep(0)


def test_one_smart_tag_says_what_it_is_called_and_ends_in_order(tmp_path: Path) -> None:
    key_file = tmp_path / "her.key"
    key_file.write_text("00112233445566778899aabbccddeeff")
    with emulator("victim", "--json", "--key-file", str(key_file), "--passkey", "123456") as victim:
        ready = victim.word("ready")
        assert ready["tags"][0]["target"] == (
            f"ble:rolling?key_file={key_file}&pair=mitm&passkey_file={tmp_path / 'her.passkey'}"
        )
        victim.say("sos extra")
        assert "expected nothing" in victim.word("refused")["detail"]
        victim.say("quit")
        assert victim.process.wait(timeout=15) == 0


def test_a_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    made = key_at(tmp_path / "deep" / "her.key", seed=None)
    assert key_at(tmp_path / "deep" / "her.key", seed=None) == made
    assert (tmp_path / "deep" / "her.key").stat().st_mode & 0o777 == 0o600
    assert key_at(tmp_path / "a.key", seed=3) == key_at(tmp_path / "b" / "a.key", seed=3)
    (tmp_path / "bad.key").write_text("not hexadecimal")
    with pytest.raises(RigError, match="expected 32 hexadecimal digits and nothing else"):
        key_at(tmp_path / "bad.key", seed=None)


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["air", "--tags", "0"], 2, "there is no tag to emulate"),
        (["air", "--guarded"], 2, "add --passkey"),
        (["victim", "--guarded"], 2, "add --passkey"),
        (["victim", "--transport", "tcp-client:127.0.0.1:1"], 3, "no HCI controller could be opened there"),
        (["victim", "--key-file", os.devnull], 3, "expected a key of 16 bytes, got 0"),
        (["air", "--keys", "/proc/nowhere"], 3, "cannot be written"),
    ],
)
def test_a_mistake_is_told_in_a_line_with_its_code(args: list[str], code: int, told: str) -> None:
    done = CliRunner().invoke(command, args)
    assert done.exit_code == code
    assert told in done.stderr
