"""From the configuration to a way to reach a broker; the only place that meets a password."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from bridge.config.load import LoadedConfig
from bridge.embedded_broker import EmbeddedBroker
from bridge.errors import ConfigError, Problem
from bridge.mqtt_session import MqttSettings, TlsSettings

PASSWORD_VARIABLE = "TAGRIG_BROKER_PASSWORD"
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


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
        A certificate, key or password file cannot be read.
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
    password = environment.get(PASSWORD_VARIABLE)
    password_file = _readable(loaded, "password_file", broker.password_file)
    if password_file is not None:
        password = password_file.read_text(encoding="utf-8").rstrip("\r\n")
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
        message = f"{path} cannot be read: {exc.strerror}"
        where = loaded.sources.nearest(("broker", key))
        raise ConfigError([Problem(path=f"broker.{key}", where=where, message=message)]) from exc
    return path
