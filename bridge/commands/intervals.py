"""Report intervals that the provider set: silence is counted by them from then on, also after a restart."""

from collections.abc import Iterable

import msgspec

from bridge.publisher import Saved
from bridge.silence import Deadline, DeadlineWheel, Due
from bridge.view import DeviceView

ROOM = "interval/"
"""Start of the keys under which intervals are kept."""


def set_interval(view: DeviceView, interval_s: float, wheel: DeadlineWheel, now_mono_ns: int) -> Saved:
    """Expect a device's reports as often as it was told to send them; says what is to be kept."""
    view.device = msgspec.structs.replace(view.device, interval_s=interval_s)
    if view.comms == "up":
        wheel.touch(Deadline(Due.COMMS, view.device_idx), now_mono_ns + view.limit_ns)
    if view.location == "valid":
        wheel.touch(Deadline(Due.LOCATION, view.device_idx), now_mono_ns + view.limit_ns)
    return Saved(owner=view.id, key=f"{ROOM}{view.id}", value=f"{interval_s:.9g}".encode())


def restore_intervals(views: Iterable[DeviceView], kept: Iterable[Saved]) -> None:
    """Go on with the intervals of an earlier start; before the first report."""
    by_id = {view.id: view for view in views}
    for saved in kept:
        view = by_id.get(saved.key.removeprefix(ROOM)) if saved.key.startswith(ROOM) else None
        if view is not None and saved.value is not None:
            try:
                interval_s = float(saved.value)
            except ValueError:
                continue
            if interval_s > 0:
                view.device = msgspec.structs.replace(view.device, interval_s=interval_s)
