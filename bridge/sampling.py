"""How often tags are asked to report: more often while a pair could be within a ring before the next report.

At a report a minute a car goes 1.8 km unseen. Tags cannot report every few seconds all day either: their battery would
not last. So the interval follows how soon a pair could meet, by a command to the tags of both.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bridge.view import DeviceView

SUDDEN_MPS = 14.0
"""Metres per second that a pair is thought to close in with at least: someone who stood may be in a car in town
(50 km/h) by his next report. Less would see him too late once; more would keep the tags of neighbours at the short
interval."""

SPEED_FACTOR = 1.5
"""Growth that the speeds seen last are given until the next report: out of a town onto a trunk road."""

SPEEDS_KEPT = 3
"""Reports of which the fastest counts: one at a red light must not hide a car."""

REACT_S = 10.0
"""Seconds that a tag may take to follow: a command is sent four times, two seconds apart, then its interval begins."""

HOLD_NS = 120_000_000_000
"""Nanoseconds that the short interval outlasts its reason: at the edge of it, tags would be commanded to and fro."""

RETRY_FIRST_NS = 10_000_000_000
RETRY_LAST_NS = 600_000_000_000
"""Nanoseconds before a tag that did not follow is asked again; doubled in between. A line that takes no commands at all
(a recording, a receiver) must not be written to with every fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """Ask this tag to report so often from now on."""

    device_id: str
    interval_s: float


@dataclass(slots=True)
class _Tag:
    """One tag: as it is meant to report, as it said that it does (None: not known), and what it is asked.

    ``is_astray``: it was asked for another interval than the usual one, and has not said that it is back at it.
    """

    base_s: float
    told_s: float | None = None
    asked_s: float | None = None
    is_astray: bool = False
    retry_ns: int = RETRY_FIRST_NS
    not_before_mono_ns: int = 0
    speeds_mps: list[float] = field(default_factory=list)
    near_until_mono_ns: dict[int, int] = field(default_factory=dict)


class Sampling:
    """Decides the report intervals of the tags that are in pairs. Pure; time is data.

    Parameters
    ----------
    views : sequence of DeviceView
    near_interval_s : float
        The short interval. Tags that report as often anyway are left alone.
    steer : callable
        Hands a command to the driver of a tag; must not wait.
    """

    def __init__(self, views: Sequence[DeviceView], *, near_interval_s: float, steer: Callable[[Steer], None]) -> None:
        self._views = views
        self._near_s = near_interval_s
        self._steer = steer
        self._tags: dict[int, _Tag] = {}

    def concerns(self, wearer_idx: int, protected_idx: int) -> bool:
        """Whether the tag of either of a pair reports, or should, less often than they could."""
        return any(self._tag(self._views[idx]).base_s > self._near_s for idx in (wearer_idx, protected_idx))

    def take(self, view: DeviceView, slacks: Iterable[tuple[tuple[int, int], float]], now_mono_ns: int) -> None:
        """Take where a device is now.

        Parameters
        ----------
        view : DeviceView
        slacks : iterable
            Its pairs that concern us, as rows of wearer and protected person, and how far beyond the pre-alert ring
            they are; metre.
        now_mono_ns : int
        """
        mover = self._tag(view)
        if view.fix is not None and view.fix.speed_mps is not None:
            mover.speeds_mps = [*mover.speeds_mps[1 - SPEEDS_KEPT :], view.fix.speed_mps]
        concerned = {view.device_idx}
        for (wearer_idx, protected_idx), slack_m in slacks:
            wearer, protected = self._tag(self._views[wearer_idx]), self._tag(self._views[protected_idx])
            if self._is_soon(slack_m, wearer, protected):
                until = now_mono_ns + HOLD_NS
                wearer.near_until_mono_ns[protected_idx] = until
                protected.near_until_mono_ns[wearer_idx] = until
                concerned |= {wearer_idx, protected_idx}
        for idx in concerned:
            self._ask(self._views[idx], now_mono_ns)

    def is_steered(self, device_idx: int) -> bool:
        """Whether a device was asked to report more often, and has not said that it is back at its usual interval."""
        tag = self._tags.get(device_idx)
        return tag is not None and tag.is_astray

    def order(self, view: DeviceView, interval_s: float) -> None:
        """Note that the provider set a tag's interval."""
        tag = self._tag(view)
        tag.base_s = tag.told_s = interval_s
        # A command of ours that is under way may come after the provider's.
        tag.is_astray = tag.asked_s is not None

    def follow(self, view: DeviceView, interval_s: float) -> None:
        """Note that a tag reports as it was asked."""
        tag = self._tag(view)
        tag.asked_s, tag.told_s, tag.retry_ns = None, interval_s, RETRY_FIRST_NS
        tag.is_astray = interval_s != tag.base_s

    def fail(self, view: DeviceView, now_mono_ns: int) -> None:
        """Note that a tag did not follow, or that its answer was lost: how it reports is not known."""
        tag = self._tag(view)
        tag.asked_s = tag.told_s = None
        tag.not_before_mono_ns = now_mono_ns + tag.retry_ns
        tag.retry_ns = min(RETRY_LAST_NS, 2 * tag.retry_ns)

    def doubt(self, view: DeviceView) -> None:
        """Note that a tag fell silent: one that was restarted has forgotten what it was asked, and is asked anew."""
        tag = self._tags.get(view.device_idx)
        if tag is not None and tag.is_astray:
            tag.told_s = None

    def _tag(self, view: DeviceView) -> _Tag:
        return self._tags.setdefault(view.device_idx, _Tag(view.device.interval_s))

    def _is_soon(self, slack_m: float, wearer: _Tag, protected: _Tag) -> bool:
        """Whether they could be within the pre-alert ring before both have reported again as usual."""
        seen_mps = sum(max(tag.speeds_mps, default=0.0) for tag in (wearer, protected))
        closing_mps = max(SUDDEN_MPS, SPEED_FACTOR * seen_mps)
        return slack_m <= closing_mps * (max(wearer.base_s, protected.base_s) + REACT_S)

    def _ask(self, view: DeviceView, now_mono_ns: int) -> None:
        tag = self._tag(view)
        if view.device.kind != "ankle_tag" or (tag.base_s <= self._near_s and not tag.is_astray):
            return
        if any(until <= now_mono_ns for until in tag.near_until_mono_ns.values()):
            tag.near_until_mono_ns = {k: t for k, t in tag.near_until_mono_ns.items() if t > now_mono_ns}
        wanted_s = min(self._near_s, tag.base_s) if tag.near_until_mono_ns else tag.base_s
        if wanted_s == tag.told_s or tag.asked_s is not None or now_mono_ns < tag.not_before_mono_ns:
            return
        tag.asked_s = wanted_s
        tag.is_astray = tag.is_astray or wanted_s != tag.base_s
        self._steer(Steer(device_id=view.id, interval_s=wanted_s))
