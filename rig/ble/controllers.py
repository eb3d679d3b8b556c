"""The emulated Bluetooth controllers: what bumble's virtual controller leaves out, a bench needs.

Added to bumble's: RSSI from the air, scan responses, advertising intervals in their right unit with the random delay of
the standard, adverts of every legacy type, cancelling a pending connection, duplicate filtering.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bumble import hci, ll
from bumble.controller import Connection, Controller, LegacyAdvertiser

from rig.ble.air import Air, Radio

ADVERT_UNIT_S: Final = 0.000625
"""Unit of an advertising interval, seconds (Core 5.4, volume 4, part E, section 7.8.5)."""

ADVERT_DELAY_MAX_S: Final = 0.010
"""Largest random delay added to each advertising interval, seconds (Core 5.4, volume 6, part B, section 4.4.2.2.1).
Without it, tags of one interval collide for ever."""

ACL_PACKET_LENGTH: Final = 251
"""Bytes of a data packet, with the data length extension that tags of today have."""

_DUPLICATES_MAX: Final = 1000
"""Adverts that the duplicate filter remembers; a controller's list is shorter still and forgets sooner."""

_AdvertisingType = hci.HCI_LE_Set_Advertising_Parameters_Command.AdvertisingType
_EventType = hci.HCI_LE_Advertising_Report_Event.EventType

_EVENT_TYPES: Final = {
    _AdvertisingType.ADV_IND: _EventType.ADV_IND,
    _AdvertisingType.ADV_SCAN_IND: _EventType.ADV_SCAN_IND,
    _AdvertisingType.ADV_NONCONN_IND: _EventType.ADV_NONCONN_IND,
}

