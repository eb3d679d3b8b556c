"""What a run writes down as it goes, and what it borrows of its process meanwhile."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from rig.demo.tag_words import TagWord
from rig.provider.loop_subscriber import Came
from rig.runs.received import Received


def write_message(file: IO[bytes], came: Came) -> None:
    """Add a line to ``messages.jsonl``."""
    received = Received(
        topic=came.topic,
        t_sub_mono_ns=came.t_mono_ns,
        retain=came.retain,
        payload=msgspec.Raw(came.body or b"null"),
        qos=came.qos,
        properties=came.properties,
    )
    file.write(msgspec.json.encode(received) + b"\n")


def write_word(file: IO[bytes], word: TagWord) -> None:
    """Add a line to ``felt.jsonl``."""
    file.write(msgspec.json.encode(word) + b"\n")


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Have variables of the environment for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Have what the product and the bench log written to a file, and not to the person's terminal."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(levelname)-7s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("bridge", "devices", "rig", "asyncio", "bleak", "bumble")]
    before = [(each.propagate, each.level) for each in loggers]
    for each in loggers:
        each.addHandler(handler)
        each.propagate = False
        each.setLevel(logging.WARNING if each.name == "bumble" else logging.INFO)
    try:
        yield
    finally:
        for each, (propagate, level) in zip(loggers, before, strict=True):
            each.removeHandler(handler)
            each.propagate = propagate
            each.setLevel(level)
        handler.close()
