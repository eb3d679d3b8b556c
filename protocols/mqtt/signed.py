"""Commands as a provider signs them: JWS compact tokens (RFC 7515, RFC 7519), Ed25519 only (RFC 8037).

::

    base64url(header) . base64url(claims) . base64url(signature)
    header  {"alg":"EdDSA"}, optionally typ and kid; any other parameter is refused
    claims  {"iss":"provider","aud":"bridge-1","iat":1764000000,"exp":1764000060,"jti":"...","cmd":{"command":"ping"}}

The signature is judged before anything that it covers is decoded, so that a body of a megabyte by a stranger costs
3 ms, not the 39 ms of PyJWT's own order (measured). Times are judged by the caller's clock, not by the library's.
"""

import binascii
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt import PyJWS
from jwt.algorithms import OKPAlgorithm

from protocols.errors import KeyFormatError
from protocols.mqtt.commands import COMMANDS, Command
from protocols.mqtt.refusal import Refusal, RefusalReason, clip_detail

MAX_COMMAND_BYTES = 1_048_576
"""Largest signed command: an order with some 10,000 vertices of zones; what a broker takes by default is more."""

MAX_HEADER_CHARS = 512
"""Characters of a token's first part. Ours has 27; a key id of 64 characters makes it 130."""

ALGORITHM = "EdDSA"
_SIGNATURE_CHARS = 86
_PARTS = 3
_NS = 1_000_000_000

