"""Real JupyterLab in real Chromium: a server of its own for a test module, and pages that watch what they ask for.

    from tests.browser import running_lab, open_page

    with running_lab(root) as lab, open_page(lab) as page:
        page.open("plan.roam.json")
        page.locator(".roam-view").wait_for()
        page.screenshot(Path("view.png"))
        page.assert_no_outside_requests()

The server has folders of its own for configuration, data and runtime, a kernel of the running Python, and the front end
of this working tree in place of an installed one.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

FRONTEND = Path(__file__).parents[1] / "roam_lab" / "labextension"
CHROMIUM = os.environ.get("ROAM_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
START_SECONDS = 90
STEP_MILLISECONDS = 45_000
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, token, and the folder that it serves."""

    url: str
    token: str
    root: Path
    log: Path


@dataclass
class LabPage:
    """A page of JupyterLab. `page` is Playwright's own; `asked` holds every address that it asked for."""

    page: Any
    lab: Lab
    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def load(self, reset: bool = True) -> None:
        """Load JupyterLab and wait until it is ready; `reset` forgets the tabs that were open."""
        self.page.goto(f"{self.lab.url}lab?token={self.lab.token}{'&reset' if reset else ''}")
        self.page.wait_for_function("window.jupyterapp && document.querySelector('#jp-main-dock-panel')")
        self.page.evaluate("window.jupyterapp.restored")

    def execute(self, command: str, arguments: dict[str, Any] | None = None) -> None:
        """Run a command of JupyterLab and wait for its end."""
        self.page.evaluate(
            "async ([command, args]) => { await window.jupyterapp.commands.execute(command, args); }",
            [command, arguments or {}],
        )

    def open(self, path: str, factory: str | None = None) -> None:
        """Open a file of the root folder, as a double click does."""
        self.execute("docmanager:open", {"path": path, **({"factory": factory} if factory else {})})

    def close_all(self) -> None:
        """Close every tab; what was changed in it and not saved is lost."""
        self.page.evaluate(
            """async () => {
                for (const widget of [...window.jupyterapp.shell.widgets('main')]) {
                    if (widget.context) { widget.context.model.dirty = false; }
                    widget.close();
                }
            }"""
        )

    def theme(self, dark: bool) -> None:
        """Change to JupyterLab's dark or light theme and wait for it."""
        self.execute("apputils:change-theme", {"theme": f"JupyterLab {'Dark' if dark else 'Light'}"})
        light = "false" if dark else "true"
        self.page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)

    def locator(self, selector: str) -> Any:
        """Playwright's locator for a CSS selector."""
        return self.page.locator(selector)

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(path))

    def outside_requests(self) -> list[str]:
        """What this page has asked of any machine but this one."""
        home = urlsplit(self.lab.url).netloc
        return [
            url for url in self.asked if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != home
        ]

    def assert_no_outside_requests(self) -> None:
        """Fail if this page asked anything of another machine; or asked nothing at all, which proves nothing."""
        assert self.asked
        assert self.outside_requests() == []


def require_browser() -> None:
    """Skip where Chromium, Playwright, JupyterLab or the built front end is missing; under CI that is a failure."""
    missing = []
    if CHROMIUM is None:
        missing.append("chromium (apt-get install chromium, or set ROAM_CHROMIUM)")
    for package in ("playwright", "jupyterlab", "ipykernel"):
        try:
            __import__(package)
        except ImportError:
            missing.append(f"{package} (pip install {package})")
    if not (FRONTEND / "package.json").is_file():
        missing.append("the built front end (pip install -e . with node on PATH)")
    if missing:
        reason = f"browser tests need {', '.join(missing)}"
        if os.environ.get("ROAM_LAB_FRONTEND") == "require" or os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def running_lab(root: Path) -> Iterator[Lab]:
    """`jupyter lab` on a free port, serving `root`, until the block ends."""
    require_browser()
    with tempfile.TemporaryDirectory(prefix="roam-lab-") as scratch:
        home = Path(scratch)
        environment = _prepare(home)
        token, port = secrets.token_hex(16), _free_port()
        lab = Lab(f"http://127.0.0.1:{port}/", token, root, home / "server.log")
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser", "--allow-root",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={root}", f"--IdentityProvider.token={token}", "--LabApp.extension_manager=readonly",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=",
        ]  # fmt: skip
        with lab.log.open("w") as log:
            server = subprocess.Popen(command, env=environment, cwd=root, stdout=log, stderr=log)
            try:
                _wait(lab, server)
                yield lab
            finally:
                server.terminate()
                try:
                    server.wait(20)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait()


@contextmanager
def open_page(lab: Lab, width: int = 1400, height: int = 1000, load: bool = True) -> Iterator[LabPage]:
    """A fresh Chromium with one page on `lab`, loaded unless told not to."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(STEP_MILLISECONDS)
            opened = LabPage(page, lab)
            page.on("request", lambda request: opened.asked.append(request.url))
            page.on("websocket", lambda socket: opened.asked.append(socket.url.replace("ws", "http", 1)))
            page.on("pageerror", lambda error: opened.errors.append(str(error)))
            if load:
                opened.load()
            yield opened
        finally:
            browser.close()


def _prepare(home: Path) -> dict[str, str]:
    """The server's own folders: settings, the front end of this tree, and a kernel of this Python."""
    overrides = home / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps(SETTINGS))
    extensions = home / "share" / "labextensions"
    extensions.mkdir(parents=True)
    (extensions / "roam-lab").symlink_to(FRONTEND, target_is_directory=True)
    kernel = home / "data" / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    return {
        **os.environ,
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_PATH": str(home / "share"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(FRONTEND.parents[1]), os.environ.get("PYTHONPATH")])),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(lab: Lab, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{lab.url}api/status?token={lab.token}", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start; its log ends with:\n{lab.log.read_text()[-3000:]}")
