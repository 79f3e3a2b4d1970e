"""A served instance and Debian's Chromium. Nothing leaves this machine: a page that asks another host for anything fails."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, sync_playwright

ROOT = Path(__file__).parents[2]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]


@dataclass(frozen=True)
class Served:
    """Where the instance answers, and the password of its people."""

    url: str
    password: str


@dataclass
class Visit:
    """A page of the browser, with everything that went wrong on it."""

    page: Page
    served: Served
    wrong: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)
    """Statuses that the test itself provokes."""
    also: str = "data:"
    """Another place on this machine that the test itself leads to."""

    def open(self, path: str) -> Page:
        self.page.goto(self.served.url + path)
        return self.page

    def sign_in(self, username: str) -> None:
        self.open("/sign-in")
        self.page.fill("#id_username", username)
        self.page.fill("#id_password", self.served.password)
        self.page.click("main button")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving_pages(tmp_path_factory.mktemp("instance"), {}) as found:
        yield found


@contextmanager
def serving_pages(home: Path, more: dict[str, str], *, host: str = "127.0.0.1") -> Iterator[Served]:
    """A new instance in that folder, served with these settings beside; `host` is the name by which the browser calls it."""
    password, port = secrets.token_urlsafe(16), _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HUITONG_", "DJANGO_"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT / "src")]), "HUITONG_HOME": str(home), **more}
    make = [sys.executable, str(ROOT / "tests" / "e2e" / "make_instance.py"), str(home), password]
    subprocess.run(make, env=environment, check=True, timeout=180)
    server = subprocess.Popen([sys.executable, "-m", "huitong.cli.web", "127.0.0.1", str(port), "1"], env=environment)
    try:
        _wait_for(f"http://127.0.0.1:{port}/sign-in", server)
        yield Served(f"http://{host}:{port}", password)
    finally:
        server.terminate()
        try:
            server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = os.environ.get("HUITONG_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert executable, "Chromium is missing; on Debian: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, served: Served) -> Iterator[Callable[..., Visit]]:
    """Opens a page in a language and width; at the end nothing may have gone wrong on any."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def begin(language: str = "en", width: int = 1200, *, policy: bool = True, scripts: bool = True) -> Visit:
        viewport: Any = {"width": width, "height": 844}
        context = chromium.new_context(locale=language, viewport=viewport, bypass_csp=not policy, java_script_enabled=scripts)
        contexts.append(context)
        found = Visit(context.new_page(), served)
        visits.append(found)
        _watch(found)
        return found

    yield begin
    wrong = [line for one in visits for line in one.wrong]
    for context in contexts:
        context.close()
    assert wrong == []


def _watch(visit: Visit) -> None:
    def answered(response: Response) -> None:
        if response.status >= 400 and response.status not in visit.expected:
            visit.wrong.append(f"{response.status} {response.url}")

    def asked(request: Request) -> None:
        if not request.url.startswith((visit.served.url, "data:", visit.also)):
            visit.wrong.append(f"asked elsewhere: {request.url}")

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":
            visit.wrong.append(f"failed: {request.url} {request.failure}")

    def told(message: Any) -> None:
        expected = any(f"status of {status}" in message.text for status in visit.expected)
        if message.type in ("error", "warning") and not expected:
            visit.wrong.append(f"console: {message.text}")

    visit.page.on("response", answered)
    visit.page.on("request", asked)
    visit.page.on("requestfailed", failed)
    visit.page.on("console", told)
    visit.page.on("pageerror", lambda error: visit.wrong.append(f"script: {error}"))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        assert server.poll() is None, "the server ended"
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError("the server did not answer")
