"""Text written aside: whole, in order, and by nobody waited for."""

import io
import os
from collections.abc import Iterator

import pytest

from rig.cli import aside
from rig.cli.aside import Aside
from tests.support import wait_until


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        yield read, stream


def read_all(read: int) -> bytes:
    got = bytearray()
    while part := os.read(read, 65_536):
        got += part
    os.close(read)
    return bytes(got)


def test_everything_is_written_in_order(pipe: tuple[int, io.TextIOWrapper]) -> None:
    read, stream = pipe
    lines = Aside(stream)
    for n in range(1_000):
        lines.write(f"{n}\n")
    assert lines.close(20) == 0
    lines.write("too late\n")
    stream.close()
    assert read_all(read).split() == [b"%d" % n for n in range(1_000)]


def test_reader_that_hangs_is_not_waited_for(
    pipe: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "MAX_WAITING", 50)
    read, stream = pipe
    lines = Aside(stream)
    texts = [f"{n:06}" + "x" * 10_000 + "\n" for n in range(200)]
    for text in texts:
        lines.write(text)
    assert lines.close(0.01) > 90, "a pipe holds 64 KiB"
    assert os.read(read, 10_007).decode() == texts[0]
    os.close(read)
    wait_until(lambda: not lines._thread.is_alive(), within_s=20, what="the end of the writing")


def test_reader_that_is_gone_is_told_once(pipe: tuple[int, io.TextIOWrapper]) -> None:
    told: list[OSError] = []
    read, stream = pipe
    lines = Aside(stream, told.append)
    os.close(read)
    lines.write("one\n")
    wait_until(lambda: bool(told), within_s=20, what="the word that nobody reads")
    lines.write("two\n")
    assert lines.close(20) == 0
    assert [type(each) for each in told] == [BrokenPipeError]


def test_stream_without_a_descriptor_is_written_to() -> None:
    stream = io.StringIO()
    lines = Aside(stream)
    lines.write("one\n")
    assert lines.close(20) == 0
    assert stream.getvalue() == "one\n"
