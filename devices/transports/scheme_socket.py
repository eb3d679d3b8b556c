"""``socket://host:port``: a byte stream over TCP, from a device server in raw mode or a receiver on the network."""

import asyncio
import socket

from devices.clock import Clock
from devices.errors import TransportOpenError
from devices.transports.base import Transport
from devices.transports.descriptor import Descriptor, DescriptorTransport
from devices.transports.spec import TransportSpec

CONNECT_TIMEOUT_S = 5.0
"""Seconds to wait for a TCP connection. Linux itself gives up after two minutes, hiding a dead address."""
KEEPALIVE_IDLE_S = 10
"""Seconds of silence before the other side is asked whether it lives."""
KEEPALIVE_INTERVAL_S = 5
"""Seconds between two such questions."""
KEEPALIVE_COUNT = 3
"""Unanswered questions before the line counts as lost. With the two above a pulled network cable is noticed after
25 s instead of never; a bridge's silence alert may be set shorter and does not depend on it."""


def from_spec(spec: TransportSpec, clock: Clock) -> Transport:
    """Return the transport for ``socket://host:port``."""
    spec.check_options()
    host, port = spec.host_port()
    return SocketTransport(spec, clock, host=host, port=port)


async def connect(spec: str, host: str, port: int) -> Descriptor:
    """Connect, without delay of small packets and with keep-alive.

    Raises
    ------
    TransportOpenError
        The name is unknown, nobody listens, or there was no answer in time.
    """
    loop = asyncio.get_running_loop()
    where = f"{host}:{port}"
    sock: socket.socket | None = None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            last: OSError | None = None
            for family, kind, protocol, _, address in found:
                sock = socket.socket(family, kind, protocol)
                sock.setblocking(False)
                try:
                    await loop.sock_connect(sock, address)
                    break
                except OSError as exc:
                    last = exc
                    sock.close()
                    sock = None
            if sock is None:
                raise last or OSError("the name has no address")
    except TimeoutError as exc:
        if sock is not None:
            sock.close()
        raise TransportOpenError(
            f"{spec}: {where} did not answer within {CONNECT_TIMEOUT_S:g} s. Next: check address and firewall"
        ) from exc
    except socket.gaierror as exc:
        raise TransportOpenError(f"{spec}: unknown host name {host!r} ({exc.strerror})") from exc
    except ConnectionRefusedError as exc:
        raise TransportOpenError(f"{spec}: nothing listens on {where}. Next: start the device server") from exc
    except OSError as exc:
        raise TransportOpenError(f"{spec}: cannot connect to {where}: {exc.strerror or exc}") from exc
    except BaseException:
        if sock is not None:
            sock.close()
        raise
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)
    return Descriptor(fd=sock.fileno(), release=sock.close)


class SocketTransport(DescriptorTransport):
    """A TCP connection as it is, without any framing."""

    def __init__(self, spec: TransportSpec, clock: Clock, *, host: str, port: int) -> None:
        super().__init__(spec, clock)
        self._host = host
        self._port = port

    async def _acquire(self) -> Descriptor:
        return await connect(self.spec, self._host, self._port)
