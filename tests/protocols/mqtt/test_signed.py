"""Signed commands: whose are obeyed, for how long, and why the others are refused."""

import base64
import json
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import KeyFormatError
from protocols.mqtt.commands import COMMANDS, Command, LocateNow, Order, ReplaceOrder, command_name
from protocols.mqtt.refusal import Refusal, RefusalReason
from protocols.mqtt.samples import command_samples
from protocols.mqtt.signed import MAX_COMMAND_BYTES, SignedCommand, read_command, sign_command, sign_content

NOW_NS = 1_780_000_000_000_000_000
NOW_S = NOW_NS // 10**9
WINDOW_S = 60.0


def pair(key: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


PRIVATE, PUBLIC = pair(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_PRIVATE, OTHER_PUBLIC = pair(Ed25519PrivateKey.from_private_bytes(bytes(32)))


def read(body: bytes, *, key: bytes = PUBLIC, now_utc_ns: int = NOW_NS) -> SignedCommand | Refusal:
    return read_command(
        body, key_pem=key, issuer="provider", audience="bridge-1", now_utc_ns=now_utc_ns, window_s=WINDOW_S
    )


def signed(command: Command, **changed: object) -> bytes:
    fields: dict[str, object] = {
        "key_pem": PRIVATE,
        "issuer": "provider",
        "audience": "bridge-1",
        "nonce": "n" * 22,
        "issued_utc_ns": NOW_NS,
    }
    return sign_command(command, **{**fields, **changed})  # type: ignore[arg-type]


def claims(**changed: object) -> bytes:
    fields: dict[str, object] = {
        "iss": "provider",
        "aud": "bridge-1",
        "iat": NOW_S,
        "exp": NOW_S + 60,
        "jti": "n" * 22,
        "cmd": {"command": "ping"},
    }
    tree = {**fields, **changed}
    return json.dumps({key: value for key, value in tree.items() if value is not ...}).encode()


def refusal(found: SignedCommand | Refusal) -> Refusal:
    assert isinstance(found, Refusal)
    return found


@pytest.mark.parametrize("command", command_samples(), ids=command_name)
def test_every_command_there_and_back(command: Command) -> None:
    found = read(signed(command))
    assert isinstance(found, SignedCommand)
    assert found.command == command
    assert (found.name, found.nonce, found.issued_utc_ns) == (command_name(command), "n" * 22, NOW_NS)
    assert found.expires_utc_ns == NOW_NS + 60 * 10**9


def test_another_implementation_reads_ours_and_we_read_its() -> None:
    """PyJWT's own reader and writer, with its own clock out of the way."""
    body = signed(LocateNow(tag="t-1"))
    options = {"verify_exp": False, "verify_iat": False}
    tree = jwt.decode(body, PUBLIC.decode(), algorithms=["EdDSA"], audience="bridge-1", options=options)  # type: ignore[arg-type]
    assert (tree["iss"], tree["jti"], tree["cmd"]) == ("provider", "n" * 22, {"command": "locate_now", "tag": "t-1"})
    theirs = jwt.encode(json.loads(claims()), PRIVATE.decode(), algorithm="EdDSA", headers={"kid": "2026-11"})
    assert isinstance(read(theirs.encode()), SignedCommand)


def test_line_end_after_the_token_is_forgiven() -> None:
    assert isinstance(read(signed(LocateNow(tag="t-1")) + b"\r\n"), SignedCommand)


@pytest.mark.parametrize(
    ("changed", "reason", "detail"),
    [
        ({"issuer": "somebody"}, RefusalReason.WRONG_ISSUER, "expected 'provider', got 'somebody'"),
        ({"audience": "bridge-2"}, RefusalReason.WRONG_AUDIENCE, "expected 'bridge-1', got 'bridge-2'"),
        ({"issued_utc_ns": NOW_NS - 61 * 10**9}, RefusalReason.STALE, "issued 61.0 s ago; at most 60 s"),
        ({"issued_utc_ns": NOW_NS + 61 * 10**9}, RefusalReason.FROM_THE_FUTURE, "issued 61.0 s ahead of"),
        ({"issued_utc_ns": NOW_NS - 10**10, "lifetime_s": 9.0}, RefusalReason.STALE, "expired 1.0 s ago"),
        ({"lifetime_s": 0.0}, RefusalReason.STALE, "expired 0.0 s ago"),
        ({"nonce": "short"}, RefusalReason.INVALID_FIELD, "$.jti"),
        ({"nonce": "n" * 129}, RefusalReason.INVALID_FIELD, "$.jti"),
    ],
)
def test_well_signed_and_yet_refused(changed: dict[str, object], reason: RefusalReason, detail: str) -> None:
    found = refusal(read(signed(LocateNow(tag="t-1"), **changed)))
    assert found.reason is reason
    assert detail in found.detail
    if reason is not RefusalReason.INVALID_FIELD:
        assert (found.nonce, found.command) == ("n" * 22, "locate_now"), "the sender is known: it gets an answer"


@pytest.mark.parametrize("offset_s", [-60, -59, 0, 59, 60])
def test_window_has_both_of_its_ends(offset_s: int) -> None:
    body = signed(LocateNow(tag="t-1"), issued_utc_ns=NOW_NS + offset_s * 10**9, lifetime_s=600.0)
    assert isinstance(read(body), SignedCommand)


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", RefusalReason.NOT_JSON, ""),
        (b"junk", RefusalReason.NOT_JSON, ""),
        (b"\xff\xff", RefusalReason.NOT_JSON, ""),
        (b"[1]", RefusalReason.INVALID_FIELD, "got `array`"),
        (b'{"cmd":' + b"[" * 50_000, RefusalReason.NOT_JSON, ""),
        (b'{"cmd":' + b"[" * 50_000 + b"]" * 50_000 + b"}", RefusalReason.NOT_JSON, "recursion"),
        (claims(jti=...), RefusalReason.INVALID_FIELD, "missing required field `jti`"),
        (claims(iat="now"), RefusalReason.INVALID_FIELD, "$.iat"),
        (claims(iat=-1), RefusalReason.INVALID_FIELD, "$.iat"),
        (claims(iat=1e300), RefusalReason.INVALID_FIELD, "$.iat"),
        (claims(aud=[]), RefusalReason.WRONG_AUDIENCE, ""),
        (claims(nbf=NOW_S + 3600), RefusalReason.FROM_THE_FUTURE, ""),
        (claims(cmd=7), RefusalReason.INVALID_FIELD, "got `int`"),
        (claims(cmd={}), RefusalReason.INVALID_FIELD, "missing required field `command`"),
        (claims(cmd={"command": "shut_down"}), RefusalReason.UNKNOWN_COMMAND, "'shut_down'; known: locate_now, set_in"),
        (claims(cmd={"command": "ping", "x": 1}), RefusalReason.INVALID_FIELD, "unknown field `x`"),
        (claims(cmd={"command": "locate_now", "tag": "a/b"}), RefusalReason.INVALID_FIELD, "$.tag"),
        (claims(cmd={"command": "locate_now", "tag": "a\n"}), RefusalReason.INVALID_FIELD, "$.tag"),
        (claims(cmd={"command": "vibrate", "tag": "a", "seconds": 1e9}), RefusalReason.INVALID_FIELD, "$.seconds"),
        (
            claims(cmd={"command": "replay", "source": "s", "first": 0, "last": 1}),
            RefusalReason.INVALID_FIELD,
            "$.first",
        ),
        (
            claims(cmd={"command": "load_order", "order": {"id": "o"}}),
            RefusalReason.INVALID_FIELD,
            "`version` - at `$.order`",
        ),
    ],
)
def test_contents_that_are_no_command(content: bytes, reason: RefusalReason, detail: str) -> None:
    found = refusal(read(sign_content(content, PRIVATE)))
    assert found.reason is reason, found
    assert detail in found.detail


