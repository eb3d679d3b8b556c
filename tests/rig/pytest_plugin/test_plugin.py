"""The plugin as a user's pytest has it: what is skipped, what is an error, what a failure tells."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rig.bench.opening import bench_from
from rig.errors import ScenarioError
from rig.pytest_plugin.played import ExpectationError, PlayedRun, Window
from rig.pytest_plugin.provider_view import ProviderView
from rig.pytest_plugin.stage import Stage, StageSettings
from rig.truth.findings import Measurement
from tests.rig.pytest_plugin.inner import run_pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def notes() -> list[tuple[str, str]]:
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[str, str]]) -> PlayedRun:
    """One run for all tests of this file: into a zone and out again, once."""
    folder = tmp_path_factory.mktemp("runs")
    with bench_from(None) as bench:
        stage = Stage(
            bench=bench,
            settings=StageSettings(runs=folder, pace="virtual", looked_in=(folder,)),
            test_name="a test [1/2]",
            note=lambda name, text: notes.append((name, text)),
            on_folder=lambda _: None,
        )
        with pytest.raises(ScenarioError, match=r"no scenario 'into_the_zone' in .*; did you mean 'into_a_zone'\?"):
            stage.find("into_the_zone")
        return stage.play("into_a_zone")


def test_an_alert_is_expected_in_its_window_and_returned(run: PlayedRun) -> None:
    window = run.window("exclusion_zone_entered", zone="z-park", of="offender")
    alert = run.expect_alert("exclusion_zone_entered", zone="z-park", of="tag-1", side="tag")
    assert window.earliest_s <= alert.t_s <= window.latest_s + run.loaded.file.allowance_s
    assert alert.latency_ms is not None
    assert run.expect_alert("exclusion_zone_entered", within=(0, 100)) == alert
    over = run.expect_alert("exclusion_zone_entered", cleared=True)
    assert over.t_s > alert.t_s
    assert run.expect_alert("exclusion_zone_entered", cleared=True, within=Window(earliest_s=0, latest_s=100)) == over
    assert [each.t_s for each in run.alerts] == [alert.t_s, over.t_s]
    run.expect_verdict()
    run.expect_silence("strap_tamper")
    run.expect_silence("exclusion_zone_entered", until_s=window.earliest_s)
    assert run.folder.name == "a-test-1-2-1"


def test_a_miss_tells_what_arrived_the_nearest_and_the_command(run: PlayedRun) -> None:
    with pytest.raises(ExpectationError) as caught:
        run.expect_alert("exclusion_zone_entered", within=(0, 10))
    text = str(caught.value)
    assert text.startswith("exclusion_zone_entered: 0 came within 0.00 to 10.30 s, number 1 was asked for; late by ")
    assert "\narrived (2):\n" in text
    assert "\nnearest miss: " in text
    assert "; ms by hop: emit→rx 0, " in text
    assert f"\nreplay it: tagrig replay {run.folder}" in text
    with pytest.raises(ExpectationError, match="strap_tamper: the truth owes 0 of it, number 1 was asked for; 0 came"):
        run.expect_alert("strap_tamper")
    with pytest.raises(ExpectationError, match="the truth owes 1 of it, number 2 was asked for"):
        run.window("exclusion_zone_entered", nth=2)
    with pytest.raises(ExpectationError, match=r"any alert: must not have fired at \d+\.\d\d s"):
        run.expect_silence()
    with pytest.raises(ExpectationError, match="the verdict is PASS, expected FAIL"):
        run.expect_verdict("FAIL")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"kind": "exclusion_zone"},
            "alert kind 'exclusion_zone' is not known; did you mean 'exclusion_zone_entered'?",
        ),
        ({"kind": "sos", "zone": "z-prak"}, "zone 'z-prak' is not in the scenario; did you mean 'z-park'?"),
        ({"kind": "sos", "of": "victim"}, "'victim' is neither a role nor a device here. Known: offender, tag-1"),
        ({"kind": "proximity_breach", "band": "alert"}, "band 'alert' is not known"),
        ({"kind": "sos", "side": "left"}, "side 'left': expected 'tag' or 'protected'"),
    ],
)
def test_a_name_that_nobody_knows_never_passes_for_silence(run: PlayedRun, asked: dict[str, str], told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        run.expect_silence(**asked)  # type: ignore[arg-type]
    assert told in str(caught.value)


def test_a_measurement_has_unit_limit_and_outcome(run: PlayedRun, notes: list[tuple[str, str]]) -> None:
    def measure(value: float | list[float] | list[tuple[float, float]] | None) -> Measurement:
        return run.measure("latency", value, unit="ms", limit="<= 250", marginal="<= 200")

    assert measure([(1.0, 20.0), (2.0, 230.0)]).is_marginal
    assert measure(180).margin == 70
    assert [text for _, text in notes[-2:]] == ["230 ms (<= 250 ms) PASS MARGINAL", "180 ms (<= 250 ms) PASS"]
    with pytest.raises(ExpectationError, match="latency: 312 ms is not <= 250 ms: 62 ms beyond"):
        measure([10.0, 312.0])
    for nothing in (None, [], float("nan")):
        with pytest.raises(ExpectationError, match="latency: UNSET: nothing was measured, expected <= 250 ms"):
            measure(nothing)
    with pytest.raises(ScenarioError, match="limit '250' is not understood"):
        run.measure("latency", 1.0, unit="ms", limit="250")
    assert len((run.folder / "measurements.jsonl").read_text().splitlines()) == 6


def test_the_provider_has_every_message_and_checks_the_contract(run: PlayedRun) -> None:
    provider = ProviderView([run])
    assert len(provider.messages("*/alert")) == len(provider.alerts) == 2
    assert len(provider.messages()) > 100
    assert provider.problems == []
    with pytest.raises(ScenarioError, match="nothing was played yet"):
        ProviderView([]).messages()


BROKEN = """
import pytest

