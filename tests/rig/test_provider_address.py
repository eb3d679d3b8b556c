"""How the provider's programs reach a broker, and what they say where they cannot."""

import ssl
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rig.brokers.mosquitto import MosquittoBroker
from rig.cli.certs import command as certs_verb
from rig.cli.command import command as command_verb
from rig.cli.provider_check import command as check_verb
from rig.cli.watch import command as watch_verb
from rig.provider.address import BrokerAddressError, advise, make_tls_context, read_address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://x", "expected mqtt://host:port"),
        ("mqtts://127.0.0.1:99999", "port is not a number below 65536"),
        ("mqtt://", "names no host"),
        ("mqtt://u:secret@h", "--username"),
    ],
)
def test_what_is_no_broker_is_said_without_a_traceback(url: str, said: str) -> None:
    with pytest.raises(BrokerAddressError) as caught:
        read_address(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    done = CliRunner().invoke(certs_verb, [str(folder), "--client", "provider", "--client", "police"])
    assert done.exit_code == 0, done.output
    (folder / "text.pem").write_text("no certificate")
    return folder


@pytest.mark.parametrize(
    ("ca", "cert", "key", "named"),
    [
        ("absent.pem", None, None, "absent.pem: No such file"),
        ("text.pem", None, None, "text.pem: no authority"),
        ("ca.pem", "provider.pem", None, "no key file"),
        ("ca.pem", "provider.pem", "police-key.pem", "police-key.pem: not a certificate and its key"),
        ("ca.pem", None, "police-key.pem", "a key without its certificate"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(
    pki: Path, ca: str, cert: str | None, key: str | None, named: str
) -> None:
    files = [pki / name if name is not None else None for name in (ca, cert, key)]
    with pytest.raises(BrokerAddressError) as caught:
        make_tls_context(*files)
    assert named in str(caught.value)


@pytest.mark.parametrize("verb", [check_verb, watch_verb, command_verb])
def test_every_verb_of_the_provider_refuses_such_a_file_as_usage(pki: Path, verb: click.Command) -> None:
    words = ["--broker", "mqtts://127.0.0.1:1", "--ca-file", str(pki / "text.pem")]
    if verb is command_verb:
        words += ["--key-file", str(pki / "commands-key.pem"), '{"command": "ping"}']
    done = CliRunner().invoke(verb, words)
    assert done.exit_code == 2
    assert "text.pem" in done.output


def test_watch_shows_a_certificate_where_the_broker_wants_one(pki: Path, tmp_path: Path) -> None:
    lines = [
        *("require_certificate true", f"cafile {pki / 'ca.pem'}"),
        *(f"certfile {pki / 'broker.pem'}", f"keyfile {pki / 'broker-key.pem'}"),
    ]
    with MosquittoBroker(tmp_path, lines=lines) as broker:
        words = ["--broker", f"mqtts://127.0.0.1:{broker.port}", "--ca-file", str(pki / "ca.pem"), "--for-s", "1"]
        ours = ["--cert-file", str(pki / "provider.pem"), "--key-file", str(pki / "provider-key.pem")]
        shown = CliRunner().invoke(watch_verb, [*words, *ours])
        without = CliRunner().invoke(watch_verb, words)
    assert shown.exit_code == 0, shown.output
    assert without.exit_code == 3 and "a certificate of ours" in without.output
    assert "--ca-file" in advise(ssl.SSLCertVerificationError(1, "self-signed certificate"))


@pytest.mark.parametrize("wrong", [["--root", "a/#"], ["--agency", "a b"], ["--bridge-id", "a/b"]])
def test_a_command_to_no_topic_is_refused(pki: Path, wrong: list[str]) -> None:
    done = CliRunner().invoke(
        command_verb, [*wrong, "--key-file", str(pki / "commands-key.pem"), '{"command": "ping"}']
    )
    assert done.exit_code == 2 and "expected" in done.output
