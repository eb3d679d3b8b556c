"""The page as a person sees it: opened in a real browser, drawn, and without a complaint in the console."""

import subprocess
from pathlib import Path

import pytest
from PIL import Image

from rig.demo.settings import STORY, DemoSettings, judge_policy
from rig.scenario import load_scenario
from rig.truth.expected import expected_alerts
from tests.rig.test_report import as_received, page
from tests.support import find_part

WIDTH, HEIGHT = 1400, 2400
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.mark.long
@pytest.mark.needs("chromium")
def test_a_browser_draws_the_page_and_has_nothing_to_complain_about(tmp_path: Path) -> None:
    scenario = load_scenario(STORY)
    expected = expected_alerts(scenario, judge_policy(scenario, DemoSettings(folder=tmp_path, speed=10)))
    report = tmp_path / "report.html"
    report.write_text(page(scenario, expected, as_received(scenario, expected)))
    picture = tmp_path / "page.png"
    executable = find_part("chromium")
    assert executable is not None
    done = subprocess.run(
        [
            executable,
            *QUIET,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={WIDTH},{HEIGHT}",
            "--virtual-time-budget=8000",
            "--enable-logging=stderr",
            f"--screenshot={picture}",
            report.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        start_new_session=True,
    )
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line and ":INFO:" not in line]
    assert not console, "\n".join(console)
    with Image.open(picture) as image:
        colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
    assert colours is not None
    drawn = {colour for n_pixels, colour in colours if n_pixels > 50}
    # Zones, track, fixes, rings and alerts have colours of their own; a page whose scripts failed shows text only.
    strong = {c for c in drawn if max(c) - min(c) > 80}
    assert len(strong) >= 6, f"the map is not drawn: {sorted(strong)}"