def test_first(bench):
    bench.flash("offender")

def test_second(bench):
    pass

def test_third(scenario):
    pass

@pytest.mark.needs_feature("virtual_time")
def test_not_here(bench):
    pass

@pytest.mark.needs_feature("gns")
def test_misspelt(bench):
    pass

def test_nothing_of_the_bench():
    pass
"""


def test_a_broken_bench_is_an_error_and_skips_what_follows_with_its_cause(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGRIG_LEASES", str(pytester.path / "leases"))
    pytester.makepyfile(BROKEN)
    port = pytester.path / "port"
    port.touch()
    pytester.path.joinpath("desk.toml").write_text(
        f'[bench]\nname = "desk"\n[devices.offender]\ntype = "ankle_tag"\ntransport = "pty:{port}"\n'
    )
    done = run_pytest(pytester, "--bench=desk.toml", "--junit-xml=junit.xml", "-rs")
    cause = "the bench is broken since test_a_broken_bench*::test_first: offender: the bench file has no *flash*"
    done.stdout.fnmatch_lines(["*ERROR*test_first*"])
    done.stdout.fnmatch_lines_random(["bench: desk (real), from desk.toml", f"SKIPPED*{cause}"])
    done.stdout.fnmatch_lines_random(["SKIPPED*bench 'desk' has no virtual_time"])
    done.stdout.fnmatch_lines_random(["*needs_feature: 'gns' is no feature. Known: *"])
    suite = ElementTree.parse(pytester.path / "junit.xml").getroot()[0]
    found = {case.get("name"): [child.tag for child in case] for case in suite}
    assert found == {
        "test_first": ["error"],
        "test_second": ["skipped"],
        "test_third": ["skipped"],
        "test_not_here": ["skipped"],
        "test_misspelt": ["error"],
        "test_nothing_of_the_bench": [],
    }


def test_a_wrong_bench_file_or_pace_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("desk.toml").write_text("[bench]\n")
    wrong = run_pytest(pytester, "--bench=desk.toml")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["*desk.toml: bench: Object missing required field `name`*"])
    assert run_pytest(pytester, "--pace=fast").ret == pytest.ExitCode.USAGE_ERROR


def test_a_run_that_has_not_what_the_bench_lacks_is_skipped_and_junit_has_the_measurements(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        def test_no_victim_here(scenario):
            scenario.play("approach_on_foot")

        def test_measured(scenario):
            run = scenario.play("into_a_zone")
            run.measure("speed", 3, unit="m/s", limit="< 4")
            run.measure("speed", 5, unit="m/s", limit="< 4")
        """
    )
    pytester.path.joinpath("desk.toml").write_text(
        '[bench]\nname = "desk"\n[devices.offender]\ntype = "ankle_tag"\ntransport = "emulated:"\n'
    )
    done = run_pytest(pytester, "--bench=desk.toml", "--junit-xml=junit.xml", "-rs", "--runs=kept")
    done.assert_outcomes(failed=1, skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED*bench 'desk' has nothing for 'pp-1', the device of victim*"])
    properties = ElementTree.parse(pytester.path / "junit.xml").getroot().iter("property")
    assert [(each.get("name"), each.get("value")) for each in properties] == [
        ("speed", "3 m/s (< 4 m/s) PASS"),
        ("speed", "5 m/s (< 4 m/s) FAIL"),
        ("run", "kept/test_measured-1"),
        ("replay", "tagrig replay kept/test_measured-1"),
    ]
    done.stdout.fnmatch_lines(
        ["*speed: 5 m/s is not < 4 m/s: 1 m/s beyond", "report: kept/test_measured-1/report.html"]
    )
    assert [path.name for path in (pytester.path / "kept").iterdir()] == ["test_measured-1"]


def test_without_its_fixtures_the_plugin_loads_nothing_of_the_bench() -> None:
    code = "import rig.pytest_plugin.plugin, sys; print(*(n for n in sys.modules if n.startswith(('rig', 'msgspec'))))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert set(done.stdout.split()) == {"rig", "rig.pytest_plugin", "rig.pytest_plugin.plugin"}
