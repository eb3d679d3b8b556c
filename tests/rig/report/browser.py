"""A headless Chromium that a test steers over two pipes: pages as a person sees them, and what they ask for."""

import base64
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support import find_part

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
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
DEADLINE_S = 20.0
"""Longest wait for an answer; a page of 2 MB comes up in about one second on an idle machine."""

_ON_3_AND_4 = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 20) for number in sys.argv[1:3]]
os.dup2(high[0], 3), os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser reads from descriptor 3 and writes to 4, whatever numbers our pipes have."""


class Browser:
    """One browser process with one page. Messages are JSON, each ended by a zero byte (Chrome DevTools Protocol)."""

    def __init__(self, profile: Path) -> None:
        executable = find_part("chromium")
        assert executable is not None
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ON_3_AND_4, str(theirs_in), str(theirs_out), executable, *QUIET,
             f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out),
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        self._number = 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._session: str | None = None
        self._page = ""

    def close(self) -> None:
        """End the browser and give its pipes back."""
        self._process.kill()
        self._process.wait(timeout=10)
        os.close(self._in)
        os.close(self._out)

    def open(self, path: Path, *, width: int = 1400, height: int = 1000, fragment: str = "") -> None:
        """Open a file and wait until its script says that it is ready."""
        # a page of its own: a browser may drop the answer to a change that the next one overtakes
        before, self._session = self._page, None
        self._page = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        if before:
            self._ask("Target.closeTarget", {"targetId": before})
        self._session = self._ask("Target.attachToTarget", {"targetId": self._page, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._ask(f"{domain}.enable")
        self.resize(width, height)
        self.requests.clear()
        self.complaints.clear()
        self._ask("Page.navigate", {"url": path.as_uri() + fragment})
        self.wait(f"location.href.startsWith({json.dumps(path.as_uri())}) && document.readyState === 'complete'")

    def resize(self, width: int, height: int) -> None:
        """Give the page another width and height, pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", size)

    def look(self, expression: str) -> Any:
        """Evaluate a JavaScript expression in the page."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self._ask("Runtime.evaluate", asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        script = f"""new Promise((resolve, reject) => {{
            const end = performance.now() + {DEADLINE_S * 1000 / 2};
            const look = () => (({expression}) ? resolve(true) : performance.now() > end
                ? reject(new Error("never true: " + {json.dumps(expression)})) : setTimeout(look, 20));
            look(); }})"""
        self.look(script)

    def click(self, selector: str) -> None:
        """Click the middle of an element, as a mouse does."""
        self.look(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        x, y, width, height = self.box(selector)
        self.click_at(x + width / 2, y + height / 2)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Where an element is in the window: left, top, width, height."""
        rectangle = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y, width, height = self.look(f"(r => [r.x, r.y, r.width, r.height])({rectangle})")
        return x, y, width, height

    def click_at(self, x: float, y: float) -> None:
        """Click a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self._ask("Input.dispatchMouseEvent", event)

    def press(self, key: str, code: int) -> None:
        """Press a key."""
        for kind in ("rawKeyDown", "keyUp"):
            asked = {"type": kind, "key": key, "windowsVirtualKeyCode": code}
            self._ask("Input.dispatchKeyEvent", asked)

    def picture(self, path: Path) -> None:
        """Take a picture of what the window shows."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", {"format": "png"})["data"]))

    def _ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params or {}}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + DEADLINE_S
        while True:
            answer = self._read(deadline, method)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _read(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left_s = deadline - time.monotonic()
            ready, _, _ = select.select([self._in], [], [], max(0.0, left_s))
            assert ready, f"the browser did not answer {method} within {DEADLINE_S} s"
            data = os.read(self._in, 1 << 20)
            assert data, f"the browser ended before it answered {method}"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                # what a page carries in itself is asked of nobody
                if not params["request"]["url"].startswith("data:"):
                    self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"])[:2000])
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                self.complaints.append(json.dumps(params["args"])[:2000])
            case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(params["entry"]["text"])
            case _:
                pass
