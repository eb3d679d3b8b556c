"""What a run is asked to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from rig.emulator.clock import SEEDED_START_UTC_NS
from rig.runs.folder import Scalar

AGENCY: Final = "demo"
TOPIC_FILTER: Final = f"em/v1/{AGENCY}/#"
"""All streams of the bridge's default topic root."""

EXIT_MARGIN_M: Final = 10.0
"""Leaving a zone counts this far outside, metres: five standard deviations of an open-sky fix, so that nobody at the
line flaps in and out."""

SILENCE_BUFFER_S: Final = 10.0
"""Seconds beyond its interval without a position before that is an alert; the bridge's own default."""

ALLOWANCE_S: Final = 0.3
"""Seconds that an alert may take from the tag to the subscriber at the virtual pace, where only the bridge's own waits
take time: it closes an idle epoch after 0.15 s."""

BrokerKind = Literal["auto", "mosquitto", "nats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What stands for a device: an emulated tag, or a transport of its own.

    Attributes
    ----------
    kind : {"emulated", "replay", "real"}
    transport : str
        Specification of the bridge's transport where it is a port or a capture.
    chunks : sequence of (float, bytes)
        What a recording says: seconds of the scenario, and bytes that come then.
    role, firmware : str
        For the run's own record; empty: what an emulated one has.
    """

    kind: Literal["emulated", "replay", "real"] = "emulated"
    transport: str = ""
    chunks: Sequence[tuple[float, bytes]] = ()
    role: str = ""
    firmware: str = ""


EMULATED: Final = Source()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What is wrong with the bridge on purpose: proves that the judge finds it.

    Attributes
    ----------
    delay_alerts_s : float
        Every alert is held back so long before the publisher gets it.
    withheld_zones : tuple of str
        Zones that the bridge is not told of.
    deaf_device : str or None
        The bridge hears nothing of this device.
    """

    delay_alerts_s: float = 0.0
    withheld_zones: tuple[str, ...] = ()
    deaf_device: str | None = None

    @property
    def words(self) -> dict[str, str]:
        """As the run's own record names it."""
        out: dict[str, str] = {}
        if self.delay_alerts_s:
            out["delay_alerts_s"] = f"{self.delay_alerts_s:g}"
        if self.withheld_zones:
            out["withheld_zones"] = " ".join(self.withheld_zones)
        if self.deaf_device is not None:
            out["deaf_device"] = self.deaf_device
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaySettings:
    """One run.

    Attributes
    ----------
    folder : Path
        Exists, and everything about the run goes there.
    seed : int or None
        Another draw of all errors than the scenario's own.
    suite, family, run : str
        Where the run belongs.
    parameters : mapping
        Of the scenario, for its record; they are in it already.
    sources : mapping of str to Source
        By device; absent: emulated.
    broker : {"auto", "mosquitto", "nats"}
        auto: mosquitto where it is installed, else NATS.
    policy, warning : mapping
        Keys of the bridge's ``[policy]`` and ``[warning]`` beside or in place of the bench's.
    silence_buffer_s : float
    positions : bool
        Whether the bridge publishes every position: the page's map shows them, and each costs a message.
    lean : bool
        No disclosure log, no radio capture: for suites of many runs.
    allowance_s : float
        See ``RunFile``.
    tail_s : float or None
        How long the run goes on beyond the scenario's end; None: until silence would have been told.
    planted : Planted
    start_utc_ns : int
        The tags' clocks at the scenario's zero, about; virtual runs begin there.
    """

    folder: Path
    seed: int | None = None
    suite: str = ""
    family: str = ""
    run: str = ""
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    broker: BrokerKind = "auto"
    policy: Mapping[str, Scalar] = field(default_factory=dict)
    warning: Mapping[str, Scalar] = field(default_factory=dict)
    silence_buffer_s: float = SILENCE_BUFFER_S
    positions: bool = True
    lean: bool = False
    allowance_s: float = ALLOWANCE_S
    tail_s: float | None = None
    planted: Planted = Planted()
    start_utc_ns: int = SEEDED_START_UTC_NS

    def source_of(self, device: str) -> Source:
        """Return what stands for a device."""
        return self.sources.get(device, EMULATED)