def test_several_addressees_and_claims_of_others() -> None:
    content = claims(aud=["bridge-2", "bridge-1"], nbf=NOW_S - 1, extra={"a": [1]}, iat=NOW_S + 0.25)
    found = read(sign_content(content, PRIVATE))
    assert isinstance(found, SignedCommand)
    assert found.issued_utc_ns == NOW_NS + 250_000_000


def flip(part: int) -> Callable[[bytes], bytes]:
    def spoil(body: bytes) -> bytes:
        parts = body.split(b".")
        middle = len(parts[part]) // 2
        other = b"A" if parts[part][middle : middle + 1] != b"A" else b"B"
        parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
        return b".".join(parts)

    return spoil


def with_header(header: bytes) -> Callable[[bytes], bytes]:
    return lambda body: base64.urlsafe_b64encode(header).rstrip(b"=") + body[body.index(b".") :]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (flip(1), RefusalReason.BAD_SIGNATURE),
        (flip(2), RefusalReason.BAD_SIGNATURE),
        (with_header(b'{"alg":"none"}'), RefusalReason.WRONG_ALGORITHM),
        (with_header(b'{"alg":"HS256","typ":"JWT"}'), RefusalReason.WRONG_ALGORITHM),
        (with_header(b'{"alg":"EdDSA","crit":["b64"],"b64":false}'), RefusalReason.WRONG_ALGORITHM),
        (with_header(b'{"alg":"EdDSA","jwk":{}}'), RefusalReason.WRONG_ALGORITHM),
        (with_header(b'{"alg":"EdDSA"}'), RefusalReason.BAD_SIGNATURE),
        (with_header(b"[" * 300), RefusalReason.WRONG_ALGORITHM),
        (with_header(b"\xff"), RefusalReason.WRONG_ALGORITHM),
        (with_header(b"x" * 1000), RefusalReason.NOT_A_TOKEN),
        (lambda body: body[: body.rindex(b".") + 1], RefusalReason.NOT_A_TOKEN),
        (lambda body: body + b".x", RefusalReason.NOT_A_TOKEN),
        (lambda body: body[:-3] + b"!!!", RefusalReason.NOT_A_TOKEN),
        (lambda body: b"", RefusalReason.NOT_A_TOKEN),
        (lambda body: b"..", RefusalReason.NOT_A_TOKEN),
        (lambda body: body + b" " * MAX_COMMAND_BYTES, RefusalReason.TOO_LARGE),
    ],
)
def test_tokens_that_were_changed_tell_nothing_of_their_sender(
    spoil: Callable[[bytes], bytes], reason: RefusalReason
) -> None:
    found = refusal(read(spoil(signed(LocateNow(tag="t-1")))))
    assert found.reason is reason, found
    assert (found.nonce, found.command) == (None, None)


