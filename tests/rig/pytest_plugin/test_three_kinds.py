"""One test on three kinds of bench: emulated, hardware on a port in real time, and a recording of that hardware."""

from pathlib import Path

import pytest

from tests.rig.pytest_plugin.inner import run_pytest
from tests.rig.support import EmulatorProcess

pytest_plugins = ["pytester"]

STANDING = """
title = "He stands in the yard"
duration_s = 6

[origin]
lat_deg = 51.0
lon_deg = -6.5

[[zone]]
id = "z-yard"
purpose = "exclusion"
centre_m = [0, 0]
radius_m = 50

[[person]]
device = "tag-1"
role = "wearer"
waypoint = [{ at_m = [0, 0] }]

[[order]]
id = "order-1"
wearer = "tag-1"
"""

TEST = """
import shutil

def test_he_is_told(scenario, bench):
    run = scenario.play("standing", settings={"tail_s": 0.5})
    alert = run.expect_alert("exclusion_zone_entered", zone="z-yard", of="offender")
    run.measure("latency", alert.latency_ms, unit="ms", limit="<= 2000")
    run.expect_verdict()
    print([role.kind for role in run.loaded.file.roles], dict(bench.firmware))
    for path in run.folder.glob("captures/*.tagcap"):
        shutil.copy(path, "recorded.tagcap")
"""


@pytest.mark.soak
def test_the_same_test_on_emulated_real_and_recorded_devices(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGRIG_LEASES", str(pytester.path / "leases"))
    Path(pytester.path / "standing.toml").write_text(STANDING)
    pytester.makepyfile(TEST)

    def play(kind: str, transport: str, firmware: str, *more: str) -> None:
        expected = 'expect_firmware = "emu-*"' if firmware else ""
        Path(pytester.path / f"{kind}.toml").write_text(
            f'[bench]\nname = "desk"\n[devices.offender]\ntype = "ankle_tag"\ntransport = "{transport}"\n{expected}\n'
        )
        done = run_pytest(pytester, f"--bench={kind}.toml", "-s", *more)
        done.assert_outcomes(passed=1)
        done.stdout.fnmatch_lines([f"*[[]'{kind}'] {firmware}*"])

    play("emulated", "emulated:", "")
    play("emulated", "emulated:", "", "--pace=x2")
    link = str(pytester.path / "tag")
    arguments = ("--scenario", str(pytester.path / "standing.toml"), "--device", "tag-1", "--duration-s", "600")
    with EmulatorProcess("--link", link, "--start-utc", "now", *arguments) as tag:
        assert tag.word()["event"] == "ready"
        play("real", f"pty:{link}", "{'offender': 'emu-1.0'}")
    play("replay", "replay:recorded.tagcap", "{'offender': 'emu-1.0'}")
