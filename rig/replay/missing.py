"""What is gone from the folder of a run: a comparison that could not be made is told, not passed over."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from devices.events import LinkEvent, PresenceEvent
from rig.replay.journal_file import JournaledStart
from rig.replay.redecode import Redecoded
from rig.replay.turns import events_of
from rig.runs.folder import CAPTURES_FOLDER, EVENTS_FILE, FELT_FILE, MESSAGES_FILE
from rig.scenario import Scenario


def missing_parts(
    run: Path, scenario: Scenario, starts: Sequence[JournaledStart], lines: Iterable[Redecoded]
) -> list[str]:
    """Say what every run writes and this one has not, each with what follows.

    Parameters
    ----------
    run : Path
        Its folder.
    scenario : Scenario
    starts : sequence of JournaledStart
    lines : iterable of Redecoded
        What the captures say.
    """
    return [*_captures(scenario, starts, lines), *_bench_files(run), *missing_messages(run)]


def missing_messages(run: Path) -> Iterator[str]:
    """Say so where the subscriber's log is gone, or its last line cut."""
    path = run / MESSAGES_FILE
    if not path.exists():
        yield f"{MESSAGES_FILE} is gone: nothing that arrived was compared"
    elif (content := path.read_bytes()) and not content.endswith(b"\n"):
        yield f"{MESSAGES_FILE}: its last line is cut: that message was not compared"


def _captures(scenario: Scenario, starts: Sequence[JournaledStart], lines: Iterable[Redecoded]) -> Iterator[str]:
    held = {line.device for line in lines}
    unheld = {person.device for person in scenario.person} - held
    if not unheld:
        return
    # a device that said nothing has no capture
    said = {
        event.device_id
        for start in starts
        for turn in start.turns
        for event in events_of(turn)
        if not isinstance(event.report, LinkEvent | PresenceEvent)
    }
    gone = sorted(unheld & said)
    if gone and not held:
        yield f"{CAPTURES_FOLDER} are gone: the bytes were not held against the journal"
    elif gone:
        yield f"{CAPTURES_FOLDER} of {', '.join(gone)} are gone: their bytes were not held against the journal"


def _bench_files(run: Path) -> Iterator[str]:
    if not (run / FELT_FILE).exists():
        yield f"{FELT_FILE} is gone: what she felt is not known, and was judged as if she had felt nothing"
    if not (run / EVENTS_FILE).exists():
        yield f"{EVENTS_FILE} is gone: faults and outages of the bench are not known, and excused nothing"