AdvertSource = Callable[[], tuple[bytes, bytes]]
"""Gives the advertising data and the scan response of the next advertising event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvertEvent:
    """One advertising event as it is on the air."""

    event_type: int
    address: hci.Address
    data: bytes
    scan_response: bytes


class TimedAdvertiser(LegacyAdvertiser):
    """Advertises at the interval that was set plus a random delay, and asks its source before each event."""

    controller: "AirController"

    def _on_timer_fired(self) -> None:
        delay_s = self.controller.air.rng.random() * ADVERT_DELAY_MAX_S
        self.timer_handle = asyncio.get_running_loop().call_later(
            self.advertising_interval_min * ADVERT_UNIT_S + delay_s, self._on_timer_fired
        )
        self.send_advertising_data()

    def send_advertising_data(self) -> None:
        """Send one advertising event."""
        if self.enabled and self.advertising_type in _EVENT_TYPES:
            if self.controller.advert_source is not None:
                self.advertising_data, self.scan_response_data = self.controller.advert_source()
            self.controller.air.advertise(self.controller, self)

    def snapshot(self) -> AdvertEvent:
        """Give the event as it is now; what is heard later does not change with the advertiser."""
        return AdvertEvent(
            event_type=_EVENT_TYPES[_AdvertisingType(self.advertising_type)],
            address=self.address,
            data=bytes(self.advertising_data),
            scan_response=bytes(self.scan_response_data),
        )


class AirController(Controller):
    """A controller on the air, of a tag or of an adapter.

    Attributes
    ----------
    radio : Radio
        How its signal fares.
    is_adapter : bool
        Adapters hear tags by the tag's radio; their own says nothing.
    advert_source : callable or None
        Asked before each advertising event; None leaves what the host has set.
    """

    # Legacy advertising only: what tags of this kind do, and what lets one source of data serve both kinds of port.
    le_features = Controller.le_features & ~hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
    le_acl_data_packet_length = ACL_PACKET_LENGTH
    acl_data_packet_length = ACL_PACKET_LENGTH

    def __init__(
        self, name: str, air: Air, *, radio: Radio | None = None, is_adapter: bool = False, **ends: Any
    ) -> None:
        self.air = air
        self.radio = radio if radio is not None else Radio()
        self.is_adapter = is_adapter
        self.advert_source: AdvertSource | None = None
        self._told: set[tuple[hci.Address, bytes]] = set()
        super().__init__(name, link=air, **ends)
        self.le_legacy_advertiser: TimedAdvertiser = TimedAdvertiser(self)

    def _listen(self) -> None:
        self.air.listen(self, self.le_scan_enable or self.pending_le_connection is not None)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Hand a packet to the host; bumble would put each into words first, which costs as much as all else."""
        if self.host:
            asyncio.get_running_loop().call_soon(self.host.on_packet, bytes(packet))

    # --- hearing ------------------------------------------------------------------------------------------------

    def on_air_advert(self, sender: "AirController", event: AdvertEvent, rssi_dbm: int) -> None:
        """Take an advertising event that was heard."""
        if self.le_scan_enable:
            self._report(event.event_type, event.address, event.data, rssi_dbm)
            scannable = event.event_type in {_EventType.ADV_IND, _EventType.ADV_SCAN_IND}
            if scannable and self.le_scan_type == 1:
                answer_dbm = self.air.heard(sender, self)
                if answer_dbm is not None:
                    self._report(_EventType.SCAN_RSP, event.address, event.scan_response, answer_dbm)
        pending = self.pending_le_connection
        if pending and pending.peer_address == event.address and event.event_type == _EventType.ADV_IND:
            self.create_le_connection(event.address)
            self._listen()

    def _report(self, event_type: int, address: hci.Address, data: bytes, rssi_dbm: int) -> None:
        if self.filter_duplicates:
            if (address, data) in self._told:
                return
            if len(self._told) >= _DUPLICATES_MAX:
                self._told.clear()
            self._told.add((address, data))
        event = hci.HCI_LE_Advertising_Report_Event
        self.send_hci_packet(
            event(
                [
                    event.Report(
                        event_type=event_type,
                        address_type=address.address_type,
                        address=address,
                        data=data,
                        rssi=rssi_dbm,
                    )
                ]
            )
        )

    # --- commands that bumble's controller answers otherwise ------------------------------------------------------

    def on_hci_le_set_scan_enable_command(
        self, command: hci.HCI_LE_Set_Scan_Enable_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Start or stop listening; either forgets which adverts were told."""
        self._told.clear()
        answer = super().on_hci_le_set_scan_enable_command(command)
        self._listen()
        return answer

    def on_hci_le_create_connection_command(self, command: hci.HCI_LE_Create_Connection_Command) -> None:
        """Wait for an advert of the peer, then connect."""
        super().on_hci_le_create_connection_command(command)
        self._listen()

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Give up a pending connection: it completes with error 0x02, as on a real controller."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        self._listen()
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=0,
                peer_address_type=pending.peer_address.address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_reset_command(self, command: hci.HCI_Reset_Command) -> hci.HCI_StatusReturnParameters:
        """Forget adverts, scans and pending connections."""
        self.le_legacy_advertiser.stop()
        self.le_scan_enable = False
        self.pending_le_connection = None
        self._told.clear()
        self._listen()
        return super().on_hci_reset_command(command)

    # --- links --------------------------------------------------------------------------------------------------

    def on_ll_control_pdu(self, sender_address: hci.Address, packet: ll.ControlPdu) -> None:
        """Take a control packet; one of a link that has just ended is dropped."""
        if sender_address in self.le_connections:
            super().on_ll_control_pdu(sender_address, packet)

    def on_link_acl_data(self, sender_address: hci.Address, transport: Any, data: bytes) -> None:
        """Take a data packet; one of a link that has just ended is dropped."""
        if sender_address in self.le_connections:
            super().on_link_acl_data(sender_address, transport, data)

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        """End a link at this side, once."""
        if self.le_connections.get(connection.peer_address) is connection:
            super().on_le_disconnected(connection, reason)
            self.air.link_ended(self, connection)
