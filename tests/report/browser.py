"""Chromium without a window: the page as a browser builds it, and what it asks the network for."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-extensions",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--no-first-run",
    "--no-default-browser-check",
    "--metrics-recording-only",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


def executable() -> str:
    """The browser's path; fails with what to install if there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "no browser: install one, e.g. apt-get install --no-install-recommends chromium fonts-noto-cjk"
    return found


def dom(page: Path, profile: Path, *flags: str) -> str:
    """The document after scripts ran, as HTML."""
    return _run(page, profile, "--dump-dom", *flags)


def screenshot(page: Path, profile: Path, image: Path, width: int, height: int, *flags: str) -> Path:
    """A PNG of the window."""
    _run(page, profile, f"--screenshot={image}", f"--window-size={width},{height}", *flags)
    return image


def _run(page: Path, profile: Path, *flags: str) -> str:
    command = [executable(), *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def requests_of(page: Path, profile: Path) -> list[str]:
    """Every address that the page itself asks for; what the browser asks for on its own has no origin."""
    log = profile.with_suffix(".netlog.json")
    _run(page, profile, "--dump-dom", f"--log-net-log={log}")
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    wanted = [event.get("params") or {} for event in events]
    started = [params for params in wanted if "url" in params and "initiator" in params]
    return [params["url"] for params in started if params["initiator"] != "not an origin"]
