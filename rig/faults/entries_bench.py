"""Entries of the catalogue that act on the air, the broker, clocks, devices and the bridge's host."""

from typing import Final

from protocols.mqtt.words import AlertKind
from rig.faults.entry import REAL_ONLY, Arrival, Expect, FaultEntry, Fixes, Parameter, Target

_SILENT: Final = (AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST)
_COVER: Final = (AlertKind.COVER_LOST, AlertKind.PROTECTED_PERSON_NOT_WARNED)
_UNHEARD: Final = (AlertKind.PROTECTED_PERSON_NOT_WARNED, *_SILENT)
"""Of her tag, which cannot be reached: also while she is known to be without cover."""

BLE: Final[tuple[FaultEntry, ...]] = (
    FaultEntry(
        id="ble.loss",
        what="advertisements of a tag get lost",
        outcome="fewer sightings; a warning reaches her all the same, or its loss is told",
        target=Target.SMART_TAG,
        parameters=(Parameter(name="share", default=0.5, low=0, high=1, about="share that is lost"),),
        expect=Expect(allowed=(*_COVER, *_SILENT)),
    ),
    FaultEntry(
        id="ble.fade",
        what="a tag is heard more weakly: a body, a wall",
        outcome="presence may end and come back; a warning reaches her all the same, or its loss is told",
        target=Target.SMART_TAG,
        parameters=(Parameter(name="by_db", default=20.0, unit="dB", low=0, high=100, about="weaker by"),),
        expect=Expect(allowed=(*_COVER, *_SILENT)),
    ),
    FaultEntry(
        id="ble.duplicate",
        what="each advertisement is heard several times",
        outcome="one tag, one link; sightings count no more than once",
        target=Target.SMART_TAG,
        parameters=(Parameter(name="copies", default=3, low=2, high=20, about="how often it is heard"),),
        expect=Expect(),
    ),
    FaultEntry(
        id="ble.address_rotation",
        what="a tag changes its address out of its turn",
        outcome="it is known by its rolling id and connected under the new address",
        target=Target.SMART_TAG,
        lasting=False,
        expect=Expect(allowed=_COVER),
    ),
    FaultEntry(
        id="ble.clone",
        what="a second sender repeats what the wearer's beacon sent a while ago, under an address of its own",
        outcome="beacon_forged, and no claim that he is near by it; what is repeated within 30 s is taken for him",
        target=Target.BEACON,
        parameters=(
            Parameter(name="delay_s", default=60.0, unit="s", low=0, high=86_400, about="age of what it repeats"),
        ),
        expect=Expect(owed=(AlertKind.BEACON_FORGED,), allowed=(AlertKind.BEACON_HEARD,)),
    ),
    FaultEntry(
        id="ble.disconnect_during_write",
        what="the link breaks while a warning is written",
        outcome="the warning goes out on the next link, or its loss is told; it acts once",
        target=Target.SMART_TAG,
        parameters=(
            Parameter(name="times", default=1, low=1, high=100, about="how many writes break the link"),
            Parameter(name="acts", default=False, about="whether such a write reaches the tag all the same"),
        ),
        expect=Expect(allowed=_COVER),
    ),
    FaultEntry(
        id="ble.truncated_value",
        what="values that are read or notified are cut",
        outcome="they are refused and counted; the tag's word is read again; a warning reaches her or is told lost",
        target=Target.SMART_TAG,
        parameters=(Parameter(name="length", default=1, unit="bytes", low=0, high=20, about="what is left of them"),),
        expect=Expect(rejects=True, allowed=_COVER),
    ),
    FaultEntry(
        id="ble.out_of_range",
        what="nothing of a tag gets through",
        outcome="she is not covered, and both she (at last by her tag itself) and the provider learn it",
        target=Target.SMART_TAG,
        expect=Expect(owed=(AlertKind.COVER_LOST,), owed_after="cover", allowed=_UNHEARD),
    ),
    FaultEntry(
        id="ble.adapter_off",
        what="the host's radio is switched off",
        outcome="nobody on the air can be warned: told at once, and taken back once it is on again",
        expect=Expect(owed=(AlertKind.COVER_LOST,), owed_after="cover", allowed=_UNHEARD),
    ),
)

