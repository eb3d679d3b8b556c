"""How a provider's programs reach a broker: its URL, its certificate and ours, and what to try when it says no."""

import ssl
from pathlib import Path
from urllib.parse import urlsplit

from bridge.config.check_broker import DEFAULT_PORTS, url_problems
from rig.errors import RigError


class BrokerAddressError(RigError, ValueError):
    """A broker's URL or a certificate file cannot be used, for example a file that is not there."""


def read_address(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether with TLS.

    Raises
    ------
    BrokerAddressError
        The URL is not that of a broker.
    """
    if "@" in url:  # not repeated in the message: it may hold a password
        raise BrokerAddressError("the broker's URL holds a user or password. Next: --username, and the environment")
    if problems := url_problems(url):
        raise BrokerAddressError(f"the broker {url!r}: {'; '.join(problems)}")
    parts = urlsplit(url)
    assert parts.hostname is not None
    return parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme], parts.scheme == "mqtts"


def make_tls_context(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """Make what verifies the broker, and shows our certificate where there is one.

    Raises
    ------
    BrokerAddressError
        A file cannot be read, or does not hold what it should.
    """
    for each in (ca_file, cert_file, key_file):
        _try_to_read(each)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as exc:
        raise BrokerAddressError(f"{ca_file}: no authority's certificate in PEM ({exc.reason or exc})") from exc
    if cert_file is None and key_file is not None:
        raise BrokerAddressError(f"{key_file}: a key without its certificate. Next: name both")
    if cert_file is not None:
        # A key with a passphrase would ask for it on the terminal and hang where nobody sits.
        try:
            context.load_cert_chain(cert_file, key_file, password=lambda: "")
        except ssl.SSLError as exc:
            where = f"{cert_file} and {key_file or 'no key file'}"
            raise BrokerAddressError(
                f"{where}: not a certificate and its key in PEM, without a passphrase ({exc.reason or exc})"
            ) from exc
    return context


def _try_to_read(path: Path | None) -> None:
    if path is None:
        return
    try:
        path.open("rb").close()
    except OSError as exc:
        raise BrokerAddressError(f"{path}: {exc.strerror}. Next: name a file in PEM that can be read") from exc


def advise(exc: BaseException | None) -> str:
    """Give the next step after a connection that could not be made."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return (
            "Next: --ca-file with the authority that signed the broker's certificate, and the host as it stands there"
        )
    if isinstance(exc, ssl.SSLError):
        return "Next: does the broker speak TLS at this port? Without it the scheme is mqtt://"
    return "Next: check address and port"


def advise_refused(why: str) -> str:
    """Give the next step after a broker that answered and does not let us in."""
    if "protocol version" in why.lower():
        return "Next: --mqtt-version 3.1.1"
    return "Next: does it want TLS (mqtts://), a certificate of ours, or another user name and password?"