def test_key_of_another_is_not_obeyed() -> None:
    assert refusal(read(signed(LocateNow(tag="t-1"), key_pem=OTHER_PRIVATE))).reason is RefusalReason.BAD_SIGNATURE
    assert isinstance(read(signed(LocateNow(tag="t-1"), key_pem=OTHER_PRIVATE), key=OTHER_PUBLIC), SignedCommand)


def test_public_key_is_no_secret_to_sign_with() -> None:
    """The classic trick: HMAC with the text of the public key."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=")
    content = base64.urlsafe_b64encode(claims()).rstrip(b"=")
    token = header + b"." + content + b"." + b"A" * 86
    assert refusal(read(token)).reason is RefusalReason.WRONG_ALGORITHM


def pem_of(kind: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else ed448.Ed448PrivateKey.generate()
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("pem", "expected"),
    [
        (lambda: b"junk", "expected an Ed25519 public key in PEM"),
        (lambda: PRIVATE, "expected an Ed25519 public key in PEM"),
        (lambda: pem_of("ec"), "expected an Ed25519 public key, got EC"),
        (lambda: pem_of("ed448"), "expected an Ed25519 public key, got Ed448"),
    ],
)
def test_keys_of_another_kind_are_a_mistake_of_ours(pem: Callable[[], bytes], expected: str) -> None:
    with pytest.raises(KeyFormatError, match=expected):
        read(signed(LocateNow(tag="t-1")), key=pem())


def test_public_key_cannot_sign() -> None:
    with pytest.raises(KeyFormatError, match="expected an Ed25519 private key in PEM"):
        signed(LocateNow(tag="t-1"), key_pem=PUBLIC)


def test_zones_of_an_order_come_through_as_they_are() -> None:
    zones = {"type": "FeatureCollection", "name": "extra", "features": [{"type": "Feature", "bbox": [1, 2.5, None]}]}
    command = ReplaceOrder(order=Order(id="o", version=2, wearer="t", zones=zones), if_version=1)
    found = read(signed(command))
    assert isinstance(found, SignedCommand)
    assert isinstance(found.command, ReplaceOrder)
    assert found.command.order.zones == zones


def test_order_of_ten_thousand_vertices_fits() -> None:
    ring = [[round(-6.5 + n * 1e-6, 6), round(51 + n * 1e-6, 6)] for n in range(10_000)]
    zones = {"type": "FeatureCollection", "features": [{"geometry": {"type": "Polygon", "coordinates": [ring]}}]}
    body = signed(ReplaceOrder(order=Order(id="o", version=2, wearer="t", zones=zones), if_version=1))
    assert len(body) < MAX_COMMAND_BYTES
    assert isinstance(read(body), SignedCommand)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_never_raise(body: bytes) -> None:
    assert isinstance(read(body), Refusal)
    assert isinstance(read(sign_content(body, PRIVATE)), Refusal)


@given(st.data())
def test_damaged_token_is_refused_wherever_it_was_damaged(data: st.DataObject) -> None:
    body = bytearray(signed(LocateNow(tag="t-1")))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    assert isinstance(read(bytes(body)), Refusal)


def test_a_signature_is_written_in_one_way_only() -> None:
    """64 bytes leave four bits of the last character unused; another last character is another token."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    body = signed(LocateNow(tag="t-1"))
    accepted = [char for char in alphabet if isinstance(read(body[:-1] + char.encode()), SignedCommand)]
    assert accepted == [body[-1:].decode()]


def test_every_name_is_a_command() -> None:
    assert len(COMMANDS) == 14
    assert all(command_name(command) in COMMANDS for command in command_samples())
