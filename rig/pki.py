"""A public key infrastructure for tests: an authority, a broker, one client per role, a key that signs commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from rig.errors import PkiError

AUTHORITY = "ca"
BROKER = "broker"
COMMANDS = "commands"

_SECRET = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate, or a public key, and the private key that belongs to it."""

    public: Path
    private: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """Where everything stands: ``{name}.pem`` and ``{name}-key.pem`` in one folder."""

    folder: Path

    def pair(self, name: str) -> Pair:
        """Files of one name."""
        return Pair(public=self.folder / f"{name}.pem", private=self.folder / f"{name}-key.pem")

    @property
    def ca_file(self) -> Path:
        """The authority's certificate."""
        return self.pair(AUTHORITY).public


def make_pki(
    folder: Path, *, hosts: Sequence[str], clients: Sequence[str], not_after: datetime
) -> tuple[Pki, list[Path]]:
    """Make what is missing in a folder; what is there stays as it is.

    Parameters
    ----------
    folder : Path
        Made with mode 0700 if it is not there.
    hosts : sequence of str
        Names and addresses under which the broker is reached.
    clients : sequence of str
        Common names of client certificates; the name stands in the certificate as a DNS name too, by which NATS maps
        it to a user.
    not_after : datetime
        End of the certificates' time.

    Returns
    -------
    Pki
    list of Path
        Files that were written.

    Raises
    ------
    PkiError
        The folder holds half of a pair, an authority that cannot be used, or a host cannot be certified.
    """
    pki = Pki(folder=folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: list[Path] = []
    authority = _authority(pki, written)
    if _is_missing(pki.pair(BROKER)):
        try:
            certificate = authority.issue_cert(*hosts, common_name=hosts[0], not_after=not_after)
        except ValueError as exc:
            raise PkiError(
                f"{', '.join(map(repr, hosts))}: no host to certify ({exc}). Next: a name or address"
            ) from exc
        _write(pki.pair(BROKER), _chain(certificate), certificate.private_key_pem.bytes(), written)
    for name in clients:
        if _is_missing(pki.pair(name)):
            certificate = authority.issue_cert(name, common_name=name, not_after=not_after)
            _write(pki.pair(name), _chain(certificate), certificate.private_key_pem.bytes(), written)
    if _is_missing(pki.pair(COMMANDS)):
        key = Ed25519PrivateKey.generate()
        _write(
            pki.pair(COMMANDS),
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            written,
        )
    return pki, written


def _authority(pki: Pki, written: list[Path]) -> trustme.CA:
    pair = pki.pair(AUTHORITY)
    if _is_missing(pair):
        authority = trustme.CA(organization_name="tagrig test")
        _write(pair, authority.cert_pem.bytes(), authority.private_key_pem.bytes(), written)
        return authority
    try:
        return trustme.CA.from_pem(pair.public.read_bytes(), pair.private.read_bytes())
    except ValueError as exc:
        raise PkiError(
            f"{pair.public} and {pair.private} are no authority in PEM: {exc}. Next: name an empty folder"
        ) from exc


def _is_missing(pair: Pair) -> bool:
    there = [path.exists() for path in (pair.public, pair.private)]
    if any(there) and not all(there):
        found, lost = (pair.public, pair.private) if there[0] else (pair.private, pair.public)
        raise PkiError(f"{found} is there and {lost} is not. Next: put it back, or remove the other to make both anew")
    return not any(there)


def _chain(certificate: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


def _write(pair: Pair, public: bytes, private: bytes, written: list[Path]) -> None:
    # The mode is given at creation: a key must not be readable for a moment either.
    pair.private.touch(mode=_SECRET, exist_ok=False)
    pair.private.write_bytes(private)
    pair.public.write_bytes(public)
    written += [pair.public, pair.private]
