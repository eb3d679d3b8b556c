"""The journal of a start: whole lines at any moment, and never in the bridge's way."""

import errno
import os
import stat
from pathlib import Path

import msgspec
import pytest

from bridge.config.load import load_config
from bridge.errors import ConfigError
from bridge.journal import Journal, journal_path, open_journal
from bridge.publisher import Lane, Message
from tests.devices.manual_clock import ManualClock

MESSAGE = Message(topic="em/v1/t/tag/a/alert", body=b"{}", lane=Lane.ALERT)


def lines(path: Path) -> list[dict]:  # type: ignore[type-arg]
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def test_what_was_given_is_written_before_the_turn_and_what_came_of_it_behind(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    journal = Journal(path, ManualClock())
    with journal.turn("finish", {"now_mono_ns": 5}):
        assert lines(path) == [{"n": 1, "do": "finish", "given": {"now_mono_ns": 5}}]
        mono, utc = journal.clock.mono_ns(), journal.clock.utc_ns()
        journal.note_message(MESSAGE)
        with journal.turn("on_due", {}):
            journal.clock.mono_ns()
    journal.clock.mono_ns()  # of nobody's turn
    journal.close()
    _, made = lines(path)
    assert (made["n"], made["mono"], made["utc"]) == (1, [mono, mono], [utc])
    assert len(made["made"]) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_turn_that_fails_is_written_with_its_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ManualClock())
    with pytest.raises(ZeroDivisionError), journal.turn("finish", {}):
        _ = 1 / 0
    journal.close()
    assert lines(journal.path)[-1] == {"n": 1, "failed": "ZeroDivisionError: division by zero"}


def test_what_a_crash_cut_short_stays_apart_from_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"n":1,"do":"pro')
    journal = Journal(path, ManualClock())
    with journal.turn("finish", {}):
        pass
    journal.close()
    assert path.read_bytes().startswith(b'{"n":1,"do":"pro\n{"n":1,"do":"finish"')


def test_a_full_disk_ends_the_journal_after_a_whole_line_and_not_the_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "j", ManualClock())
    with journal.turn("first", {}):
        pass
    whole = journal.path.read_bytes()
    write = os.write

    def part_of_it(fd: int, data: bytes) -> int:
        write(fd, data[:7])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("bridge.journal.os.write", part_of_it)
    for _ in range(3):
        with journal.turn("second", {}):
            journal.note_message(MESSAGE)
    assert journal.path.read_bytes() == whole
    assert caplog.text.count("the journal ends here") == 1
    journal.close()


def test_what_has_no_place_in_json_ends_the_journal_and_not_the_bridge(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "j", ManualClock())
    done = 0
    for given in ({"port": "/dev/tty\udcff"}, {"a": 2**70}, {"a": object()}):
        with journal.turn("first", given):
            done += 1
    assert done == 3
    assert lines(journal.path) == []
    assert caplog.text.count("the journal ends here") == 1
    journal.close()


def config(folder: Path, capture: str) -> Path:
    path = folder / "bridge.toml"
    path.write_text(f'[capture]\n{capture}\n[[device]]\nid = "a"\ntransport = "memory:a"\n')
    return path


def test_it_is_kept_beside_the_captures(tmp_path: Path) -> None:
    loaded = load_config(config(tmp_path, 'folder = "captures"\njournal = true'))
    assert journal_path(loaded) == tmp_path / "journal.jsonl"
    assert journal_path(load_config(config(tmp_path, 'folder = "captures"'))) is None


def test_without_a_folder_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"capture\.journal: is kept beside the folder of captures"):
        load_config(config(tmp_path, "journal = true"))


def test_a_file_that_cannot_be_made_is_refused_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    loaded = load_config(config(tmp_path, 'folder = "captures"\njournal = true'))
    with pytest.raises(ConfigError, match=r"capture\.journal: .*journal\.jsonl: Is a directory"):
        open_journal(loaded, ManualClock())