BROKER: Final[tuple[FaultEntry, ...]] = (
    FaultEntry(
        id="broker.down",
        what="the broker is killed, and started again on its port and its store",
        outcome="alerts wait on disk and arrive in order, without gaps; her tag is warned meanwhile",
        expect=Expect(arrival=Arrival.LATE),
    ),
    FaultEntry(
        id="broker.slow",
        what="packets to and from the broker take their time",
        outcome="alerts arrive later by the delay, in order; the window keeps the line busy",
        paces=REAL_ONLY,
        parameters=(Parameter(name="delay_ms", default=200.0, unit="ms", low=1, high=60_000, about="each way"),),
        expect=Expect(arrival=Arrival.LATE),
    ),
    FaultEntry(
        id="broker.refuse",
        what="connections to the broker are taken and ended at once",
        outcome="attempts go on with backoff; alerts wait on disk and arrive in order",
        paces=REAL_ONLY,
        expect=Expect(arrival=Arrival.LATE),
    ),
    FaultEntry(
        id="broker.no_ack",
        what="acknowledgements of the broker do not come back",
        outcome="the path is dropped and made anew; alerts are sent again with their ids: no loss, only duplicates",
        paces=REAL_ONLY,
        expect=Expect(arrival=Arrival.REPEATED),
    ),
    FaultEntry(
        id="broker.duplicate_ack",
        what="acknowledgements of the broker come twice",
        outcome="the second one is ignored; nothing is skipped",
        paces=REAL_ONLY,
        expect=Expect(),
    ),
)

CLOCK: Final[tuple[FaultEntry, ...]] = (
    FaultEntry(
        id="clock.step",
        needs="libfaketime, in real time",
        what="the UTC clock of the bridge's host is set wrongly, and put right at the end",
        outcome="durations, silence and order do not change: they rest on the monotonic clock and the receivers' times",
        parameters=(
            Parameter(name="by_s", default=3600.0, unit="s", low=-31_536_000, high=31_536_000, about="ahead by"),
        ),
        expect=Expect(allowed=(AlertKind.COVER_LOST,)),
    ),
    FaultEntry(
        id="clock.skew",
        needs="libfaketime, in real time",
        what="the UTC clock of the bridge's host runs fast or slow",
        outcome="as for a step",
        parameters=(Parameter(name="ppm", default=500.0, unit="ppm", low=-100_000, high=100_000, about="fast by"),),
        expect=Expect(allowed=(AlertKind.COVER_LOST,)),
    ),
)

DEVICE: Final[tuple[FaultEntry, ...]] = (
    FaultEntry(
        id="device.reboot",
        what="the tag is off, and starts again",
        outcome="comms_lost and location_lost after the silence limit, taken back after its start",
        target=Target.LINE,
        event="power_off",
        expect=Expect(fixes=Fixes.NONE, owed=_SILENT, owed_after="silence", allowed=_COVER),
    ),
    FaultEntry(
        id="device.low_battery",
        what="the battery stands at so many percent",
        outcome="battery_low, at 10 % and below battery_critical too, with the next report",
        target=Target.LINE,
        lasting=False,
        event="battery",
        parameters=(Parameter(name="percent", default=8, unit="%", low=0, high=20, about="what is left"),),
        expect=Expect(owed=(AlertKind.BATTERY_LOW,), allowed=(AlertKind.BATTERY_CRITICAL,)),
    ),
    FaultEntry(
        id="device.strap",
        what="the strap is opened, and closed at the end",
        outcome="strap_tamper at once: the tag reports out of its turn; taken back when closed",
        target=Target.LINE,
        event="strap_cut",
        expect=Expect(owed=(AlertKind.STRAP_TAMPER,)),
    ),
    FaultEntry(
        id="device.charger",
        what="the charger is put on, and taken off at the end",
        outcome="no alert of its own; battery alerts end above their hysteresis",
        target=Target.LINE,
        event="charge_on",
        expect=Expect(allowed=(AlertKind.BATTERY_LOW, AlertKind.BATTERY_CRITICAL)),
    ),
)

HOST: Final[tuple[FaultEntry, ...]] = (
    FaultEntry(
        id="host.disk_full",
        what="the file system of the outbox is full",
        outcome="alerts go out from memory and say so (durable false); the disk is used again once there is room",
        paces=REAL_ONLY,
        needs="root, to mount a small file system",
        expect=Expect(),
    ),
    FaultEntry(
        id="host.process_killed",
        what="the bridge is killed (SIGKILL), and started again at the end",
        outcome="what was kept arrives, numbers go on without a gap, what was raised stays raised under its id",
        paces=REAL_ONLY,
        expect=Expect(fixes=Fixes.NONE, arrival=Arrival.REPEATED, allowed=(*_SILENT, *_COVER)),
    ),
    FaultEntry(
        id="host.process_stopped",
        what="the bridge gets no processor time (SIGSTOP) until the end",
        outcome="what came meanwhile is judged afterwards, in order; nothing is lost",
        paces=REAL_ONLY,
        expect=Expect(fixes=Fixes.LATE, arrival=Arrival.LATE, allowed=(*_SILENT, *_COVER)),
    ),
)
