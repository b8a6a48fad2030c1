"""The openEO JavaScript client in a browser, on a web site of another origin than the back end."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page
from tests.support.browser import browser_page, web_site
from tests.support.javascript import SCRIPTS, require_packages
from tests.support.oidc import PROVIDER_ID, USERS, OidcProvider, is_installed, running_provider
from tests.support.oidc_server import ACCOUNTS, Served, running_server
from tests.support.suite_catalog import make_catalog, mean_of_red

pytestmark = pytest.mark.timeout(600)

USER = "carla"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The web site."""
    with web_site({"/packages/": require_packages(), "/": SCRIPTS}) as origin:
        yield origin


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory, site: str) -> Iterator[OidcProvider]:
    """A provider of OpenID Connect that lets the web site's page have tokens."""
    if not is_installed():
        pytest.skip("no OpenID Connect provider: Debian's package `glewlwyd` is not installed")
    with running_provider(tmp_path_factory.mktemp("provider"), redirects=[f"{site}/page.html"]) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, provider: OidcProvider, site: str) -> Iterator[Served]:
    """A back end for users of the provider, and with accounts of its own."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "providers.json").write_text(
        json.dumps({"providers": [provider.entry([f"{site}/page.html"])]}), "utf-8"
    )
    catalog = make_catalog(tmp_path_factory.mktemp("archive"))
    with running_server(
        folder, catalog, ACREAGE_SERVER_OIDC=str(folder / "providers.json"), ACREAGE_THREADS="1"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def page(site: str) -> Iterator[Page]:
    with browser_page() as opened:
        opened.goto(f"{site}/page.html")
        yield opened


def pixels_of(drawn: dict[str, Any]) -> np.ndarray:
    return np.array(drawn["pixels"], np.uint8).reshape(drawn["height"], drawn["width"], 4)


def test_a_page_of_another_origin_logs_in_by_password_and_lists_what_there_is(
    page: Page, server: Served
) -> None:
    assert page.evaluate("url => connect(url)", server.url) == [PROVIDER_ID, ""]
    refused = page.evaluate("path => refused(path)", "/jobs")
    assert refused == {"status": 401, "code": "AuthenticationRequired"}
    assert page.evaluate("login => logInByPassword(...login)", [USER, ACCOUNTS[USER]])["user_id"] == USER
    listed = page.evaluate("listed()")
    assert "SENTINEL2_L2A" in listed["collections"]
    assert {"load_collection", "reduce_dimension", "save_result"} <= set(listed["processes"])


def test_a_page_runs_a_graph_at_once_and_as_a_job_and_draws_its_result(page: Page, server: Served) -> None:
    graph = mean_of_red("PNG")
    answer = server.ask("POST", "/result", server.login(USER), json={"process": graph})
    expected = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
    page.evaluate("url => connect(url)", server.url)
    page.evaluate("login => logInByPassword(...login)", [USER, ACCOUNTS[USER]])
    for how in ("runAtOnce", "runAsJob"):
        drawn = page.evaluate(f"graph => {how}(graph)", graph)
        assert drawn["type"] == "image/png", how
        assert (drawn["height"], drawn["width"]) == (84, 96), how
        np.testing.assert_array_equal(pixels_of(drawn), expected, how)
    assert len(np.unique(expected[:, :, 0])) > 50


def test_a_page_logs_in_at_a_provider_by_authorization_code_with_pkce(
    page: Page, server: Served, provider: OidcProvider
) -> None:
    page.evaluate("url => connect(url)", server.url)
    with page.expect_popup() as opened:
        page.evaluate("id => { window.login = logInAtProvider(id); }", PROVIDER_ID)
    popup = opened.value
    popup.locator("#username").fill("anna")
    popup.locator("#password").fill(USERS["anna"])
    popup.get_by_role("button", name="OK").click()
    popup.get_by_role("button", name="Continue").click()
    # The window closes itself when it has handed over the code.
    account = page.evaluate("window.login")
    assert account["user_id"].startswith(f"{PROVIDER_ID}~")
    assert page.evaluate("connection.listJobs()") == []
