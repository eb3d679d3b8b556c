"""What a Bluetooth program needs of ``org.bluez``, promise by promise, on the bench's own bus and on a dbus-daemon.

Whatever bleak does is done with bleak; what it never shows is asked for with plain D-Bus messages.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.args.bluez import OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.bluezdbus.version import BlueZFeatures
from bleak.exc import BleakDBusError, BleakDeviceNotFoundError, BleakGATTProtocolError
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method

from rig.ble.bench import BleBench
from rig.ble.front.options import FrontOptions
from rig.ble.pairing import Pairing
from rig.ble.plain_tag import (
    ALERT_LEVEL,
    BATTERY_LEVEL,
    COMMAND,
    COMPANY_ID,
    CONFIRMED,
    EVENT,
    IMMEDIATE_ALERT_SERVICE,
    LINK_LOSS_SERVICE,
    SEALED,
    SECRET,
    PlainTag,
)
from tests.ble_support import BUS_VARIABLE, find, until

ADAPTER, DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
SERVICE, CHARACTERISTIC, DESCRIPTOR = (f"org.bluez.Gatt{name}1" for name in ("Service", "Characteristic", "Descriptor"))
AGENTS, MONITORS = "org.bluez.AgentManager1", "org.bluez.AdvertisementMonitorManager1"
OBJECTS, PROPERTIES = "org.freedesktop.DBus.ObjectManager", "org.freedesktop.DBus.Properties"
HCI0 = "/org/bluez/hci0"
PASSKEY = 271828

NEEDED = {
    "SASL EXTERNAL, NEGOTIATE_UNIX_FD, Hello",
    "AddMatch",
    "one connection per client",
    f"{OBJECTS}.GetManagedObjects",
    f"{OBJECTS}.InterfacesAdded",
    f"{OBJECTS}.InterfacesRemoved",
    f"{PROPERTIES}.PropertiesChanged",
    f"{PROPERTIES}.Get",
    f"{PROPERTIES}.GetAll",
    f"{PROPERTIES}.Set",
    f"{ADAPTER}: Powered, Roles, Address",
    f"{ADAPTER}.SetDiscoveryFilter",
    f"{ADAPTER}.GetDiscoveryFilters",
    f"{ADAPTER}.StartDiscovery",
    f"{ADAPTER}.StopDiscovery",
    f"{ADAPTER}.RemoveDevice",
    f"{MONITORS}.RegisterMonitor",
    f"{MONITORS}.UnregisterMonitor",
    f"{AGENTS}.RegisterAgent",
    f"{AGENTS}.UnregisterAgent",
    f"{AGENTS}.RequestDefaultAgent",
    f"{DEVICE}: Address, Alias, Adapter, Connected, Paired, ServicesResolved, UUIDs",
    f"{DEVICE}: Name, RSSI, TxPower, ManufacturerData, ServiceData",
    f"{DEVICE}.Connect",
    f"{DEVICE}.Disconnect",
    f"{DEVICE}.Disconnect cancels a pending Connect",
    f"{DEVICE}.Pair",
    f"{DEVICE}.CancelPairing",
    f"{DEVICE}: Trusted is set before Pair",
    "paths carry handles; GAP and GATT are hidden",
    f"{CHARACTERISTIC}: UUID, Service, Flags, MTU, NotifyAcquired",
    f"{CHARACTERISTIC}.ReadValue",
    f"{CHARACTERISTIC}.WriteValue",
    f"{CHARACTERISTIC}.StartNotify",
    f"{CHARACTERISTIC}.StopNotify",
    f"{CHARACTERISTIC}.AcquireNotify",
    f"{CHARACTERISTIC}.AcquireWrite",
    f"{DESCRIPTOR}.ReadValue",
    f"{DESCRIPTOR}.WriteValue",
    "notifications change Value",
    "ATT errors",
    "version check",
    "BleakAdapter.get, get_connected_devices",
}
"""Everything that bleak 3.1 and bluetoothctl ask of org.bluez."""

SHOWN: set[str] = set()
TestT = TypeVar("TestT", bound=Callable[..., Any])


def shows(*promises: str) -> Callable[[TestT], TestT]:
    assert set(promises) <= NEEDED, set(promises) - NEEDED
    SHOWN.update(promises)
    return lambda test: test


@pytest.fixture(params=["mini bus", pytest.param("dbus-daemon", marks=pytest.mark.needs("dbus-daemon"))])
async def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BleBench]:
    async with BleBench(options=FrontOptions(connect_s=5.0), daemon=request.param == "dbus-daemon") as made:
        monkeypatch.setenv(BUS_VARIABLE, made.bus_address)
        yield made


@pytest.fixture
async def tag(bench: BleBench) -> PlainTag:
    return await bench.add(PlainTag(bench.air, name="tag-1", pairing=Pairing.PASSKEY, passkey=PASSKEY))


@pytest.fixture
async def plain(bench: BleBench) -> AsyncIterator[MessageBus]:
    """A client that speaks plain D-Bus."""
    bus = MessageBus(bus_address=bench.bus_address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
    await bus.connect()
    yield bus
    bus.disconnect()
    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


async def call(bus: MessageBus, path: str, name: str, signature: str = "", *body: Any) -> Message:
    interface, _, member = name.rpartition(".")
    answer = await bus.call(
        Message(
            destination="org.bluez", path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
    )
    assert answer is not None
    return answer


async def get(bus: MessageBus, path: str, interface: str) -> dict[str, Any]:
    answer = await call(bus, path, f"{PROPERTIES}.GetAll", "s", interface)
    assert answer.message_type is MessageType.METHOD_RETURN, answer.body
    return {name: value.value for name, value in answer.body[0].items()}


def path_of(tag: PlainTag) -> str:
    return f"{HCI0}/dev_{tag.peripheral.address.replace(':', '_')}"


def error(answer: Message) -> str:
    assert answer.message_type is MessageType.ERROR, "expected an error"
    return f"{answer.error_name}: {answer.body[0]}"


class Agent(ServiceInterface):
    """A person at the host who types what she reads on the tag."""

    def __init__(self, passkey: int) -> None:
        super().__init__("org.bluez.Agent1")
        self.passkey = passkey
        self.asked: list[str] = []

    @dbus_method()
    def RequestPasskey(self, device: "o") -> "u":  # type: ignore[name-defined]  # noqa: F821, N802
        self.asked.append(device)
        return self.passkey

    @dbus_method()
    def Release(self) -> None:  # noqa: N802
        self.asked.append("released")


# --- bus ----------------------------------------------------------------------------------------------------------


@shows("SASL EXTERNAL, NEGOTIATE_UNIX_FD, Hello")
async def test_a_client_authenticates_and_gets_a_name(bench: BleBench, plain: MessageBus) -> None:
    assert (plain.unique_name or "").startswith(":1.")
    assert plain.connected


@shows("AddMatch")
async def test_signals_come_to_those_who_asked_and_only_what_they_asked_for(
    bench: BleBench, tag: PlainTag, plain: MessageBus
) -> None:
    told: list[Message] = []

    def note(message: Message) -> bool:
        if message.message_type is MessageType.SIGNAL and message.path and message.path.startswith("/org/bluez"):
            told.append(message)
        return False

    plain.add_message_handler(note)
    await find(tag)
    assert told == []
    rule = f"type='signal',interface='{PROPERTIES}',path='{HCI0}'"
    await plain.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="AddMatch",
            signature="s",
            body=[rule],
        )
    )
    await find(tag)
    await until(lambda: len(told) >= 2, "Discovering on and off")
    assert {message.path for message in told} == {HCI0}


@shows("one connection per client")
async def test_a_client_that_goes_ends_what_it_had_going(bench: BleBench, tag: PlainTag) -> None:
    other = MessageBus(bus_address=bench.bus_address, bus_type=BusType.SYSTEM)
    await other.connect()
    await call(other, HCI0, f"{ADAPTER}.StartDiscovery")
    await until(lambda: bench.front.radio.device.is_scanning, "the scan")
    other.disconnect()
    await other.wait_for_disconnect()  # type: ignore[no-untyped-call]
    await until(lambda: not bench.front.radio.device.is_scanning, "the end of the scan")


# --- objects and properties ---------------------------------------------------------------------------------------


@shows(f"{OBJECTS}.GetManagedObjects")
async def test_the_objects_are_told(bench: BleBench, plain: MessageBus) -> None:
    answer = await call(plain, "/", f"{OBJECTS}.GetManagedObjects")
    assert set(answer.body[0]) == {"/org/bluez", HCI0}
    assert set(answer.body[0][HCI0]) == {ADAPTER, MONITORS}


@shows(f"{OBJECTS}.InterfacesAdded", f"{OBJECTS}.InterfacesRemoved")
async def test_devices_that_come_and_go_are_told(bench: BleBench, tag: PlainTag) -> None:
    async with BleakScanner() as scanner:
        await until(lambda: bool(scanner.discovered_devices), "the device")
        bench.front.devices.vanish(tag.peripheral.address)
        await until(lambda: not scanner.discovered_devices, "its end")
        await until(lambda: bool(scanner.discovered_devices), "its return")


@shows(f"{PROPERTIES}.PropertiesChanged")
async def test_each_change_is_one_callback_and_no_change_is_none(bench: BleBench) -> None:
    counting = await bench.add(PlainTag(bench.air, name="tag-1"))
    constant = await bench.add(PlainTag(bench.air, name="tag-2", address="C0:DE:00:00:00:02", counting=False))
    heard: dict[str, int] = {}

    def note(device: Any, _advert: Any) -> None:
        heard[device.address] = heard.get(device.address, 0) + 1

    async with BleakScanner(note):
        await until(lambda: heard.get(counting.peripheral.address, 0) >= 10, "ten adverts")
    assert heard[constant.peripheral.address] == 1


@shows(f"{PROPERTIES}.Get", f"{PROPERTIES}.GetAll")
async def test_properties_are_read(bench: BleBench, plain: MessageBus) -> None:
    answer = await call(plain, HCI0, f"{PROPERTIES}.Get", "ss", ADAPTER, "Powered")
    assert answer.body[0].value is True
    assert (await get(plain, HCI0, ADAPTER))["Discovering"] is False
    assert "InvalidArgs" in error(await call(plain, HCI0, f"{PROPERTIES}.Get", "ss", ADAPTER, "Colour"))
    assert "UnknownInterface" in error(await call(plain, HCI0, f"{PROPERTIES}.GetAll", "s", DEVICE))
    assert "UnknownObject" in error(await call(plain, "/org/bluez/hci7", f"{PROPERTIES}.GetAll", "s", ADAPTER))
    assert "UnknownMethod" in error(await call(plain, HCI0, f"{ADAPTER}.Dance"))


@shows(f"{PROPERTIES}.Set")
async def test_properties_are_set_where_they_may_be(bench: BleBench, plain: MessageBus) -> None:
    for powered in (False, True):
        await call(plain, HCI0, f"{PROPERTIES}.Set", "ssv", ADAPTER, "Powered", Variant("b", powered))
        assert (await get(plain, HCI0, ADAPTER))["Powered"] is powered
    answer = await call(plain, HCI0, f"{PROPERTIES}.Set", "ssv", ADAPTER, "Address", Variant("s", "x"))
    assert "PropertyReadOnly" in error(answer)


# --- adapter ------------------------------------------------------------------------------------------------------


@shows(f"{ADAPTER}: Powered, Roles, Address")
async def test_the_adapter_says_what_it_is(bench: BleBench, plain: MessageBus) -> None:
    told = await get(plain, HCI0, ADAPTER)
    assert told["Powered"] is True
    assert "central" in told["Roles"]
    assert told["Address"] == bench.options.address


@shows(f"{ADAPTER}.SetDiscoveryFilter", f"{ADAPTER}.GetDiscoveryFilters")
async def test_a_filter_keeps_devices_away(bench: BleBench, tag: PlainTag, plain: MessageBus) -> None:
    filters = (await call(plain, HCI0, f"{ADAPTER}.GetDiscoveryFilters")).body[0]
    assert {"UUIDs", "RSSI", "Transport", "DuplicateData"} <= set(filters)
    other = "0000180d-0000-1000-8000-00805f9b34fb"
    adverts = tag.adverts
    async with BleakScanner(service_uuids=[other]) as scanner:
        await until(lambda: tag.adverts > adverts + 3, "three adverts")
        assert scanner.discovered_devices == []
    assert path_of(tag) not in bench.front.tree.objects
    async with BleakScanner(service_uuids=[IMMEDIATE_ALERT_SERVICE]) as scanner:
        await until(lambda: bool(scanner.discovered_devices), "the device")


@shows(f"{ADAPTER}.StartDiscovery", f"{ADAPTER}.StopDiscovery")
async def test_discovery_runs_while_somebody_wants_it(bench: BleBench, tag: PlainTag, plain: MessageBus) -> None:
    assert "No discovery started" in error(await call(plain, HCI0, f"{ADAPTER}.StopDiscovery"))
    await call(plain, HCI0, f"{ADAPTER}.StartDiscovery")
    assert "InProgress" in error(await call(plain, HCI0, f"{ADAPTER}.StartDiscovery"))
    async with BleakScanner() as scanner:
        await until(lambda: bool(scanner.discovered_devices), "the device")
    assert (await get(plain, HCI0, ADAPTER))["Discovering"] is True
    assert "RSSI" in await get(plain, path_of(tag), DEVICE)
    await call(plain, HCI0, f"{ADAPTER}.StopDiscovery")
    assert (await get(plain, HCI0, ADAPTER))["Discovering"] is False
    assert "RSSI" not in await get(plain, path_of(tag), DEVICE)


@shows(f"{ADAPTER}.RemoveDevice")
async def test_a_removed_device_is_forgotten_with_its_key(bench: BleBench, tag: PlainTag) -> None:
    bench.front.system_passkey = PASSKEY
    client = BleakClient(await find(tag), pair=True)
    await client.connect()
    await client.disconnect()
    assert await bench.front.radio.is_bonded(tag.peripheral.address)
    await client.unpair()
    assert path_of(tag) not in bench.front.tree.objects
    assert not await bench.front.radio.is_bonded(tag.peripheral.address)
    with pytest.raises(BleakDeviceNotFoundError):
        await client.unpair()


@shows(f"{MONITORS}.RegisterMonitor", f"{MONITORS}.UnregisterMonitor")
async def test_a_passive_scan_hears_what_its_patterns_name(bench: BleBench, tag: PlainTag) -> None:
    other = await bench.add(PlainTag(bench.air, name="tag-2", address="C0:DE:00:00:00:02", number=2))
    wanted = OrPattern(0, AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA, b"\xff\xff\x02\x00")
    async with BleakScanner(scanning_mode="passive", bluez={"or_patterns": [wanted]}) as scanner:
        await until(lambda: bool(scanner.discovered_devices), "the device")
        (device,) = scanner.discovered_devices
        assert device.address == other.peripheral.address
        assert device.name is None, "a passive scan asks for no scan response"
        assert bench.front.radio.device.scanning_is_passive
    await until(lambda: not bench.front.radio.device.is_scanning, "the end of the scan")


# --- agents -------------------------------------------------------------------------------------------------------


@shows(f"{AGENTS}.RegisterAgent", f"{AGENTS}.UnregisterAgent", f"{AGENTS}.RequestDefaultAgent")
async def test_the_default_agent_is_asked_for_the_passkey(bench: BleBench, tag: PlainTag, plain: MessageBus) -> None:
    agent = Agent(PASSKEY)
    plain.export("/agent", agent)
    assert "DoesNotExist" in error(await call(plain, "/org/bluez", f"{AGENTS}.RequestDefaultAgent", "o", "/agent"))
    await call(plain, "/org/bluez", f"{AGENTS}.RegisterAgent", "os", "/agent", "KeyboardOnly")
    again = await call(plain, "/org/bluez", f"{AGENTS}.RegisterAgent", "os", "/agent", "KeyboardOnly")
    assert "AlreadyExists" in error(again)
    await call(plain, "/org/bluez", f"{AGENTS}.RequestDefaultAgent", "o", "/agent")
    async with BleakClient(await find(tag)) as client:
        await client.pair()
        assert await client.read_gatt_char(SEALED) == b"sealed"
    assert agent.asked == [path_of(tag)]
    await call(plain, "/org/bluez", f"{AGENTS}.UnregisterAgent", "o", "/agent")
    assert "DoesNotExist" in error(await call(plain, "/org/bluez", f"{AGENTS}.UnregisterAgent", "o", "/agent"))


# --- devices ------------------------------------------------------------------------------------------------------


@shows(f"{DEVICE}: Address, Alias, Adapter, Connected, Paired, ServicesResolved, UUIDs")
async def test_a_device_says_what_it_is_and_how_it_stands(bench: BleBench, tag: PlainTag, plain: MessageBus) -> None:
    device = await find(tag)
    path = path_of(tag)
    told = await get(plain, path, DEVICE)
    assert told["Address"] == tag.peripheral.address
    assert (told["Alias"], told["Adapter"]) == ("tag-1", HCI0)
    assert [told[name] for name in ("Connected", "Paired", "ServicesResolved")] == [False] * 3
    assert told["UUIDs"] == [IMMEDIATE_ALERT_SERVICE]
    async with BleakClient(device):
        told = await get(plain, path, DEVICE)
        assert [told[name] for name in ("Connected", "ServicesResolved")] == [True] * 2
        assert LINK_LOSS_SERVICE in told["UUIDs"]
    told = await get(plain, path, DEVICE)
    assert [told[name] for name in ("Connected", "ServicesResolved")] == [False] * 2


@shows(f"{DEVICE}: Name, RSSI, TxPower, ManufacturerData, ServiceData")
async def test_an_advert_is_told_in_all_its_parts(bench: BleBench, tag: PlainTag) -> None:
    await tag.peripheral.set_advert(
        b"\x02\x01\x06\x02\x0a\xfc\x04\xff\xff\xff\x07\x05\x16\x0f\x18\x57\x01",
        b"\x05\x09name",
    )
    tag.peripheral.radio.rssi_dbm = -71
    async with BleakScanner() as scanner:
        await until(
            lambda: any(a.service_data for _, a in scanner.discovered_devices_and_advertisement_data.values()),
            "the advert",
        )
        ((device, advert),) = scanner.discovered_devices_and_advertisement_data.values()
    assert (device.name, advert.local_name, advert.tx_power, advert.rssi) == ("name", "name", -4, -71)
    assert advert.manufacturer_data == {COMPANY_ID: b"\x07"}
    assert advert.service_data == {"0000180f-0000-1000-8000-00805f9b34fb": b"\x57\x01"}


@shows(f"{DEVICE}.Connect", f"{DEVICE}.Disconnect")
async def test_links_come_and_go(bench: BleBench, tag: PlainTag, plain: MessageBus) -> None:
    device = await find(tag)
    path = path_of(tag)
    assert "NotConnected" in error(await call(plain, path, f"{DEVICE}.Disconnect"))
    async with BleakClient(device) as client:
        assert tag.peripheral.connected
        assert (await call(plain, path, f"{DEVICE}.Connect")).message_type is MessageType.METHOD_RETURN
        assert client.is_connected
    await until(lambda: not tag.peripheral.connected, "the end of the link")


@shows(f"{DEVICE}.Disconnect cancels a pending Connect")
async def test_a_pending_connect_is_given_up(bench: BleBench, tag: PlainTag, plain: MessageBus) -> None:
    await find(tag)
    tag.peripheral.radio.out_of_range = True
    pending = asyncio.create_task(call(plain, path_of(tag), f"{DEVICE}.Connect"))
    await until(lambda: bool(bench.front.devices.connecting), "the attempt")
    assert "InProgress" in error(await call(plain, path_of(tag), f"{DEVICE}.Connect"))
    answer = await call(plain, path_of(tag), f"{DEVICE}.Disconnect")
    assert answer.message_type is MessageType.METHOD_RETURN
    assert "br-connection-canceled" in error(await pending)
    tag.peripheral.radio.out_of_range = False
    assert (await call(plain, path_of(tag), f"{DEVICE}.Connect")).message_type is MessageType.METHOD_RETURN


@shows(f"{DEVICE}.Pair", f"{DEVICE}: Trusted is set before Pair")
async def test_pairing_seals_the_link_and_the_next_one(bench: BleBench, tag: PlainTag, plain: MessageBus) -> None:
    bench.front.system_passkey = PASSKEY
    client = BleakClient(await find(tag), pair=True)
    await client.connect()
    told = await get(plain, path_of(tag), DEVICE)
    assert [told[name] for name in ("Trusted", "Paired", "Bonded")] == [True] * 3
    assert await client.read_gatt_char(SEALED) == b"sealed"
    assert "AlreadyExists" in error(await call(plain, path_of(tag), f"{DEVICE}.Pair"))
    await client.disconnect()
    await client.connect()
    assert await client.read_gatt_char(SEALED) == b"sealed"
    await client.disconnect()


@shows(f"{DEVICE}.CancelPairing")
async def test_a_pairing_is_given_up(bench: BleBench, tag: PlainTag, plain: MessageBus) -> None:
    hurry = asyncio.Event()

    class Slow(Agent):
        @dbus_method()
        async def RequestPasskey(self, device: "o") -> "u":  # type: ignore[name-defined]  # noqa: F821, N802
            self.asked.append(device)
            await hurry.wait()
            return 0

    agent = Slow(0)
    other = MessageBus(bus_address=bench.bus_address, bus_type=BusType.SYSTEM)
    await other.connect()
    other.export("/agent", agent)
    await call(other, "/org/bluez", f"{AGENTS}.RegisterAgent", "os", "/agent", "")
    await find(tag)
    assert "DoesNotExist" in error(await call(plain, path_of(tag), f"{DEVICE}.CancelPairing"))
    pairing = asyncio.create_task(call(plain, path_of(tag), f"{DEVICE}.Pair"))
    await until(lambda: bool(agent.asked), "the question")
    await call(plain, path_of(tag), f"{DEVICE}.CancelPairing")
    hurry.set()
    assert "AuthenticationFailed" in error(await pairing)
    other.disconnect()
    await other.wait_for_disconnect()  # type: ignore[no-untyped-call]


# --- GATT ---------------------------------------------------------------------------------------------------------


@shows("paths carry handles; GAP and GATT are hidden")
async def test_handles_stand_in_the_paths(bench: BleBench, tag: PlainTag) -> None:
    async with BleakClient(await find(tag)) as client:
        assert {service.uuid[4:8] for service in client.services} & {"1800", "1801"} == set()
        battery = client.services.get_characteristic(BATTERY_LEVEL)
        assert battery is not None
        paths = bench.front.tree.objects
        path = next(path for path in paths if path.endswith(f"/char{battery.handle:04x}"))
        assert path.startswith(f"{path_of(tag)}/service{battery.service_handle:04x}/")
        assert paths[path][CHARACTERISTIC]["Service"].value == path.rpartition("/")[0]
        assert f"{path}/desc{battery.descriptors[0].handle:04x}" in paths
        # Two services carry 0x2A06: by UUID alone it is not to be had, by its service it is.
        alert = client.services.get_service(IMMEDIATE_ALERT_SERVICE)
        loss = client.services.get_service(LINK_LOSS_SERVICE)
        assert alert is not None and loss is not None
        one, two = alert.get_characteristic(ALERT_LEVEL), loss.get_characteristic(ALERT_LEVEL)
        assert one is not None and two is not None and one.handle != two.handle
        await client.write_gatt_char(one, b"\x02", response=False)
        await client.write_gatt_char(two, b"\x01", response=True)
        assert (tag.alert_level, tag.link_loss_level) == (2, 1)


@shows(f"{CHARACTERISTIC}: UUID, Service, Flags, MTU, NotifyAcquired")
async def test_a_characteristic_says_what_may_be_done_with_it(bench: BleBench, tag: PlainTag) -> None:
    async with BleakClient(await find(tag)) as client:
        flags = {each.uuid: set(each.properties) for each in client.services.characteristics.values()}
        assert flags[BATTERY_LEVEL] == {"read", "notify"}
        assert flags[COMMAND] == {"read", "write", "write-without-response"}
        assert flags[CONFIRMED] == {"indicate"}
        command = client.services.get_characteristic(COMMAND)
        assert command is not None and command.max_write_without_response_size == 244
        found = [each[CHARACTERISTIC] for each in bench.front.tree.objects.values() if CHARACTERISTIC in each]
        assert [("NotifyAcquired" in each) for each in found] == [("notify" in each["Flags"].value) for each in found]


@shows(f"{CHARACTERISTIC}.ReadValue")
async def test_values_are_read_also_long_ones(bench: BleBench, tag: PlainTag) -> None:
    async with BleakClient(await find(tag)) as client:
        tag.battery_pct = 55
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([55])
        tag.commands.append(bytes(range(250)) * 2)
        assert await client.read_gatt_char(COMMAND) == bytes(range(250)) * 2


@shows(f"{CHARACTERISTIC}.WriteValue")
async def test_values_are_written_with_and_without_an_answer(bench: BleBench, tag: PlainTag) -> None:
    async with BleakClient(await find(tag)) as client:
        await client.write_gatt_char(COMMAND, b"request", response=True)
        await client.write_gatt_char(COMMAND, b"command", response=False)
        await client.write_gatt_char(COMMAND, bytes(400), response=True)
        await until(lambda: len(tag.commands) == 3, "three writes")
        assert tag.commands == [b"request", b"command", bytes(400)]
        with pytest.raises(BleakDBusError, match="initiate write"):
            await client.write_gatt_char(COMMAND, bytes(400), response=False)


@shows(f"{CHARACTERISTIC}.StartNotify", f"{CHARACTERISTIC}.StopNotify", "notifications change Value")
async def test_notifications_and_indications_arrive_until_they_are_stopped(bench: BleBench, tag: PlainTag) -> None:
    told: list[bytes] = []

    def note(_characteristic: Any, value: bytearray) -> None:
        told.append(bytes(value))

    async with BleakClient(await find(tag)) as client:
        await client.start_notify(EVENT, note)
        await client.start_notify(CONFIRMED, note)
        for value in (b"same", b"same"):
            await tag.peripheral.notify(tag.event, value)
        await until(lambda: len(told) == 2, "two equal notifications")
        await tag.peripheral.indicate(tag.confirmed, b"confirmed")
        await until(lambda: told[2:] == [b"confirmed"], "the indication")
        await tag.peripheral.notify(tag.event, bytes(300))
        await until(lambda: len(told) == 4, "the long notification")
        assert told[3] == bytes(244), "cut to what a packet takes"
        await client.stop_notify(EVENT)
        await tag.peripheral.notify(tag.event, b"unheard")
        await client.read_gatt_char(BATTERY_LEVEL)
        assert len(told) == 4


@shows(f"{CHARACTERISTIC}.AcquireNotify")
async def test_notifications_come_on_a_socket_where_it_is_asked_for(bench: BleBench, tag: PlainTag) -> None:
    told: list[bytes] = []
    async with BleakClient(await find(tag)) as client:
        await client.start_notify(
            EVENT, lambda _characteristic, value: told.append(bytes(value)), bluez={"use_start_notify": False}
        )
        for number in range(50):
            await tag.peripheral.notify(tag.event, bytes([number]))
        await until(lambda: len(told) == 50, "50 notifications")
        assert told == [bytes([number]) for number in range(50)]
        await client.stop_notify(EVENT)
        subscribers = tag.peripheral.device.gatt_server.subscribers
        await until(lambda: all(not any(cccd[0] for cccd in each.values()) for each in subscribers.values()), "the end")


@shows(f"{CHARACTERISTIC}.AcquireWrite")
async def test_writes_go_by_a_socket_that_tells_the_mtu(bench: BleBench, tag: PlainTag, plain: MessageBus) -> None:
    async with BleakClient(await find(tag)) as client:
        await client._backend._acquire_mtu()  # type: ignore[attr-defined]
        assert client.mtu_size == 247
        path = next(
            path
            for path, each in bench.front.tree.objects.items()
            if CHARACTERISTIC in each and each[CHARACTERISTIC]["UUID"].value == COMMAND
        )
        answer = await call(plain, path, f"{CHARACTERISTIC}.AcquireWrite", "a{sv}", {})
        (descriptor,) = answer.unix_fds
        os.write(descriptor, b"by socket")
        await until(lambda: tag.commands == [b"by socket"], "the write")
        assert "NotPermitted" in error(await call(plain, path, f"{CHARACTERISTIC}.AcquireWrite", "a{sv}", {}))
        os.close(descriptor)


@shows(f"{DESCRIPTOR}.ReadValue", f"{DESCRIPTOR}.WriteValue")
async def test_descriptors_are_read_and_written(bench: BleBench, tag: PlainTag, plain: MessageBus) -> None:
    async with BleakClient(await find(tag)) as client:
        command = client.services.get_characteristic(COMMAND)
        event = client.services.get_characteristic(EVENT)
        assert command is not None and event is not None
        (text,), (switch,) = command.descriptors, event.descriptors
        assert await client.read_gatt_descriptor(text) == b"command"
        await client.write_gatt_descriptor(text, b"order")
        assert await client.read_gatt_descriptor(text) == b"order"
        await client.start_notify(EVENT, lambda _characteristic, _value: None)
        assert await client.read_gatt_descriptor(switch) == b"\x01\x00"
        path = next(path for path in bench.front.tree.objects if path.endswith(f"desc{switch.handle:04x}"))
        answer = await call(plain, path, f"{DESCRIPTOR}.WriteValue", "aya{sv}", b"\x00\x00", {})
        assert "Write not permitted" in error(answer)


WORDED: dict[int, int | str] = {
    0x02: 0x02,
    0x03: 0x03,
    0x05: "NotPermitted.*Not paired",
    0x06: 0x06,
    0x07: 0x07,
    0x08: 0x08,
    0x0C: "NotPermitted.*Not paired",
    0x0D: 0x0D,
    0x0F: "NotPermitted.*Not paired",
    0x80: 0x80,
    0xFD: 0xFD,
}
"""ATT error codes, and what bleak makes of the words that bluetoothd has for them."""


@shows("ATT errors")
async def test_att_errors_are_worded_as_bleak_reads_them(bench: BleBench, tag: PlainTag) -> None:
    async with BleakClient(await find(tag)) as client:
        for code, expected in WORDED.items():
            tag.peripheral.gatt.write_refusals[COMMAND] = code
            if isinstance(expected, str):
                with pytest.raises(BleakDBusError, match=expected):
                    await client.write_gatt_char(COMMAND, b"x", response=True)
            else:
                with pytest.raises(BleakGATTProtocolError) as caught:
                    await client.write_gatt_char(COMMAND, b"x", response=True)
                assert int(caught.value.code) == expected


@shows("ATT errors")
async def test_an_unpaired_link_reads_no_secret(bench: BleBench, tag: PlainTag) -> None:
    async with BleakClient(await find(tag)) as client:
        for uuid in (SECRET, SEALED):
            with pytest.raises(BleakDBusError, match="Not paired"):
                await client.read_gatt_char(uuid)


# --- beside the bus -----------------------------------------------------------------------------------------------


@shows("version check")
async def test_bleak_takes_the_version_of_the_system_or_goes_on_without(bench: BleBench, tag: PlainTag) -> None:
    async with BleakClient(await find(tag)):
        assert BlueZFeatures.supported_version


@shows("BleakAdapter.get, get_connected_devices")
async def test_connected_devices_are_found_without_a_scan(bench: BleBench, tag: PlainTag) -> None:
    adapter = await BleakAdapter.get()
    async with BleakClient(await find(tag)):
        (device,) = await adapter.get_connected_devices([IMMEDIATE_ALERT_SERVICE])
        assert device.address == tag.peripheral.address
    assert await adapter.get_connected_devices([IMMEDIATE_ALERT_SERVICE]) == []


async def test_the_list_of_promises_is_complete(bench: BleBench) -> None:
    assert SHOWN == NEEDED
    assert {f"{interface}.{member}" for interface, member in bench.front.methods} <= NEEDED
