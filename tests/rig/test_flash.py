"""``tagrig flash`` as a person types it: what is said, and the exit code."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rig.ble.firmware.images import ImageVersion, make_image
from rig.ble.firmware.smp import SmpServer, make_server
from rig.ble.smp_server import SmpSerialPort
from rig.cli.flash import command

ROOT = Path(__file__).parents[2]
DATA = make_image(ImageVersion(major=1, minor=5, revision=0), random.Random(7).randbytes(9_000))


@pytest.fixture
def server() -> SmpServer:
    return make_server(ImageVersion(major=1, minor=4, revision=2))


@pytest.fixture
def port(server: SmpServer, tmp_path: Path) -> Iterator[str]:
    made = SmpSerialPort(server, tmp_path / "tag")
    try:
        yield f"serial:{made.name}"
    finally:
        made.close()


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "zephyr.signed.bin"
    path.write_bytes(DATA)
    return str(path)


def flash(*args: str) -> Result:
    return CliRunner().invoke(command, [*args, "--reply-s", "0.3", "--boot-s", "3"])


def test_a_person_sees_the_steps_and_the_proof(image: str, port: str, server: SmpServer) -> None:
    done = flash(image, "--to", port)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "connect ...\nupload ...\ncheck ...\ntest ...\nreset ...\nread back ...\nconfirm ...\n"
    )
    assert f"uploaded {len(DATA)} bytes in " in done.stdout
    assert done.stdout.endswith("1.4.2 -> 1.5.0, read back and confirmed\n")
    assert server.version == "1.5.0"


def test_a_program_gets_a_line_for_each_step(image: str, port: str) -> None:
    done = flash(image, "--to", port, "--json")
    words = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert words[-1] | {"upload_s": 0} == {
        "event": "done",
        "version_before": "1.4.2",
        "version_after": "1.5.0",
        "goal": "confirm",
        "uploaded_bytes": len(DATA),
        "upload_s": 0,
        "resumed": 0,
    }
    progress = [word["done_bytes"] for word in words if word["event"] == "progress"]
    assert progress == sorted(progress)
    assert progress[-1] == len(DATA)


def test_test_state_revert_and_confirm(image: str, port: str, server: SmpServer) -> None:
    tested = flash(image, "--to", port, "--then", "test")
    assert "the next reset brings 1.4.2 back. Next: --confirm-running, or --revert" in tested.stdout
    assert "slot 0  1.5.0" in (shown := flash("--to", port, "--state").stdout)
    assert "active, on test" in shown
    assert flash("--to", port, "--revert").exit_code == 0
    assert server.version == "1.4.2"
    refused = flash("--to", port, "--revert")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "there is nothing to revert" in refused.stderr
    flash(image, "--to", port, "--then", "test")
    confirmed = json.loads(flash("--to", port, "--confirm-running", "--json").stdout)
    assert [(row["version"], row["confirmed"]) for row in confirmed["images"] if row["active"]] == [("1.5.0", True)]
    uploaded = flash(image, "--to", port, "--then", "upload")
    assert uploaded.exit_code == 0


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        ([], 2, "Missing option '--to'"),
        (["--to", "serial:/dev/ttyNOPE"], 2, "expected one of: an IMAGE, --state"),
        (["/nowhere.bin", "--to", "serial:/dev/ttyNOPE"], 2, "/nowhere.bin: No such file"),
        (["--state", "--to", "seriel:/dev/ttyS0"], 2, "did you mean 'serial'?"),
        (["--state", "--to", "serial:/dev/ttyS0?bud=9600"], 2, "did you mean 'baud'?"),
        (["--state", "--to", "ble:rolling"], 2, "add key_file=PATH"),
        (["--state", "--to", "serial:/dev/ttyNOPE"], 3, "there is no such port. Next: tagrig scan"),
    ],
)
def test_a_mistake_is_told_in_a_line_with_its_code(args: list[str], code: int, told: str) -> None:
    done = CliRunner().invoke(command, args)
    assert done.exit_code == code
    assert told in done.stderr


def test_a_tag_that_refuses_reverts_or_is_silent_has_a_code_each(image: str, port: str, server: SmpServer) -> None:
    server.faults.refuse_rc = 9
    refused = flash(image, "--to", port)
    assert refused.exit_code == 1
    assert "refused to read its images: no_free_slot" in refused.stderr
    server.faults.refuse_rc = None
    server.faults.damage_at = 4000
    damaged = flash(image, "--to", port)
    assert damaged.exit_code == 1
    assert "what it wrote differs from what was sent" in damaged.stderr
    server.faults.drop_requests = 1000
    silent = flash("--state", "--to", port)
    assert silent.exit_code == 3
    assert "no answer when asked to read its images" in silent.stderr


def test_a_file_that_is_no_image_never_reaches_the_tag(tmp_path: Path, port: str, server: SmpServer) -> None:
    (tmp_path / "zephyr.elf").write_bytes(b"\x7fELF" + bytes(100))
    done = flash(str(tmp_path / "zephyr.elf"), "--to", port)
    assert done.exit_code == 2
    assert "Next: take zephyr.signed.bin" in done.stderr
    assert server.frames == 0


def test_the_ankle_tag_takes_firmware_on_the_line_that_carries_its_sentences(image: str, tmp_path: Path) -> None:
    verb = [sys.executable, "-c", "from rig.cli import main; main()", "emulate", "ankle"]
    tag = subprocess.Popen(
        [*verb, "--link", str(tmp_path / "ankle"), "--rate-hz", "10", "--json"], stdout=subprocess.PIPE, cwd=ROOT
    )
    with tag:
        try:
            assert tag.stdout is not None
            assert json.loads(tag.stdout.readline())["event"] == "ready"
            done = flash(image, "--to", f"serial:{tmp_path / 'ankle'}")
            assert (done.exit_code, done.stderr) == (0, "")
            assert done.stdout.endswith("1.0.0 -> 1.5.0, read back and confirmed\n")
            wanted = b",emu-1.5.0*"
            with (tmp_path / "ankle").open("rb", buffering=0) as line:
                heard = b""
                while wanted not in heard and len(heard) < 20_000:
                    heard += line.read(1024)
            assert wanted in heard
        finally:
            tag.terminate()
