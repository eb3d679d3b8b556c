"""From the configuration to a way to reach a broker; the only place that meets a password."""

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from bridge.config.check import DEFAULT_PORTS
from bridge.config.load import LoadedConfig
from bridge.embedded_broker import EmbeddedBroker
from bridge.errors import ConfigError, Problem
from bridge.mqtt.session import MqttSettings, TlsSettings

PASSWORD_VARIABLE = "TAGRIG_BROKER_PASSWORD"


def embedded_broker_of(loaded: LoadedConfig) -> EmbeddedBroker | None:
    """Make the broker to start, or None where one is configured."""
    broker = loaded.config.broker
    if broker.url is not None:
        return None
    folder = loaded.path_of(broker.store_folder) if broker.store_folder is not None else None
    return EmbeddedBroker(broker.embedded, folder)


def mqtt_settings(
    loaded: LoadedConfig, url: str, environment: Mapping[str, str], *, newest: Literal["5", "3.1.1"] = "5"
) -> MqttSettings:
    """Make the settings for a URL that was checked; ``newest`` is the newest version that the broker is known to speak.

    Raises
    ------
    ConfigError
        A certificate, key or password file cannot be read, or does not hold what its name says.
    """
    broker = loaded.config.broker
    parts = urlsplit(url)
    assert parts.hostname is not None
    tls = None
    if parts.scheme == "mqtts":
        tls = TlsSettings(
            ca_file=_readable(loaded, "ca_file", broker.ca_file),
            cert_file=_readable(loaded, "cert_file", broker.cert_file),
            key_file=_readable(loaded, "key_file", broker.key_file),
        )
        _try_tls(loaded, tls)
    password = environment.get(PASSWORD_VARIABLE)
    password_file = _readable(loaded, "password_file", broker.password_file)
    if password_file is not None:
        try:
            password = password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError as exc:
            message = f"{password_file} is not UTF-8 text (byte {exc.start}). Next: write the password as UTF-8"
            raise _problem(loaded, "password_file", message) from exc
    return MqttSettings(
        host=parts.hostname,
        port=parts.port or DEFAULT_PORTS[parts.scheme],
        client_id=broker.client_id or f"tagrig-{loaded.config.bridge.id}",
        version=broker.mqtt_version if newest == "5" else newest,
        tls=tls,
        username=broker.username,
        password=password if broker.username is not None else None,
        keepalive_s=broker.keepalive_s,
    )


def is_plain_off_loopback(settings: MqttSettings) -> bool:
    """Whether positions would travel readable over a network."""
    if settings.tls is not None or settings.host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        return True


def _readable(loaded: LoadedConfig, key: str, name: str | None) -> Path | None:
    if name is None:
        return None
    path = loaded.path_of(name)
    try:
        path.open("rb").close()
    except OSError as exc:
        raise _problem(loaded, key, f"{path} cannot be read: {exc.strerror}") from exc
    return path


def _try_tls(loaded: LoadedConfig, tls: TlsSettings) -> None:
    """Load the certificates once, so that a wrong file is told with its key, not by a failing connection."""
    try:
        TlsSettings(ca_file=tls.ca_file).context()
    except ssl.SSLError as exc:
        message = f"{tls.ca_file} holds no certificate authority in PEM ({exc.reason or exc})"
        raise _problem(loaded, "ca_file", message) from exc
    try:
        tls.context()
    except ssl.SSLError as exc:
        message = (
            f"{tls.cert_file} and {tls.key_file} are not a certificate and its key in PEM, without a passphrase "
            f"({exc.reason or exc})"
        )
        raise _problem(loaded, "cert_file", message) from exc


def _problem(loaded: LoadedConfig, key: str, message: str) -> ConfigError:
    where = loaded.sources.nearest(("broker", key))
    return ConfigError([Problem(path=f"broker.{key}", where=where, message=message)])