_NumericDate = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]
"""Seconds since 1970, up to the year 9999."""


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: Literal["EdDSA"]
    typ: str | None = None
    kid: str | None = None


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a signed command. ``jti`` is its nonce. Other claims are ignored, as RFC 7519 says."""

    iss: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    aud: str | tuple[str, ...]
    iat: _NumericDate
    exp: _NumericDate
    jti: Annotated[str, msgspec.Meta(min_length=8, max_length=128)]
    cmd: msgspec.Raw
    nbf: _NumericDate | None = None


class _Named(msgspec.Struct, frozen=True):
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCommand:
    """A command whose signature, addressee and time are good. Whether its nonce is new, the caller must know.

    Attributes
    ----------
    command : Command
    name : str
    nonce : str
    issued_utc_ns, expires_utc_ns : int
        By the provider's clock. A nonce must be remembered until ``issued_utc_ns`` is further back than the window.
    """

    command: Command
    name: str
    nonce: str
    issued_utc_ns: int
    expires_utc_ns: int


_T = TypeVar("_T")
_header_decoder = msgspec.json.Decoder(_Header)
_claims_decoder = msgspec.json.Decoder(Claims)
_name_decoder = msgspec.json.Decoder(_Named)
_command_decoder = msgspec.json.Decoder(Command)
_algorithm = OKPAlgorithm()


@lru_cache(maxsize=8)
def public_key(key_pem: bytes) -> Ed25519PublicKey:
    """Read a provider's key.

    Raises
    ------
    KeyFormatError
        It is no Ed25519 public key in PEM.
    """
    try:
        key = load_pem_public_key(key_pem)
    except ValueError as exc:
        raise KeyFormatError(f"expected an Ed25519 public key in PEM (-----BEGIN PUBLIC KEY-----): {exc}") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFormatError(f"expected an Ed25519 public key, got {type(key).__name__.removesuffix('PublicKey')}")
    return key


@lru_cache(maxsize=8)
def _private_key(key_pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as exc:
        raise KeyFormatError(f"expected an Ed25519 private key in PEM without a passphrase: {exc}") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFormatError(f"expected an Ed25519 private key, got {type(key).__name__.removesuffix('PrivateKey')}")
    return key


def sign_command(
    command: Command,
    *,
    key_pem: bytes,
    issuer: str,
    audience: str,
    nonce: str,
    issued_utc_ns: int,
    lifetime_s: float = 60.0,
) -> bytes:
    """Sign a command as a provider does.

    Parameters
    ----------
    command : Command
    key_pem : bytes
        Ed25519 private key in PEM.
    issuer : str
    audience : str
        Id of the bridge that shall obey.
    nonce : str
        Never the same twice: 8 to 128 characters, at least 16 random bytes as text.
    issued_utc_ns : int
    lifetime_s : float
        After this it is refused, however large the bridge's window is.

    Raises
    ------
    KeyFormatError
        It is no Ed25519 private key in PEM.
    """
    claims = {
        "iss": issuer,
        "aud": audience,
        "iat": issued_utc_ns / _NS,
        "exp": issued_utc_ns / _NS + lifetime_s,
        "jti": nonce,
        "cmd": command,
    }
    return sign_content(msgspec.json.encode(claims), key_pem)


def sign_content(content: bytes, key_pem: bytes) -> bytes:
    """Sign any claims; ``sign_command`` makes the usual ones."""
    return PyJWS().encode(content, _private_key(key_pem), ALGORITHM).encode()


def read_command(
    body: bytes, *, key_pem: bytes, issuer: str, audience: str, now_utc_ns: int, window_s: float
) -> SignedCommand | Refusal:
    """Judge a signed command.

    Parameters
    ----------
    body : bytes
    key_pem : bytes
        The provider's Ed25519 public key in PEM.
    issuer, audience : str
        Who must have signed it, and for which bridge.
    now_utc_ns : int
    window_s : float
        How old it may be, and how far ahead its clock.

    Returns
    -------
    SignedCommand or Refusal
        Whatever the body holds, nothing is raised.

    Raises
    ------
    KeyFormatError
        ``key_pem`` is no such key: a mistake of ours.
    """
    key = public_key(key_pem)
    content = _signed_content(body, key)
    if isinstance(content, Refusal):
        return content
    claims = _decode(content, _claims_decoder)
    if isinstance(claims, Refusal):
        return claims
    name = _decode(claims.cmd, _name_decoder, nonce=claims.jti)
    if isinstance(name, Refusal):
        return name
    reason, detail = _doubt(claims, issuer, audience, now_utc_ns, int(window_s * _NS))
    if reason is None and name.command not in COMMANDS:
        reason, detail = RefusalReason.UNKNOWN_COMMAND, f"{name.command!r}; known: {', '.join(COMMANDS)}"
    if reason is not None:
        return Refusal(
            reason=reason, detail=clip_detail(detail), nonce=claims.jti, command=clip_detail(name.command)[:64]
        )
    command = _decode(claims.cmd, _command_decoder, nonce=claims.jti, name=name.command)
    if isinstance(command, Refusal):
        return command
    return SignedCommand(
        command=command,
        name=name.command,
        nonce=claims.jti,
        issued_utc_ns=_utc_ns(claims.iat),
        expires_utc_ns=_utc_ns(claims.exp),
    )


def _signed_content(body: bytes, key: Ed25519PublicKey) -> bytes | Refusal:
    """Give the claims of a token whose signature is good."""
    if len(body) > MAX_COMMAND_BYTES:
        detail = f"expected at most {MAX_COMMAND_BYTES} bytes, got {len(body)}"
        return Refusal(reason=RefusalReason.TOO_LARGE, detail=detail)
    parts = body.strip().split(b".", _PARTS)
    if len(parts) != _PARTS or len(parts[0]) > MAX_HEADER_CHARS or len(parts[2]) != _SIGNATURE_CHARS:
        return Refusal(reason=RefusalReason.NOT_A_TOKEN, detail="expected a JWS in compact form: three parts, two dots")
    try:
        header, signature = _unpack(parts[0]), _unpack(parts[2])
    except binascii.Error as exc:
        return Refusal(reason=RefusalReason.NOT_A_TOKEN, detail=f"expected base64url: {exc}")
    if urlsafe_b64encode(signature).rstrip(b"=") != parts[2]:
        return Refusal(reason=RefusalReason.NOT_A_TOKEN, detail="the signature has bits beyond its end")
    try:
        _header_decoder.decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        return Refusal(reason=RefusalReason.WRONG_ALGORITHM, detail=clip_detail(f"header: {exc}"))
    if not _algorithm.verify(parts[0] + b"." + parts[1], key, signature):
        return Refusal(reason=RefusalReason.BAD_SIGNATURE)
    try:
        return _unpack(parts[1])
    except binascii.Error as exc:
        return Refusal(reason=RefusalReason.NOT_A_TOKEN, detail=f"claims: expected base64url: {exc}")


def _decode(
    text: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[_T], *, nonce: str | None = None, name: str | None = None
) -> _T | Refusal:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as exc:
        reason, detail = RefusalReason.INVALID_FIELD, str(exc)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        reason, detail = RefusalReason.NOT_JSON, str(exc)
    return Refusal(reason=reason, detail=clip_detail(detail), nonce=nonce, command=name)


def _unpack(part: bytes) -> bytes:
    return b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _utc_ns(numeric_date: float) -> int:
    """Nanoseconds of a claim, exact to the microsecond: more a 64-bit float does not hold."""
    return round(numeric_date * 1_000_000) * 1000


def _doubt(
    claims: Claims, issuer: str, audience: str, now_utc_ns: int, window_ns: int
) -> tuple[RefusalReason | None, str]:
    """Find why a command that is well signed is not for us, or not for now."""
    named = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
    ahead_ns = _utc_ns(claims.iat) - now_utc_ns
    if claims.iss != issuer:
        return RefusalReason.WRONG_ISSUER, f"expected {issuer!r}, got {claims.iss!r}"
    if audience not in named:
        return RefusalReason.WRONG_AUDIENCE, f"expected {audience!r}, got {', '.join(map(repr, named[:4]))}"
    if ahead_ns > window_ns or (claims.nbf is not None and _utc_ns(claims.nbf) > now_utc_ns + window_ns):
        return RefusalReason.FROM_THE_FUTURE, f"issued {ahead_ns / _NS:.1f} s ahead of this bridge's clock"
    if -ahead_ns > window_ns:
        return RefusalReason.STALE, f"issued {-ahead_ns / _NS:.1f} s ago; at most {window_ns / _NS:g} s are allowed"
    if _utc_ns(claims.exp) <= now_utc_ns:
        return RefusalReason.STALE, f"expired {(now_utc_ns - _utc_ns(claims.exp)) / _NS:.1f} s ago"
    return None, ""
