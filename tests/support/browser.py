"""Headless Chromium, and web sites on loopback for it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

_PROGRAM = "chromium"
_FLAGS = (
    "--no-sandbox",  # the tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS = 120_000.0


class _Handler(SimpleHTTPRequestHandler):
    """Files of folders, each under an address of its own."""

    def __init__(self, *args: Any, folders: Mapping[str, Path], **more: Any) -> None:
        self.folders = folders
        super().__init__(*args, **more)

    def translate_path(self, path: str) -> str:
        """The file of an address."""
        for prefix, folder in self.folders.items():
            if path.startswith(prefix):
                self.directory = str(folder)
                return super().translate_path("/" + path.removeprefix(prefix))
        return super().translate_path(path)

    def log_message(self, *args: Any) -> None:
        """Nothing is logged."""


@contextmanager
def web_site(folders: Mapping[str, Path]) -> Iterator[str]:
    """The origin of a web site on a free port: folders by the start of an address, the longest first."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, folders=folders))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def browser_page(size: tuple[int, int] = (1500, 900)) -> Iterator[Page]:
    """A page of a new browser without a past; what it asks of hosts elsewhere is refused."""
    program = shutil.which(_PROGRAM)
    if program is None:
        pytest.skip("no browser: Debian's package `chromium` is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            context = browser.new_context(viewport={"width": size[0], "height": size[1]})
            context.set_default_timeout(_PATIENCE_MS)
            context.route(lambda url: "//127.0.0.1:" not in url, lambda route: route.abort())
            yield context.new_page()
        finally:
            browser.close()
