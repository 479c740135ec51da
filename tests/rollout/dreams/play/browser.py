"""A real Chromium without a window, told what to do through its own protocol (one websocket)."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-headless-shell")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --remote-debugging-port=0"
)


class Tab:
    """One page of the browser.

    Attributes:
        requests: addresses that it asked for.
    """

    def __init__(self, socket: ClientConnection):
        self._socket, self._number = socket, 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Network", "Runtime"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> Any:
        """Call the browser and wait for its answer."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            self._note(message)
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(message["error"])
                return message["result"]

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        if message.get("method") == "Network.webSocketCreated":
            self.requests.append(parameters["url"])
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))

    def go(self, url: str) -> None:
        """Open a page."""
        self.do("Page.navigate", url=url)

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> Any:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.ask(script):
                return value
            time.sleep(0.05)  # between two looks
        raise TimeoutError(f"never true: {script}; the page says {self.ask('document.body.innerText')!r}")

    def key(self, code: str, is_down: bool) -> None:
        """Press or release a key."""
        self.do("Input.dispatchKeyEvent", type="keyDown" if is_down else "keyUp", code=code, key=code)

    def picture(self) -> bytes:
        """What the page looks like, as a PNG; a tab behind another may never be drawn."""
        self.do("Page.bringToFront")
        return base64.b64decode(self.do("Page.captureScreenshot", format="png")["data"])


@contextmanager
def browser() -> Generator[Callable[[], Tab]]:
    """A browser; what it gives opens tabs."""
    assert PROGRAM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [PROGRAM, *_FLAGS.split(), f"--user-data-dir={profile}", "--window-size=1200,900", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with ExitStack() as stack:
            stack.callback(process.wait, timeout=30)
            stack.callback(process.terminate)
            port = _port(Path(profile) / "DevToolsActivePort")

            def open_tab() -> Tab:
                with urlopen(f"http://127.0.0.1:{port}/json/version") as answer:
                    whole = json.load(answer)["webSocketDebuggerUrl"]
                wanted = {"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}
                with connect(whole, max_size=None) as control:
                    control.send(json.dumps(wanted))
                    target = json.loads(control.recv(timeout=60))["result"]["targetId"]
                return Tab(stack.enter_context(connect(f"ws://127.0.0.1:{port}/devtools/page/{target}", max_size=None)))

            yield open_tab


def _port(path: Path) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if path.exists() and (lines := path.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)  # between two looks
    raise TimeoutError("the browser did not start")
