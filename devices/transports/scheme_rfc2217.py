"""``rfc2217://host:port?baud=9600``: a serial port of another machine whose line settings we set over the network."""

import asyncio
from collections.abc import Callable

from devices.clock import Clock
from devices.errors import TransportOpenError
from devices.serial_door import LineSettings
from devices.transports.base import Transport
from devices.transports.descriptor import Descriptor, DescriptorTransport
from devices.transports.scheme_serial import line_settings
from devices.transports.scheme_socket import connect
from devices.transports.spec import TransportSpec
from devices.transports.telnet import SET_BAUDRATE, ComPortClient, escape

NEGOTIATION_TIMEOUT_S = 3.0
"""Seconds for the server to agree to the protocol, and again to the settings. A device server answers within tens of
milliseconds; 3 s leaves room for a mobile network. Shorter, a slow link never opens."""


def from_spec(spec: TransportSpec, clock: Clock) -> Transport:
    """Return the transport for ``rfc2217://host:port[?baud=&bits=&parity=&stop=&flow=]``."""
    spec.check_options("baud", "bits", "parity", "stop", "flow")
    host, port = spec.host_port()
    return Rfc2217Transport(spec, clock, host=host, port=port, settings=line_settings(spec))


class Rfc2217Transport(DescriptorTransport):
    """The socket of ``socket://`` with the telnet side taken out: same reader, no thread, nothing polled.

    Parameters
    ----------
    settings : LineSettings
        ``low_latency`` has no counterpart in the protocol.
    """

    def __init__(self, spec: TransportSpec, clock: Clock, *, host: str, port: int, settings: LineSettings) -> None:
        super().__init__(spec, clock)
        self._host = host
        self._port = port
        self._settings = settings
        self._client = ComPortClient()
        self._news = asyncio.Event()
        self._greeted = False

    async def _acquire(self) -> Descriptor:
        self._greeted = False
        self._client = ComPortClient()
        self._news = asyncio.Event()
        return await connect(self.spec, self._host, self._port)

    def _decoder(self) -> Callable[[bytes], bytes]:
        def decode(data: bytes) -> bytes:
            payload = self._client.feed(data)
            self._flush()
            self._news.set()
            # What came before the settings took hold was received at another baud rate.
            return payload if self._greeted else b""

        return decode

    def _over(self) -> None:
        self._news.set()

    def _encode(self, data: bytes) -> bytes:
        return escape(data)

    def _flush(self) -> None:
        if self._client.out and self._pump is not None:
            out, self._client.out = bytes(self._client.out), bytearray()
            self._pump.write_soon(out)

    async def _greet(self) -> None:
        client = self._client
        client.greet()
        self._flush()
        where = f"{self._host}:{self._port}"
        not_it = (
            f"{self.spec}: {where} answers but does not speak RFC 2217. "
            f"Next: socket://{where}, with the baud rate set on the server"
        )
        await self._until(lambda: client.agreed or client.refused, not_it)
        if client.refused:
            raise TransportOpenError(not_it)
        wanted = client.configure(self._settings)
        self._flush()
        await self._until(
            lambda: wanted.keys() <= client.answers.keys(),
            f"{self.spec}: {where} did not answer to the line settings. Next: look at the server's own port settings",
        )
        for code, value in wanted.items():
            if client.answers[code] != value:
                name = "baud rate" if code == SET_BAUDRATE else f"setting {code} of RFC 2217"
                got = int.from_bytes(client.answers[code], "big")
                raise TransportOpenError(
                    f"{self.spec}: asked {where} for {name} {int.from_bytes(value, 'big')}, it set {got}. "
                    "Next: ask for a value its port has"
                )
        self._greeted = True

    async def _until(self, done: Callable[[], bool], message: str) -> None:
        try:
            async with asyncio.timeout(NEGOTIATION_TIMEOUT_S):
                while not done():
                    self._news.clear()
                    if self._inbox.is_over:
                        raise TransportOpenError(
                            f"{self.spec}: {self._host}:{self._port} hung up while the port was set up. "
                            "Next: see whether another client holds its port"
                        )
                    await self._news.wait()
        except TimeoutError as exc:
            raise TransportOpenError(message) from exc
