"""The verifier: whatever is done to a log is found, and the first broken line is named."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from bridge.disclosure import DisclosureLog
from bridge.disclosure_line import Sent, find_hash, read_line, seal
from bridge.publisher import Lane, Message
from rig.audit.errors import AuditError
from rig.audit.verify import verify_folder
from rig.cli.audit import command
from tests.devices.manual_clock import ManualClock

DAY_NS = 86_400 * 10**9


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of twelve lines, with a torn end in the second."""
    folder = tmp_path_factory.mktemp("log") / "disclosures"
    clock = ManualClock()
    for day in range(3):
        log = DisclosureLog(folder, bridge_id="b", client_id="c", version="0", epoch="E", purpose="p", clock=clock)
        for n in range(12):
            topic = f"em/v1/t/tag/tag-{n}/alert"
            log.note(Message(topic=topic, body=b"x", lane=Lane.ALERT, event_id=f"{day}-{n}"), b"x", "mqtts://h", 1)
            log.flush()
        log.close()
        if day == 1:
            with max(folder.glob("*.jsonl")).open("ab") as file:
                file.write(b'{"kind":"sent","n":27,"t":')
        clock._offset_ns += DAY_NS
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def test_a_whole_log_is_whole(folder: Path) -> None:
    (chain,) = verify_folder(folder)
    assert chain.is_whole
    assert (chain.files, chain.lines, chain.disclosures, chain.starts, chain.torn) == (3, 40, 36, 3, 1)


def test_any_changed_byte_is_found_where_it_stands(folder: Path) -> None:
    randomness = random.Random(20261123)
    for _ in range(300):
        path = randomness.choice(files(folder))
        before = path.read_bytes()
        at = randomness.randrange(len(before) - 1)
        changed = bytearray(before)
        changed[at] ^= 1 << randomness.randrange(8)
        path.write_bytes(changed)
        (chain,) = verify_folder(folder)
        assert chain.broken is not None, (path.name, at)
        assert chain.broken.path == path
        line = before[:at].count(b"\n") + 1
        assert abs(chain.broken.line - line) <= 1, (path.name, at)
        path.write_bytes(before)


def without(n: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: lines[:n] + lines[n + 1 :]


@pytest.mark.parametrize(
    ("change", "line", "why"),
    [
        (without(5), 6, "lines are missing or moved"),
        (without(0), 1, "has number 2, the file's name says 1"),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], 4, "lines are missing or moved"),
        (lambda lines: [*lines[:3], lines[3], *lines[3:]], 5, "lines are missing or moved"),
        (lambda lines: [*lines[:8], b'{"free":"text"}', *lines[8:]], 9, "it was changed"),
    ],
)
def test_lines_taken_out_moved_repeated_or_put_in(
    folder: Path, change: Callable[[list[bytes]], list[bytes]], line: int, why: str
) -> None:
    path = files(folder)[0]
    path.write_bytes(b"\n".join([*change(path.read_bytes().splitlines()), b""]))
    (chain,) = verify_folder(folder)
    assert chain.broken is not None
    assert (chain.broken.path, chain.broken.line) == (path, line)
    assert why in chain.broken.what


def test_a_line_made_anew_with_a_right_hash_breaks_the_next_one(folder: Path) -> None:
    path = files(folder)[0]
    raw = path.read_bytes().splitlines()
    forged = read_line(raw[4])
    assert isinstance(forged, Sent)
    raw[4] = seal(replace(forged, topic="em/v1/t/tag/nobody/alert"))[0].rstrip()
    assert find_hash(raw[4]) is not None
    path.write_bytes(b"\n".join([*raw, b""]))
    (chain,) = verify_folder(folder)
    assert chain.broken is not None
    assert chain.broken.line == 6
    assert "made anew" in chain.broken.what


def test_a_file_that_is_missing(folder: Path) -> None:
    first, second, third = files(folder)
    second.unlink()
    (chain,) = verify_folder(folder)
    assert chain.broken is not None
    assert (chain.broken.path, chain.broken.line) == (third, 1)
    first.unlink()
    (chain,) = verify_folder(folder)
    assert chain.is_whole
    assert "earlier files are not here" in chain.notes[0]


def test_a_file_that_was_emptied_is_noted(folder: Path) -> None:
    files(folder)[-1].write_bytes(b"")
    (chain,) = verify_folder(folder)
    assert any(f"{files(folder)[-1].name}: is empty" in note for note in chain.notes)


def test_a_torn_end_that_was_changed_afterwards(folder: Path) -> None:
    path = files(folder)[1]
    path.write_bytes(path.read_bytes().replace(b'"n":27', b'"n":28', 1))
    (chain,) = verify_folder(folder)
    assert chain.broken is not None
    assert chain.broken.path == path


def test_newest_lines_that_were_taken_away_are_found_by_a_noted_head(folder: Path) -> None:
    (chain,) = verify_folder(folder)
    head = chain.head
    newest = files(folder)[-1]
    newest.write_bytes(b"".join(newest.read_bytes().splitlines(keepends=True)[:-2]))
    (cut,) = verify_folder(folder, noted_head=head)
    assert cut.is_whole
    assert not cut.has_noted_head
    run = CliRunner().invoke(command, ["verify", str(folder), "--head", head])
    assert run.exit_code == 1
    assert "is not in it" in run.output


def test_the_command_names_the_first_broken_line(folder: Path) -> None:
    whole = CliRunner().invoke(command, ["verify", str(folder)])
    assert whole.exit_code == 0, whole.output
    assert "40 lines" in whole.output
    path = files(folder)[0]
    path.write_bytes(path.read_bytes().replace(b"tag-3", b"tag-4", 1))
    broken = CliRunner().invoke(command, ["verify", str(folder), "--json"])
    assert broken.exit_code == 1
    (found,) = json.loads(broken.output)["chains"]
    assert found["broken"]["line"] == 5
    assert found["broken"]["path"].endswith(path.name)
    plain = CliRunner().invoke(command, ["verify", str(folder)])
    assert f"{path}:5" in plain.output


def test_logs_of_bridges_that_share_a_configuration_lie_below(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "all" / "b-1of2")
    shutil.copytree(folder, tmp_path / "all" / "b-2of2")
    assert [chain.is_whole for chain in verify_folder(tmp_path / "all")] == [True, True]


def test_a_folder_without_a_log_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="holds no disclosure log"):
        verify_folder(tmp_path)
    assert CliRunner().invoke(command, ["verify", str(tmp_path)]).exit_code == 2
    assert CliRunner().invoke(command, ["verify", str(tmp_path / "nowhere")]).exit_code == 2
