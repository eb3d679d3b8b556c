"""Pages as a person has them: opened in a real browser, moved, narrow and wide, without a complaint or a request."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from protocols.mqtt.messages import AlertKind
from rig.report.gather import gather
from rig.report.page import write_page
from rig.report.suite import write_suite
from rig.truth.findings import RunVerdict
from rig.truth.verdict import Verdict
from tests.rig.report.browser import Browser
from tests.rig.report.support import empty_run, loaded_run, story, verdict_of
from tests.rig.report.test_outputs import suite_report
from tests.support import PART_HINTS, find_part, skip_or_fail

pytestmark = [pytest.mark.long, pytest.mark.needs("chromium")]

READY = "document.body.dataset.ready === 'yes'"
CLOCK = "document.getElementById('clock').textContent"
MODEL = "Bokeh.documents[0].get_model_by_name('{}')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this file: it takes a second to start."""
    if find_part("chromium") is None:
        skip_or_fail(f"chromium is not installed. Next: {PART_HINTS['chromium']}")
    running = Browser(tmp_path_factory.mktemp("browser"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run that lacks one alert."""
    folder = tmp_path_factory.mktemp("run")
    run = loaded_run(folder, keep=lambda e: e.kind is not AlertKind.STRAP_TAMPER)
    write_page(gather(run, verdict_of(run)), folder / "report.html")
    return folder / "report.html"


def column(browser: Browser, source: str, name: str) -> list[float]:
    values: list[float] = browser.look(f"Array.from({MODEL.format(source)}.data.{name})")
    return values


def show(browser: Browser, page: Path, *, width: int = 1400, height: int = 1000) -> None:
    """Open the page, or take it as the test before left it."""
    if browser.requests != [page.as_uri()]:
        browser.open(page)
        browser.wait(READY)
    browser.resize(width, height)


def set_slider(browser: Browser, t_s: float) -> None:
    browser.look(f"(s => {{ s.value = {t_s}; s.dispatchEvent(new Event('input')); }})(document.getElementById('time'))")


def test_the_slider_moves_everybody_to_where_they_truly_were(browser: Browser, page: Path) -> None:
    show(browser, page)
    scenario, _ = story()
    for t_s, clock in ((60.0, "1:00"), (184.5, "3:04"), (599.0, "9:59")):
        set_slider(browser, t_s)
        assert browser.look(CLOCK) == clock
        for i, person in enumerate(scenario.person):
            truth = scenario.track(person).at(t_s)
            assert column(browser, "now_people", "x")[i] == pytest.approx(truth.east_m, abs=0.05)
            assert column(browser, "now_people", "y")[i] == pytest.approx(truth.north_m, abs=0.05)
        assert browser.look(f"{MODEL.format('cursor')}.location") == pytest.approx(t_s)
    # rings move with her, who walks
    at = scenario.track(scenario.person[1]).at(599.0)
    assert column(browser, "now_rings", "x") == pytest.approx([at.east_m] * 3, abs=0.05)
    assert column(browser, "now_rings", "radius") == [110, 65, 20]
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]


def test_the_panel_says_what_is_so_at_that_moment(browser: Browser, page: Path) -> None:
    show(browser, page)
    browser.look("location.hash = '#t=200'")
    browser.wait(f"{CLOCK} === '3:20'")
    text = browser.look("document.getElementById('now').innerText")
    assert "st-17 warns her: alarm" in text
    assert "proximity breach" in text
    assert browser.look("document.querySelector('.card .chip').textContent") == "alarm"
    # in the cellar: no fix since 320 s
    set_slider(browser, 345)
    text = browser.look("document.querySelector('.card.who small').textContent")
    age = re.search(r"fix (\d+) s old", text)
    assert age is not None
    assert int(age[1]) >= 20
    set_slider(browser, 110)
    assert "serial.bit_flip tag-4711" in browser.look("document.getElementById('now').innerText")
    # what has not come yet is faint, and its number is not printed
    alphas = column(browser, "map_alerts", "label_alpha")
    assert 0 in alphas
    assert 1 in alphas


def test_it_begins_at_what_went_wrong_and_every_way_to_a_moment_works(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait(READY)
    assert browser.look(CLOCK) == "4:57"
    browser.click("#before")
    assert browser.look(CLOCK) == "4:20"
    browser.click("#after")
    browser.press("ArrowRight", 39)
    assert browser.look("document.activeElement.id") == "after"
    browser.click("button.at[data-t]")
    assert browser.look(CLOCK) == "4:57"
    browser.look("document.getElementById('timeline').scrollIntoView({block: 'center'})")
    x, y, width, height = browser.box("#timeline")
    browser.click_at(x + width * 0.9, y + height / 2)
    range_ = f"{MODEL.format('timeline')}.x_range"
    assert browser.look(f"{range_}.end") == pytest.approx(606)
    assert 480 < browser.look("Number(document.getElementById('time').value)") < 560
    browser.look("document.getElementById('rate').value = '300'")
    browser.click("#play")
    browser.wait(f"{CLOCK} === '10:00' && document.getElementById('play').getAttribute('aria-pressed') === 'false'")
    assert browser.complaints == []


def test_a_layer_can_be_put_aside(browser: Browser, page: Path) -> None:
    show(browser, page)
    shown = f"{MODEL.format('map')}.renderers.filter(r => r.name === 'sigma' && r.visible).length"
    assert browser.look(shown) == 2
    browser.click("[data-layer=sigma]")
    assert browser.look(shown) == 0
    browser.click("[data-layer=sigma]")
    assert browser.look(shown) == 2


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1000, 700), (1920, 1080)])
def test_a_metre_is_as_long_northwards_as_eastwards_on_any_screen(
    browser: Browser, page: Path, width: int, height: int
) -> None:
    show(browser, page, width=width, height=height)
    plot = MODEL.format("map")
    metres = "(range, pixels) => (range.end - range.start) / pixels"
    scale = f"(m => (p => [m(p.x_range, p.inner_width), m(p.y_range, p.inner_height)])({plot}))({metres})"
    browser.wait(f"(([a, b]) => Math.abs(a / b - 1) < 0.01)({scale})")
    # nothing sticks out sideways: only tables scroll, within themselves
    assert browser.look("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    low, high = browser.look(f"(p => [p.x_range.start, p.x_range.end])({plot})")
    east = column(browser, "now_people", "x")
    assert all(low < x < high for x in east)


def test_the_map_is_drawn_in_its_colours(browser: Browser, page: Path, tmp_path: Path) -> None:
    show(browser, page, height=1200)
    set_slider(browser, 200)
    browser.look("document.getElementById('scene-section').scrollIntoView()")
    browser.look("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    browser.picture(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as image:
        colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
    assert colours is not None
    strong = {c for n, c in colours if n > 50 and max(c) - min(c) > 80}
    assert len(strong) >= 6, f"the map is not drawn: {sorted(strong)}"


def test_an_empty_run_has_a_page_without_complaints(browser: Browser, tmp_path: Path) -> None:
    report = gather(empty_run(tmp_path), RunVerdict(verdict=Verdict.UNSET))
    write_page(report, tmp_path / "report.html")
    browser.open(tmp_path / "report.html", width=700)
    browser.wait(READY)
    set_slider(browser, 20)
    assert browser.look(CLOCK) == "0:20"
    assert browser.complaints == []


def test_the_page_of_a_suite_fits_narrow_and_wide(browser: Browser, tmp_path: Path) -> None:
    path = write_suite(tmp_path, suite_report(tmp_path))
    for width in (390, 1600):
        browser.open(path, width=width)
        assert browser.look("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert browser.look("document.querySelectorAll('td.cell').length") == 2
    assert browser.complaints == []
    assert browser.requests == [path.as_uri()]
