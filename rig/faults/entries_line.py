"""Entries of the catalogue that act on a device's byte line and on what its receiver says."""

from typing import Final

from protocols.mqtt.words import AlertKind
from rig.faults.entry import Expect, FaultEntry, Fixes, Parameter, Target

_SILENT: Final = (AlertKind.COMMS_LOST, AlertKind.LOCATION_LOST)
_COVER: Final = (AlertKind.COVER_LOST, AlertKind.PROTECTED_PERSON_NOT_WARNED)
_PLACE: Final = (AlertKind.EXCLUSION_ZONE_ENTERED, AlertKind.INCLUSION_ZONE_LEFT, AlertKind.PROXIMITY_BREACH)

_DIRECTION: Final = Parameter(
    name="direction", default="up", choices=("up", "down", "both"), about="up: from the device; down: to it"
)


def _per_kb(name: str, default: float, about: str) -> Parameter:
    return Parameter(name=name, default=default, unit="1/kB", low=0.01, high=1000, about=about)


SERIAL: Final[tuple[FaultEntry, ...]] = (
    FaultEntry(
        id="serial.bit_flip",
        what="single bits of the line are inverted",
        outcome="damaged sentences are refused and counted; the fixes between them are judged",
        target=Target.LINE,
        parameters=(_per_kb("flips_per_kb", 2.0, "inverted bits; a sentence is about 70 bytes"), _DIRECTION),
        expect=Expect(fixes=Fixes.FEWER, rejects=True, allowed=_SILENT),
    ),
    FaultEntry(
        id="serial.drop",
        what="bytes of the line get lost, as in an overrun",
        outcome="cut sentences are refused and counted; the fixes between them are judged",
        target=Target.LINE,
        parameters=(
            _per_kb("losses_per_kb", 1.0, "runs of lost bytes"),
            Parameter(name="run_bytes", default=4, unit="bytes", low=1, high=4096, about="length of a run"),
            _DIRECTION,
        ),
        expect=Expect(fixes=Fixes.FEWER, rejects=True, allowed=_SILENT),
    ),
    FaultEntry(
        id="serial.split",
        what="bytes come in small pieces with pauses",
        outcome="nothing is refused; a fix counts when its last byte is there",
        target=Target.LINE,
        parameters=(
            Parameter(name="piece_bytes", default=7, unit="bytes", low=1, high=4096, about="longest piece"),
            Parameter(name="pause_ms", default=2.0, unit="ms", low=0, high=1000, about="pause between pieces"),
            _DIRECTION,
        ),
        expect=Expect(fixes=Fixes.LATE),
    ),
    FaultEntry(
        id="serial.merge",
        what="bytes are collected and come in one piece, as from a busy adapter",
        outcome="nothing is refused; every fix is judged in its order",
        target=Target.LINE,
        parameters=(
            Parameter(name="hold_ms", default=250.0, unit="ms", low=1, high=60_000, about="bytes are collected for"),
            _DIRECTION,
        ),
        expect=Expect(fixes=Fixes.LATE),
    ),
    FaultEntry(
        id="serial.garbage",
        what="bytes that nobody sent stand between those of the device",
        outcome="they are refused and counted, with the sentence that they fall into; the others are judged",
        target=Target.LINE,
        parameters=(
            _per_kb("bursts_per_kb", 1.0, "bursts of noise"),
            Parameter(name="burst_bytes", default=24, unit="bytes", low=1, high=4096, about="length of a burst"),
            _DIRECTION,
        ),
        expect=Expect(fixes=Fixes.FEWER, rejects=True, allowed=_SILENT),
    ),
    FaultEntry(
        id="serial.stall",
        what="the line is open and silent; what was sent is lost, or comes at the end as far as a buffer held it",
        outcome="comms_lost and location_lost after the silence limit, both taken back when bytes come again",
        target=Target.LINE,
        parameters=(
            Parameter(name="then", default="lose", choices=("lose", "deliver"), about="what becomes of the bytes"),
            Parameter(
                name="buffer_bytes", default=4096, unit="bytes", low=0, high=262_144, about="what is held to deliver"
            ),
            _DIRECTION,
        ),
        expect=Expect(fixes=Fixes.NONE, owed=_SILENT, owed_after="silence"),
    ),
    FaultEntry(
        id="serial.disconnect",
        what="the port vanishes, and comes back under its name",
        outcome="link lost, then up; comms_lost and location_lost after the silence limit, both taken back",
        target=Target.LINE,
        expect=Expect(fixes=Fixes.NONE, owed=_SILENT, owed_after="silence", links=("lost", "up")),
    ),
    FaultEntry(
        id="serial.wrong_baud",
        what="the device sends at another rate than the port reads, bit for bit",
        outcome="link wrong_baud, then up; garbage is not being heard: comms_lost and location_lost",
        target=Target.LINE,
        parameters=(
            Parameter(name="sent_baud", default=9600, unit="Bd", low=50, high=4_000_000, about="the device's rate"),
            Parameter(name="read_baud", default=4800, unit="Bd", low=50, high=4_000_000, about="the port's rate"),
        ),
        expect=Expect(fixes=Fixes.NONE, owed=_SILENT, owed_after="silence", links=("wrong_baud", "up"), rejects=True),
    ),
)

