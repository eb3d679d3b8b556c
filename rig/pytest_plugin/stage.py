"""Plays scenarios for tests, on the bench that the session has."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devices.transports.spec import closest
from rig.bench.errors import RoleAbsentError
from rig.bench.opening import OpenBench
from rig.bench.roles import person_roles
from rig.errors import ScenarioError
from rig.play.library import scenario_names
from rig.play.run import judge, play
from rig.play.settings import Planted, PlaySettings
from rig.pytest_plugin.played import PlayedRun
from rig.runs.folder import Scalar, new_folder
from rig.scenario import Scenario, load_scenario, read_parameters

NOTHING_PLANTED = Planted()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """Where and how runs of a session are played.

    Attributes
    ----------
    runs : Path
        Folder of run folders.
    pace : str
    looked_in : sequence of Path
        Where a scenario is looked for by its name.
    """

    runs: Path
    pace: str
    looked_in: Sequence[Path]


@dataclass(slots=True, kw_only=True)
class Stage:
    """Plays scenarios for one test; the fixture ``scenario``.

    Attributes
    ----------
    runs : list of PlayedRun
        All that the test has played.
    """

    bench: OpenBench
    settings: StageSettings
    test_name: str
    note: Callable[[str, str], None]
    on_folder: Callable[[Path], None]
    runs: list[PlayedRun] = field(default_factory=list)

    def load(self, name: str | Path, *, seed: int | None = None, **parameters: Scalar) -> Scenario:
        """Read a scenario by its file or its name, with parameters in place of its defaults.

        Raises
        ------
        ScenarioError
        """
        return load_scenario(self.find(name), parameters, seed)

    def find(self, name: str | Path) -> Path:
        """Return the file of a scenario.

        Raises
        ------
        ScenarioError
            There is none of this name; the message says where it was looked for.
        """
        text = str(name)
        for folder in self.settings.looked_in:
            for path in (folder / text, folder / f"{text}.toml"):
                if path.is_file():
                    return path
        if text in (library := scenario_names()):
            return library[text]
        known = sorted({path.stem for folder in self.settings.looked_in for path in folder.glob("*.toml")} | {*library})
        places = ", ".join(map(str, self.settings.looked_in))
        raise ScenarioError(
            f"there is no scenario {text!r} in {places}, and none of this name comes with tagrig{closest(text, known)} "
            f"Known: {', '.join(known)}"
        )

    def play(
        self,
        name: str | Path | Scenario,
        *,
        seed: int | None = None,
        pace: str | None = None,
        planted: Planted = NOTHING_PLANTED,
        settings: dict[str, Any] | None = None,  # Any: fields of PlaySettings
        **parameters: Scalar,
    ) -> PlayedRun:
        """Play a scenario to its end and judge it.

        Parameters
        ----------
        name : str, Path or Scenario
            A name is looked for beside the test, in its ``scenarios`` folder, and in tagrig's library.
        seed : int, optional
            Another draw of all errors.
        pace : str, optional
            ``virtual``, ``real`` or ``x10``; absent: the session's.
        planted : Planted, optional
            A fault of the bridge, to see the test find it.
        settings : dict, optional
            More of ``PlaySettings``, such as ``{"policy": {"exit_margin_m": 5}}``.
        **parameters
            Of the scenario: ``speed_mps=4``.

        Raises
        ------
        ScenarioError
            The scenario cannot be read, or has no such parameter.
        BenchBrokenError
            The bench could not play it: the test is an ERROR, and later tests on this bench are skipped.
        """
        scenario = name if isinstance(name, Scenario) else self.load(name, seed=seed, **parameters)
        used = parameters if isinstance(name, Scenario) else read_parameters(self.find(name)) | parameters
        try:
            self.bench.assign(scenario)
        except RoleAbsentError as exc:
            pytest.skip(str(exc))
        folder = new_folder(self.settings.runs, re.sub(r"[^A-Za-z0-9_.-]+", "-", self.test_name).strip("-")[:80])
        self.on_folder(folder)
        run_settings = PlaySettings(
            folder=folder,
            seed=seed,
            run=self.test_name,
            parameters=used,
            planted=planted,
            **(settings or {}),
        )
        play(scenario, run_settings, pace=pace or self.settings.pace, bench=self.bench)
        self.bench.check()
        judged = judge(folder)
        roles = {role: person.device for role, person in person_roles(scenario).items()}
        run = PlayedRun(judged.run, judged.verdict, roles, self.note)
        self.runs.append(run)
        return run


def default_pace(bench: OpenBench) -> str:
    """Return the pace of a bench: hardware cannot be hurried."""
    return "virtual" if "virtual_time" in bench.features else "real"
