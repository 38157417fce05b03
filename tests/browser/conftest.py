"""A headless Chromium, and pages of `sweep ui` in it that note what must not happen.

Without Chromium the tests are skipped; with TUNE_SWEEPS_BROWSER=required they fail.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from sweeps.ui.server import UiServer

WIDTH, HEIGHT = 1400, 900
SLOW_MACHINE_MS = 120_000
expect.set_options(timeout=SLOW_MACHINE_MS)


@dataclass
class Watched:
    """A page, and what has gone wrong in it."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    """Errors of the console and of scripts."""
    elsewhere: list[str] = field(default_factory=list)
    """Addresses that were requested outside of the page's origin."""

    def __post_init__(self) -> None:
        self.page.set_default_timeout(SLOW_MACHINE_MS)
        self.page.on(
            "console", lambda m: self.errors.append(m.text) if m.type == "error" else None
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._note)

    def _note(self, request: Request) -> None:
        parts = urlsplit(request.url)
        own = urlsplit(self.address)
        if parts.scheme not in {"data", "blob"} and (parts.scheme, parts.netloc) != own[:2]:
            self.elsewhere.append(request.url)

    def open(self, path: str = "/") -> Page:
        """Opens a page of the site and waits until it is there."""
        self.page.goto(self.address.rstrip("/") + path)
        self.page.wait_for_selector("#page > *")
        return self.page


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("TUNE_SWEEPS_BROWSER") == "required":
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    # Debian's sandbox needs user namespaces, which containers lack.
    arguments = ["--no-sandbox", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


Opener = Callable[..., Watched]


@pytest.fixture
def watch(chromium: Browser) -> Iterator[Opener]:
    """Serves directories and opens the address with the token in a new window."""
    with ExitStack() as stack:

        def open_window(
            *roots: Path,
            width: int = WIDTH,
            colours: Literal["light", "dark"] = "light",
            token: bool = True,
            read_only: bool = False,
        ) -> Watched:
            server = UiServer(roots, "127.0.0.1", 0, read_only=read_only)
            stack.enter_context(server.in_background())
            context = chromium.new_context(
                viewport={"width": width, "height": HEIGHT}, color_scheme=colours
            )
            stack.callback(context.close)
            watched = Watched(context.new_page(), server.address)
            watched.page.goto(server.address_with_token if token else server.address)
            watched.page.wait_for_selector("#page > *")
            return watched

        yield open_window