_BEARING: Final = Parameter(
    name="bearing_deg", default=90.0, unit="deg", low=0, high=360, about="where to, from true north"
)

GNSS: Final[tuple[FaultEntry, ...]] = (
    FaultEntry(
        id="gnss.no_fix",
        what="the receiver has no position: a cellar, foil round the antenna",
        outcome="location_lost after the silence limit, taken back with the next fix; the tag itself is still heard",
        target=Target.LINE,
        event="gnss_lost",
        expect=Expect(fixes=Fixes.NONE, owed=(AlertKind.LOCATION_LOST,), owed_after="silence"),
    ),
    FaultEntry(
        id="gnss.jump",
        what="reported positions are off by a constant way, from one fix to the next",
        outcome="the bridge judges what the receiver says; it takes back what was wrong with the first right fix",
        target=Target.LINE,
        event="gnss_jump",
        parameters=(
            Parameter(name="distance_m", default=200.0, unit="m", low=1, high=500_000, about="how far off"),
            _BEARING,
        ),
        expect=Expect(fixes=Fixes.WRONG, allowed=_PLACE),
    ),
    FaultEntry(
        id="gnss.drift",
        what="reported positions walk away from the true ones",
        outcome="the bridge judges what the receiver says; it takes back what was wrong with the first right fix",
        target=Target.LINE,
        event="gnss_drift",
        parameters=(
            Parameter(name="speed_mps", default=1.0, unit="m/s", low=0.01, high=50, about="growth of the error"),
            _BEARING,
        ),
        expect=Expect(fixes=Fixes.WRONG, allowed=_PLACE),
    ),
    FaultEntry(
        id="gnss.freeze",
        what="the last position is repeated with new times",
        outcome="the bridge judges what the receiver says; where he went meanwhile is told by the first fix after it",
        target=Target.LINE,
        event="gnss_freeze",
        expect=Expect(fixes=Fixes.WRONG, allowed=_PLACE),
    ),
    FaultEntry(
        id="gnss.leap_second",
        what="a second is inserted (23:59:60 where it falls on midnight), or the receiver counts them wrongly",
        outcome="no fix is refused, not at midnight either; fixes whose time steps back are told as late ones",
        target=Target.LINE,
        parameters=(
            Parameter(
                name="kind",
                default="inserted",
                choices=("inserted", "wrong_count"),
                about="inserted: from now on times are a second behind; wrong_count: ahead until the end",
            ),
            Parameter(name="seconds", default=2, unit="s", low=1, high=37, about="by how many the count is wrong"),
        ),
        expect=Expect(fixes=Fixes.LATE, allowed=_PLACE),
    ),
    FaultEntry(
        id="gnss.rollover",
        what="dates are whole periods of 1024 weeks in the past",
        outcome="dates are put right (rule rollover), fixes are judged as ever",
        target=Target.LINE,
        parameters=(Parameter(name="periods", default=1, low=1, high=2, about="how many periods of 1024 weeks"),),
        expect=Expect(fixes=Fixes.KEPT),
    ),
    FaultEntry(
        id="gnss.jam",
        what="a jammer near the receiver: C/N0 of all satellites falls, at strength 2 and 3 the fix goes",
        outcome="jamming_suspected at once; without fixes location_lost after the silence limit; both taken back",
        target=Target.LINE,
        event="jam",
        parameters=(Parameter(name="strength", default=3, low=1, high=3, about="1: 10 dB, 2: 20 dB, 3: 30 dB"),),
        expect=Expect(
            fixes=Fixes.FEWER, owed=(AlertKind.JAMMING_SUSPECTED,), allowed=(AlertKind.LOCATION_LOST, *_COVER)
        ),
    ),
    FaultEntry(
        id="gnss.spoof",
        what="false signals: healthy fields, equal C/N0, positions led away smoothly or at a jump, times off",
        outcome="the bridge judges what the receiver says and does not claim to see through it; the judge names it",
        target=Target.LINE,
        event="spoof",
        parameters=(
            Parameter(name="way", default="pull_off", choices=("pull_off", "jump"), about="how it takes over"),
            Parameter(name="speed_mps", default=2.0, unit="m/s", low=0.5, high=5, about="of a pull-off"),
            Parameter(name="distance_m", default=5000.0, unit="m", low=1, high=500_000, about="of a jump"),
            _BEARING,
            Parameter(name="time_offset_s", default=0.0, unit="s", low=-86_400, high=86_400, about="of its times"),
        ),
        expect=Expect(fixes=Fixes.WRONG, allowed=_PLACE),
    ),
)
