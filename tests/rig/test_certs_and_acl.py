"""The verbs that make a test authority and access lists."""

import json
import ssl
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from protocols.mqtt.commands import Ping
from protocols.mqtt.signed import SignedCommand, read_command, sign_command
from rig.cli import acl, certs
from rig.cli.exit_codes import ExitCode

NOW_NS = 1_780_000_000_000_000_000


def make(folder: Path, *options: str) -> list[str]:
    done = CliRunner().invoke(certs.command, [str(folder), "--json", *options])
    assert done.exit_code == 0, done.output
    written = json.loads(done.output)["written"]
    assert isinstance(written, list)
    return written


def test_keys_are_secret_and_nothing_is_made_twice(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    assert len(make(folder)) == 2 * 8
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if path.name.endswith("-key.pem") else 0o644)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert make(folder) == []
    assert make(folder, "--client", "bridge-2") == ["bridge-2.pem", "bridge-2-key.pem"]
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_client_that_was_added_later_is_the_same_authoritys(tmp_path: Path) -> None:
    make(tmp_path, "--client", "a")
    make(tmp_path, "--client", "b")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "broker.pem", tmp_path / "broker-key.pem")
    server.load_verify_locations(tmp_path / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    client.load_cert_chain(tmp_path / "b.pem", tmp_path / "b-key.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = theirs.getpeercert()
    assert certificate is not None
    assert (("commonName", "b"),) in certificate["subject"]
    assert ("DNS", "b") in certificate["subjectAltName"]


def test_key_for_commands_signs_and_verifies(tmp_path: Path) -> None:
    make(tmp_path)
    private, public = (tmp_path / "commands-key.pem").read_bytes(), (tmp_path / "commands.pem").read_bytes()
    body = sign_command(
        Ping(), key_pem=private, issuer="provider", audience="bridge-1", nonce="n" * 16, issued_utc_ns=NOW_NS
    )
    read = read_command(body, key_pem=public, issuer="provider", audience="bridge-1", now_utc_ns=NOW_NS, window_s=60)
    assert isinstance(read, SignedCommand)


@pytest.mark.parametrize(
    ("spoil", "options", "expected"),
    [
        (lambda folder: (folder / "ca-key.pem").unlink(), (), "ca.pem is there and"),
        (lambda folder: (folder / "ca.pem").write_text("junk"), (), "are no authority in PEM"),
        (lambda folder: None, ("--client", "a b"), "the client's name 'a b' stands in topics; expected 1 to 64"),
        (lambda folder: None, ("--client", "ca"), "'ca' names another file of the folder"),
        (lambda folder: None, ("--client", "police-key"), "'police-key' names another file of the folder"),
    ],
)
def test_folders_and_names_that_cannot_be_used(
    tmp_path: Path, spoil: "object", options: tuple[str, ...], expected: str
) -> None:
    make(tmp_path)
    assert callable(spoil)
    spoil(tmp_path)
    done = CliRunner().invoke(certs.command, [str(tmp_path), *options])
    assert done.exit_code == ExitCode.USAGE
    assert expected in done.stderr


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(certs.command, [str(tmp_path / "file" / "below")])
    assert done.exit_code == ExitCode.USAGE
    assert "Not a directory. Next: name a folder you may write" in done.stderr


def test_lists_have_one_client_per_role_unless_others_are_named() -> None:
    text = CliRunner().invoke(acl.command, ["mosquitto"]).output
    users = [line.removeprefix("user ") for line in text.splitlines() if line.startswith("user ")]
    assert users == list(certs.DEFAULT_CLIENTS)
    text = (
        CliRunner()
        .invoke(acl.command, ["nats", "--root", "em/v1/x", "--bridge-id", "b-1of2", "--bridge-id", "b-2of2"])
        .output
    )
    assert text.count("# bridge\n") == 2
    assert '"em.v1.x.bridge.b-2of2.cmd"' in text
    assert "bridge-1" not in text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--root", "a//b"], "'a//b' is no topic root"),
        (["--police", "a.b"], "the name 'a.b' stands in topics"),
        (["--police", "provider"], "'provider' is named twice; one client has one role"),
    ],
)
def test_names_that_no_list_can_hold(options: list[str], expected: str) -> None:
    done = CliRunner().invoke(acl.command, ["mosquitto", *options])
    assert done.exit_code == ExitCode.USAGE
    assert expected in done.stderr


def test_a_host_that_cannot_be_certified_and_one_that_comes_too_late(tmp_path: Path) -> None:
    refused = CliRunner().invoke(certs.command, [str(tmp_path / "pki"), "--host", "x" * 65])
    assert refused.exit_code == ExitCode.USAGE and "no host to certify" in refused.output
    make(tmp_path / "pki")
    late = CliRunner().invoke(certs.command, [str(tmp_path / "pki"), "--host", "broker.example"])
    assert late.exit_code == 0 and "is kept as it is" in late.output
