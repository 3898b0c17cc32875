"""A headless Chromium for tests of pages, spoken to over its debugging port."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BROWSER_MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


class Page:
    """A browser tab spoken to in the DevTools protocol; remembers console errors and requests."""

    def __init__(self, port: int) -> None:
        import aiohttp

        self.loop = asyncio.new_event_loop()
        self.number = 0
        self.problems: list[str] = []
        self.requests: list[str] = []

        async def connect() -> tuple[Any, Any]:
            session = aiohttp.ClientSession()
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                [target] = [t for t in await answer.json() if t["type"] == "page"]
            return session, await session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)

        self.session, self.socket = self.loop.run_until_complete(connect())
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), 60))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self.number += 1
        number = self.number
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self.socket.receive()).data)
            self._note(message)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def _note(self, message: dict[str, Any]) -> None:
        about = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(about["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.problems.append(about["entry"]["text"])
        elif message.get("method") == "Runtime.consoleAPICalled" and about["type"] == "error":
            self.problems.append(str(about["args"]))

    def run(self, script: str) -> Any:
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, file: Path) -> None:
        self.call("Page.navigate", url=file.as_uri())
        self.wait_for("document.documentElement?.dataset.readyAfter")

    def wait_for(self, condition: str) -> None:
        deadline = time.monotonic() + 20
        while not self.run(condition):
            assert time.monotonic() < deadline, f"never true: {condition}"
            time.sleep(0.05)

    def key(self, key: str) -> None:
        codes = {" ": 32, "ArrowDown": 40, "ArrowUp": 38, "Enter": 13, "End": 35, "Escape": 27, "Tab": 9}
        named = {"key": key, "code": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0]))}
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def size(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def colours(self, scheme: str) -> None:
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def reset(self) -> None:
        """Give the tab its usual size and colours, and forget what pages stored, problems and requests."""
        self.size(1440, 1000)
        self.colours("")
        self.call("Storage.clearDataForOrigin", origin="file://", storageTypes="local_storage")
        self.problems.clear()
        self.requests.clear()

    def text(self, selector: str) -> str:
        """Return the text of the first element that matches."""
        return self.run(f"document.querySelector({json.dumps(selector)}).textContent")

    def click(self, selector: str, containing: str = "") -> None:
        """Click the first element that matches and contains a text."""
        nodes = f"[...document.querySelectorAll({json.dumps(selector)})]"
        self.run(f"{nodes}.find((n) => n.textContent.includes({json.dumps(containing)})).click()")

    def close(self) -> None:
        self.loop.run_until_complete(self.socket.close())
        self.loop.run_until_complete(self.session.close())
        self.loop.close()


@contextmanager
def opened_browser(folder: Path) -> Iterator[Page]:
    """Give a tab of a browser that keeps its profile in the folder."""
    profile = folder / "profile"
    process = subprocess.Popen(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--remote-debugging-port=0",
            "--remote-allow-origins=*", f"--user-data-dir={profile}", "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        announced = profile / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not announced.exists() or not announced.read_text().count("\n"):
            assert process.poll() is None, "Chromium ended at once"
            assert time.monotonic() < deadline, "Chromium did not start in a minute"
            time.sleep(0.1)
        tab = Page(int(announced.read_text().splitlines()[0]))
        tab.size(1440, 1000)
        yield tab
        tab.close()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
