"""The openEO Web Editor, from a web site of another origin than the back end.

ACREAGE_WEB_EDITOR names the folder of a built Editor. Pictures of what it showed go into build/web-editor.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from playwright.sync_api import Page, Request, expect
from tests.support.browser import browser_page, web_site
from tests.support.oidc_server import ACCOUNTS, Served, running_server
from tests.support.suite_catalog import make_catalog, mean_of_red

pytestmark = [pytest.mark.checkout, pytest.mark.timeout(900)]

EDITOR = "ACREAGE_WEB_EDITOR"
FOLDER = os.environ.get(EDITOR)
PICTURES = Path(__file__).parents[2] / "build" / "web-editor"
USER = "carla"


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The Editor's web site."""
    if not FOLDER or not (Path(FOLDER) / "index.html").is_file():
        pytest.skip(f"no Web Editor: {EDITOR} does not name the folder of a built one")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with web_site({"/": Path(FOLDER)}) as address:
        yield address


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    catalog = make_catalog(tmp_path_factory.mktemp("archive"))
    with running_server(tmp_path_factory.mktemp("server"), catalog, ACREAGE_THREADS="1") as running:
        yield running


@pytest.fixture(scope="module")
def editor(origin: str, server: Served) -> Iterator[Page]:
    """The Editor, connected and logged in."""
    with browser_page() as page:
        page.goto(f"{origin}/?server={server.url}")
        page.locator("#username").fill(USER)
        page.locator("#password").fill(ACCOUNTS[USER])
        page.get_by_role("button", name="Log in").click()
        page.locator("#menu").get_by_text(USER, exact=True).wait_for()
        yield page


@pytest.fixture(scope="module")
def expected(server: Served) -> np.ndarray:
    """The result's values."""
    document = {"process": mean_of_red("GTiff")}
    with rasterio.open(
        io.BytesIO(server.ask("POST", "/result", server.login(USER), json=document).content)
    ) as f:
        return np.asarray(f.read(1))


def write_process(editor: Page, process: dict[str, Any]) -> None:
    """Type a process into the code of the Editor, and show its model."""
    editor.locator("#ide").get_by_text("Code", exact=True).click()
    editor.locator(".CodeMirror:visible").click()
    editor.keyboard.press("Control+A")
    editor.keyboard.insert_text(json.dumps(process))
    editor.locator("#ide").get_by_text("Visual Model", exact=True).click()


def assert_map_shows(editor: Page, expected: np.ndarray, name: str) -> None:
    """The Editor's map shows the values in grey, light where they are large."""
    editor.locator("#viewer .ol-layer:visible").last.wait_for()
    editor.locator("#viewer input[type=number]:visible").nth(1).wait_for()
    editor.wait_for_timeout(3000)  # the map moves to its place
    editor.screenshot(path=PICTURES / f"{name}.png")
    shown = Image.open(io.BytesIO(editor.locator("#viewer .ol-viewport:visible").screenshot())).convert("RGB")
    shown = shown.crop((5, 5, shown.width - 5, shown.height - 5))  # without the frame
    red, green, blue = np.moveaxis(np.asarray(shown, np.int16), -1, 0)
    drawn = (red == green) & (green == blue) & (red < 250)
    rows = np.flatnonzero(drawn.mean(1) > 0.3)  # the map's buttons and numbers are narrower
    columns = np.flatnonzero(drawn[rows].mean(0) > 0.5)
    part = shown.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    found = np.asarray(part.convert("L").resize(expected.shape[::-1], Image.Resampling.BOX), float)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95


def test_collections_and_processes_are_listed(editor: Page, server: Served) -> None:
    count = len(server.ask("GET", "/processes").json()["processes"])
    expect(editor.locator("#discovery")).to_contain_text("Collections (2)")
    expect(editor.locator("#discovery")).to_contain_text(re.compile(rf"Processes \((\d+/)?{count}\)"))
    editor.locator("#discovery").get_by_text("Collections").click()
    expect(editor.locator("#discovery").get_by_text("SENTINEL2_L2A")).to_be_visible()


def test_a_graph_is_run_and_its_result_drawn(editor: Page, expected: np.ndarray) -> None:
    write_process(editor, mean_of_red("GTiff"))
    sent: list[Request] = []

    def note(request: Request) -> None:
        sent.append(request)

    editor.on("request", note)
    editor.get_by_role("button", name="Run directly").click()
    assert_map_shows(editor, expected, "run")
    (body,) = [r.post_data_json for r in sent if r.method == "POST" and r.url.endswith("/result")]
    # What the API does not know is tolerated.
    assert (body["isTrusted"], body["plan"]) == (True, None)


def test_a_batch_job_is_made_started_and_its_result_drawn(editor: Page, expected: np.ndarray) -> None:
    write_process(editor, mean_of_red("GTiff"))
    editor.get_by_role("button", name="Create Batch Job").click()
    form = editor.locator(".modal-container")
    form.locator("input[type=text]").first.fill("mean of red")
    form.locator("button[type=submit], footer button").first.click()
    editor.get_by_role("button", name="Start processing").click()
    jobs = editor.locator("#JobPanel")
    for _ in range(100):
        jobs.locator("button:has(.fa-sync)").click()
        editor.wait_for_timeout(1000)
        if jobs.get_by_text("finished").count():
            break
    jobs.locator("button:visible:has(.fa-eye)").first.click()
    assert_map_shows(editor, expected, "job")
    jobs.locator("button:visible:has(.fa-info)").first.click()
    expect(editor.locator(".modal-container")).to_contain_text("mean of red")
    expect(editor.locator(".modal-container")).to_contain_text("mega-pixel", ignore_case=True)
    editor.screenshot(path=PICTURES / "job-details.png")
