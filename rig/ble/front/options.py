"""How the emulated bluetoothd behaves where real ones differ from each other."""

from dataclasses import dataclass
from typing import Final

TEMPORARY_S: Final = 30.0
"""Time after which a device that is neither connected nor bonded nor heard is forgotten, seconds.
Source: BlueZ's ``TemporaryTimeout``, default 30."""

CONNECT_S: Final = 20.0
"""Time after which a connection attempt is given up, seconds. Source: Linux's ``HCI_LE_CONN_TIMEOUT``."""

CONNECT_REPLY_S: Final = 0.02
"""Time between ``ServicesResolved`` and the answer to ``Connect``, seconds. The two travel on different connections of
the client; an answer that overtakes the signal is taken by bleak for a lost link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontOptions:
    """Options of the emulated org.bluez.

    Attributes
    ----------
    adapter : str
        Name of the adapter.
    address : str
        Its address.
    connection_limit : int, optional
        Links that the controller holds at once; dongles have 3 to 15. None: as many as are asked for.
    cached_gatt : bool
        Keep a device's services after the first discovery, as bluetoothd does with ``Cache = always``: after a firmware
        update the old handles are used until the device is removed.
    temporary_s : float, optional
        See `TEMPORARY_S`. None: never.
    duplicate_filter : bool
        Let the controller filter duplicates as a real one does while ``DuplicateData`` is off, as bleak has it:
        an advert of equal data is told once per `rig.ble.central.RESCAN_S`, whatever its RSSI.
    rssi_delta_db : int
        Smallest change of RSSI that is told. bluetoothd tells 8 dB steps to clients without a filter; bleak sets one.
    connect_s, connect_reply_s : float
        See `CONNECT_S` and `CONNECT_REPLY_S`.
    system_passkey : int, optional
        What the person at the host types when a passkey is asked for and no client has registered an agent.
    """

    adapter: str = "hci0"
    address: str = "F0:F1:F2:F3:F4:F5"
    connection_limit: int | None = None
    cached_gatt: bool = False
    temporary_s: float | None = TEMPORARY_S
    duplicate_filter: bool = False
    rssi_delta_db: int = 0
    connect_s: float = CONNECT_S
    connect_reply_s: float = CONNECT_REPLY_S
    system_passkey: int | None = None

    @property
    def adapter_path(self) -> str:
        """D-Bus path of the adapter."""
        return f"/org/bluez/{self.adapter}"
