"""How to reach brokers: endpoints, TLS, paths."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho only forgets it, and it stays open until it is collected."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            self.close()
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """TLS towards a broker. ``verify``: of its certificate and name; false on loopback only."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Build the context; the system's authorities are trusted where no file is named."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.sslsocket_class = _ClosingSocket
        if self.cert_file is not None:
            # A passphrase would be asked for at a terminal that a service does not have; an empty one is refused.
            context.load_cert_chain(self.cert_file, self.key_file, password="")
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """One endpoint. ``password`` comes from a file or the environment, never from a command line.

    Raises
    ------
    ValueError
        Verification is off for a host that is not this machine.
    """

    host: str
    port: int
    client_id: str
    version: Literal["5", "3.1.1"] = "5"
    tls: TlsSettings | None = None
    username: str | None = None
    password: str | None = None
    keepalive_s: int = 15

    def __post_init__(self) -> None:
        if self.tls is not None and not self.tls.verify and not is_loopback(self.host):
            raise ValueError(f"{self.url}: the certificate must be verified off loopback. Next: name its ca_file")

    @property
    def url(self) -> str:
        """For messages: no user, no password."""
        return f"{'mqtt' if self.tls is None else 'mqtts'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSettings:
    """The way to one broker: its endpoints, tried in turn. ``name`` stands in logs and in the health.

    Raises
    ------
    ValueError
        There is no endpoint.
    """

    endpoints: tuple[MqttSettings, ...]
    name: str = "main"

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError(f"path {self.name!r} has no endpoint: expected at least one")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by name or by address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
