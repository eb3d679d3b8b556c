"""Real HCI controllers: a dongle, or a board with HCI firmware, on a bumble transport.

A tag or an adapter on such a port leaves the emulated air and goes on the real one. The other way round,
`offer_controller` puts a controller of the emulated air on a port, for a Bluetooth stack in another process.
"""

import asyncio
import importlib
from typing import Any

from bumble.core import BaseBumbleError
from bumble.transport import open_transport

from rig.ble.air import Air
from rig.ble.controllers import AirController
from rig.ble.errors import HciPortError

EXAMPLES = "serial:/dev/ttyACM0,1000000, usb:0, usb:2fe3:000b, tcp-client:127.0.0.1:9801"


def _open_errors() -> tuple[type[Exception], ...]:
    common = (OSError, ValueError, ImportError, BaseBumbleError)
    # libusb's Python binding raises classes of its own, without text; it is there only with bumble's USB part.
    try:
        return (*common, importlib.import_module("usb1").USBError)
    except (ImportError, AttributeError, OSError):
        return common


class HciPort:
    """An open HCI transport; close it after the device on it has been stopped.

    Attributes
    ----------
    spec : str
        What was opened, such as ``serial:/dev/ttyACM0,1000000``.
    """

    def __init__(self, spec: str, transport: Any) -> None:
        self.spec = spec
        self._transport = transport  # bumble's Transport; its two ends are untyped

    @property
    def source(self) -> Any:
        """Where packets of the controller come from."""
        return self._transport.source

    @property
    def sink(self) -> Any:
        """Where packets for the controller go."""
        return self._transport.sink

    async def close(self) -> None:
        """Give the port back."""
        await self._transport.close()
        # bumble's servers close neither the socket they listen on nor their client's.
        if (client := getattr(self._transport.sink, "transport", None)) is not None:
            client.close()
        if (server := getattr(self._transport, "server", None)) is not None:
            server.close()
            await server.wait_closed()
        # A stream is closed a turn of the loop after it was told to.
        await asyncio.sleep(0)


async def open_hci_port(spec: str) -> HciPort:
    """Open a real HCI controller.

    Raises
    ------
    HciPortError
        There is none, it is in use, or the specification is not understood.
    """
    try:
        return HciPort(spec, await open_transport(spec))
    except _open_errors() as exc:
        told = str(exc) or type(exc).__name__
        raise HciPortError(
            f"{spec}: no HCI controller could be opened there: {told}. "
            f"Next: plug it in, free it from the operating system, or name another, such as {EXAMPLES}"
        ) from exc


async def offer_controller(air: Air, name: str, spec: str) -> HciPort:
    """Put an emulated controller on a port, such as ``tcp-server:127.0.0.1:9801``; closing the port takes it away.

    Raises
    ------
    HciPortError
        The port could not be opened.
    """
    port = await open_hci_port(spec)
    AirController(name, air, host_source=port.source, host_sink=port.sink)
    return port
