"""Checks of where messages go: URLs, encryption, what belongs together."""

import difflib
import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from bridge.config.schema import BridgeConfig, BrokerSection
from bridge.config.sources import Key
from bridge.mqtt.settings import is_loopback

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
"""Schemes of a broker's URL, each with the port that IANA registered for it."""

MAX_ENDPOINTS = 16
"""Endpoints of one path. At a second and more a try, a longer list takes too long to come round."""

_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def broker_problems(config: BridgeConfig) -> Iterator[tuple[Key, str]]:
    """Find what is wrong with the section ``broker``."""
    broker = config.broker
    urls = list(_urls(broker))
    bad = False
    for key, url in urls:
        for message in url_problems(url):
            bad = True
            yield key, message
    yield from _belonging(broker)
    if not bad:
        yield from _encryption(broker, urls)
        yield from _places(broker, urls)


def _urls(broker: BrokerSection) -> Iterator[tuple[Key, str]]:
    if broker.url is not None:
        yield ("broker", "url"), broker.url
    yield from ((("broker", "more_urls", place), url) for place, url in enumerate(broker.more_urls))
    yield from ((("broker", "second_urls", place), url) for place, url in enumerate(broker.second_urls))


def _belonging(broker: BrokerSection) -> Iterator[tuple[Key, str]]:
    if broker.url is None and broker.more_urls:
        yield ("broker", "more_urls"), "are further endpoints of broker.url. Next: name the first one there"
    if broker.url is not None and broker.store_folder is not None:
        yield ("broker", "store_folder"), "only the embedded broker stores anything; remove it, or remove url"
    if (broker.cert_file is None) != (broker.key_file is None):
        yield ("broker", "cert_file"), "a client certificate needs both cert_file and key_file"
    if broker.password_file is not None and broker.username is None:
        yield ("broker", "password_file"), "a password needs broker.username"


def _encryption(broker: BrokerSection, urls: list[tuple[Key, str]]) -> Iterator[tuple[Key, str]]:
    encrypted = [url for _, url in urls if url.startswith("mqtts:")]
    if not encrypted:
        for name in ("ca_file", "cert_file", "key_file"):
            if getattr(broker, name) is not None:
                yield ("broker", name), "is for TLS only; expected url = mqtts://..., or no such file"
    for key, url in urls:
        outside = not is_loopback(_host(url))
        if outside and url not in encrypted and not broker.allow_plain:
            yield (
                key,
                f"{url} is not encrypted: positions and calls for help would be readable on the way. Next: mqtts://, "
                "or broker.allow_plain = true where the network itself is encrypted",
            )
        if outside and url in encrypted and not broker.verify:
            yield (
                ("broker", "verify"),
                f"{url} is not on this machine: its certificate is verified. Next: name its authority as ca_file",
            )


def _places(broker: BrokerSection, urls: list[tuple[Key, str]]) -> Iterator[tuple[Key, str]]:
    seen: dict[tuple[str, int], str] = {}
    for key, url in urls:
        parts = urlsplit(url)
        place = (_host(url).lower(), parts.port or DEFAULT_PORTS[parts.scheme])
        if place in seen:
            yield (
                key,
                f"{url} is named as {seen[place]} too; expected endpoints that differ, a second path by its broker",
            )
        seen.setdefault(place, ".".join(str(part) for part in key[1:]))
    for name, path in (
        ("more_urls", (*((broker.url,) if broker.url else ()), *broker.more_urls)),
        ("second_urls", broker.second_urls),
    ):
        if len({urlsplit(url).scheme for url in path}) > 1:
            yield ("broker", name), "one path is encrypted at all its endpoints, or at none; got mqtt:// and mqtts://"
        if len(path) > MAX_ENDPOINTS:
            yield ("broker", name), f"expected at most {MAX_ENDPOINTS} endpoints, got {len(path)}"


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def url_problems(url: str) -> list[str]:
    """Find what is wrong with a broker's URL; empty: nothing."""
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        return [f"cannot be read: {exc}; expected mqtt://host:port, got {url!r}"]
    if parts.scheme not in DEFAULT_PORTS:
        close = difflib.get_close_matches(parts.scheme, DEFAULT_PORTS, n=1)
        hint = f" Did you mean {close[0]}://?" if close else ""
        return [f"expected mqtt://host:port, or mqtts://host:port for TLS, got {url!r}.{hint}"]
    problems = []
    if parts.username is not None or parts.password is not None:
        problems.append("holds a user or password; use broker.username and broker.password_file, or the environment")
    if not parts.hostname:
        problems.append(f"names no host: {url!r}")
    elif not _is_host(parts.hostname):
        problems.append(f"{parts.hostname!r} is not a host; expected labels of 1 to 63 letters, digits or '-'")
    try:
        _ = parts.port
    except ValueError:
        problems.append(f"the port is not a number below 65536: {url!r}")
    if parts.path not in {"", "/"} or parts.query:
        problems.append(f"has a path; expected nothing after host and port, got {url!r}")
    return problems


def _is_host(host: str) -> bool:
    """Whether a name can be looked up at all, or is an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        try:
            labels = host.removesuffix(".").encode("idna").decode("ascii").split(".")
        except UnicodeError:
            return False
        return all(_HOST_LABEL.fullmatch(label) for label in labels) and len(host) <= 253
    return True
