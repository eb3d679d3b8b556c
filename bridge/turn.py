"""One turn of the pipeline: what a batch has brought up so far, and its rows judged together."""

from bridge.alerts.zones import ZoneTransition
from bridge.batcher import Failures
from bridge.judge import FixRow, ZoneJudge
from bridge.view import DeviceView
from devices.events import Stamps


class Turn:
    """What one batch has brought up so far."""

    __slots__ = ("failures", "late", "live", "touched", "unjudged")

    def __init__(self) -> None:
        self.failures = Failures()
        self.live: list[FixRow] = []
        self.unjudged: list[FixRow] = []
        self.late: list[FixRow] = []
        self.touched: dict[int, tuple[DeviceView, Stamps]] = {}

    def touch(self, view: DeviceView, stamps: Stamps) -> None:
        """Note that a device's state may have changed."""
        self.touched[view.device_idx] = (view, stamps)


def judged(judge: ZoneJudge, rows: list[FixRow], failures: Failures) -> list[ZoneTransition]:
    """Judge all rows in one call; where that fails, device by device: an error leaves the judge as it was."""
    with failures:
        return judge.judge(rows)
    found: list[ZoneTransition] = []
    for view in {row.view.device_idx: row.view for row in rows}.values():
        with failures:
            found += judge.judge([row for row in rows if row.view is view])
    return found


def in_time_order(rows: list[FixRow]) -> list[FixRow]:
    """Sort rows by the time that they are judged by."""
    return sorted(rows, key=lambda row: (row.t_judge_ns, row.view.device_idx))
