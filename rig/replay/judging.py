"""The verdict of a run folder: by the scenario's truth, or, of recordings, by the truth of those."""

from pathlib import Path

from rig.replay.recordings import RECORDINGS_FILE, judge_recordings
from rig.runs.load import load_run
from rig.truth.findings import RunVerdict
from rig.truth.run_verdict import judge_run


def judge_folder(folder: Path) -> RunVerdict:
    """Judge a run from its folder alone.

    Raises
    ------
    RigError
        The folder is not a run's, or is damaged.
    """
    if (folder / RECORDINGS_FILE).exists():
        return judge_recordings(folder)[0]
    run = load_run(folder)
    return judge_run(run.scenario, run.policy, run.record, run.events)
