"""From the configuration to ways to reach brokers; the only place that meets a password."""

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from bridge.config.check_broker import DEFAULT_PORTS
from bridge.config.load import LoadedConfig
from bridge.embedded_broker import NEWEST_VERSION, EmbeddedBroker
from bridge.errors import ConfigError, Problem
from bridge.mqtt.settings import MqttSettings, PathSettings, TlsSettings, is_loopback
from protocols.mqtt.ids import instance_id

PASSWORD_VARIABLE = "TAGRIG_BROKER_PASSWORD"

MAIN_PATH = "main"
SECOND_PATH = "second"
"""Names of the two ways, in logs and in the heartbeat."""


def embedded_broker_of(loaded: LoadedConfig) -> EmbeddedBroker | None:
    """Make the broker to start, or None where one is configured."""
    broker = loaded.config.broker
    if broker.url is not None:
        return None
    folder = loaded.path_of(broker.store_folder) if broker.store_folder is not None else None
    return EmbeddedBroker(broker.embedded, folder)


def path_settings(
    loaded: LoadedConfig, environment: Mapping[str, str], embedded_url: str | None = None
) -> tuple[PathSettings, ...]:
    """Make the ways to the provider: the main one, and a second where an independent broker is configured.

    Parameters
    ----------
    loaded : LoadedConfig
        Its URLs were checked.
    environment : mapping
        May hold the password.
    embedded_url : str or None
        Where the embedded broker listens; needed where no ``broker.url`` is configured.

    Raises
    ------
    ConfigError
        A certificate, key or password file cannot be read, or does not hold what its name says.
    """
    broker = loaded.config.broker
    if broker.url is not None:
        main = [mqtt_settings(loaded, url, environment) for url in (broker.url, *broker.more_urls)]
    else:
        assert embedded_url is not None
        main = [mqtt_settings(loaded, embedded_url, environment, newest=NEWEST_VERSION[broker.embedded])]
    paths = [PathSettings(endpoints=tuple(main), name=MAIN_PATH)]
    if broker.second_urls:
        second = (mqtt_settings(loaded, url, environment, path=SECOND_PATH) for url in broker.second_urls)
        paths.append(PathSettings(endpoints=tuple(second), name=SECOND_PATH))
    return tuple(paths)


def mqtt_settings(
    loaded: LoadedConfig,
    url: str,
    environment: Mapping[str, str],
    *,
    newest: Literal["5", "3.1.1"] = "5",
    path: str = MAIN_PATH,
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
            verify=broker.verify,
        )
        _try_tls(loaded, tls)
    return MqttSettings(
        host=parts.hostname,
        port=parts.port or DEFAULT_PORTS[parts.scheme],
        client_id=_client_id(loaded, path),
        version=broker.mqtt_version if newest == "5" else newest,
        tls=tls,
        username=broker.username,
        password=_password(loaded, environment) if broker.username is not None else None,
        keepalive_s=broker.keepalive_s,
    )


def plain_endpoints(paths: Sequence[PathSettings]) -> tuple[str, ...]:
    """URLs over which positions travel readable through a network; only with ``broker.allow_plain`` there are any."""
    return tuple(each.url for path in paths for each in path.endpoints if is_plain_off_loopback(each))


def is_plain_off_loopback(settings: MqttSettings) -> bool:
    """Whether positions would travel readable over a network."""
    return settings.tls is None and not is_loopback(settings.host)


def _client_id(loaded: LoadedConfig, path: str) -> str:
    """Name a session: the same at every start, another for each path and each part of a divided bridge.

    Two sessions of one name at one broker would end each other for ever.
    """
    bridge = loaded.config.bridge
    name = instance_id(loaded.config.broker.client_id or f"tagrig-{bridge.id}", bridge.partition)
    return name if path == MAIN_PATH else f"{name}-{path}"


def _password(loaded: LoadedConfig, environment: Mapping[str, str]) -> str | None:
    path = _readable(loaded, "password_file", loaded.config.broker.password_file)
    if path is None:
        return environment.get(PASSWORD_VARIABLE)
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError as exc:
        message = f"{path} is not UTF-8 text (byte {exc.start}). Next: write the password as UTF-8"
        raise _problem(loaded, "password_file", message) from exc


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
