"""The explorer of a real server in a real browser, spoken to over the DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.server import running

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "app" / "explorer"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]
PATIENCE = 20.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH"),
    pytest.mark.skipif(
        not (BUILT / "index.html").is_file(),
        reason="the explorer is not built: run make setup",
    ),
]


class Page:
    """One tab with a storage of its own. `requests` and `complaints` hold what it and its workers did so far."""

    def __init__(self, devtools: ClientConnection, size: tuple[int, int]) -> None:
        self.devtools = devtools
        self.calls = 0
        self.sessions: set[str] = set()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.workers: set[str] = set()
        self.context = self.call("Target.createBrowserContext", session=None)["browserContextId"]
        target = self.call(
            "Target.createTarget", session=None, url="about:blank", browserContextId=self.context, newWindow=True
        )
        self.session = self.call("Target.attachToTarget", session=None, targetId=target["targetId"], flatten=True)[
            "sessionId"
        ]
        self.watch(self.session)
        self.call("Page.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        self.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)

    def watch(self, session: str) -> None:
        """Hear of what a session does; nothing is waited for, since a worker may be gone by then."""
        self.sessions.add(session)
        for domain in ("Network", "Runtime", "Log"):
            self.send(f"{domain}.enable", session=session)

    def send(self, method: str, session: str | None = "", **params: Any) -> int:
        """The id of a call to the tab, or to another session (None: the browser)."""
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session or self.session
        self.devtools.send(json.dumps(message))
        return self.calls

    def call(self, method: str, session: str | None = "", **params: Any) -> dict[str, Any]:
        """What DevTools answers, having noted what happened in the meantime."""
        call = self.send(method, session, **params)
        while True:
            received = json.loads(self.devtools.recv(timeout=PATIENCE))
            if received.get("id") == call:
                assert "error" not in received, f"{method}: {received['error']}"
                return dict(received["result"])
            if received.get("sessionId") in self.sessions and "method" in received:
                self.note(received["method"], received["params"])

    def note(self, event: str, params: dict[str, Any]) -> None:
        match event:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(params["url"])
            case "Log.entryAdded" if params["entry"]["level"] in {"warning", "error"}:
                self.complaints.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" if params["type"] in {"warning", "error", "assert"}:
                self.complaints.append(json.dumps(params["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"]))
            case "Target.attachedToTarget" if params["targetInfo"]["type"] == "worker":
                self.workers.add(params["targetInfo"]["url"].rsplit("/", 1)[-1].split(".")[0])
                self.watch(params["sessionId"])

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """The first true value of the expression."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"never true: {expression}\n{self.complaints}"
            time.sleep(0.05)
        return value

    def click(self, selector: str) -> None:
        self.wait_for(f"document.querySelector({selector!r}) !== null")
        self.evaluate(f"document.querySelector({selector!r}).click()")

    def press(self, key: str, code: int, *, ctrl: bool = False) -> None:
        stroke: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if ctrl else 0}
        self.call("Input.dispatchKeyEvent", type="rawKeyDown", **stroke)
        self.call("Input.dispatchKeyEvent", type="keyUp", **stroke)

    def open_tab(self, name: str) -> None:
        self.evaluate(
            f"[...document.querySelectorAll('.graphiql-tab-button')].find(tab => tab.innerText === {name!r}).click()"
        )
        self.wait_for(f"{self.model('operation')}.includes({name!r})")

    @staticmethod
    def model(name: str) -> str:
        """The expression for the text of an editor: operation, variables, request-headers or response."""
        return f"__MONACO.editor.getModels().find(model => model.uri.path.includes({name!r})).getValue()"

    def asked_elsewhere(self, address: str) -> list[str]:
        """The requests that were for another origin."""
        own = (f"{address}/", f"ws{address.removeprefix('http')}/", "data:")
        return [url for url in self.requests if not url.startswith(own)]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        self.call("Target.disposeBrowserContext", session=None, browserContextId=self.context)

    def opened_at(self, address: str) -> Self:
        """This page, at the address, with its editors drawn and the schema in."""
        self.call("Page.navigate", url=f"{address}/")
        self.wait_for("document.querySelector('.graphiql-query-editor .view-lines .view-line') !== null")
        self.wait_for("document.querySelector('.graphiql-response .monaco-editor') !== null")
        self.wait_for("document.querySelector('.graphiql-spinner') === null")
        return self


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server with its demo project, that this module may change."""
    with running(tmp_path_factory.mktemp("explorer") / "var") as server:
        yield server.url


@pytest.fixture(scope="module")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientConnection]:
    profile = tmp_path_factory.mktemp("chromium")
    browser = subprocess.Popen(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        announced = profile / "DevToolsActivePort"
        while not (announced.exists() and len(announced.read_text().split()) == 2):
            assert browser.poll() is None, "chromium ended before it listened"
            assert time.monotonic() < deadline, "chromium did not start"
            time.sleep(0.05)
        port, path = announced.read_text().split()
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as connection:
            yield connection
    finally:
        browser.terminate()
        browser.wait(timeout=10)


@pytest.fixture
def page(devtools: ClientConnection, address: str) -> Iterator[Page]:
    page = Page(devtools, (1280, 800))
    yield page.opened_at(address)
    page.close()


@pytest.fixture
def phone(devtools: ClientConnection, address: str) -> Iterator[Page]:
    page = Page(devtools, (390, 844))
    yield page.opened_at(address)
    page.close()


def test_the_page_opens_with_a_tab_for_each_example(page: Page) -> None:
    assert page.evaluate("document.title") == "ML Registry"
    tabs = page.evaluate("[...document.querySelectorAll('.graphiql-tab-button')].map(tab => tab.innerText)")
    assert tabs == ["BrowseProjects", "ShowArtifact", "CommitArtifacts", "WatchEvents", "CreateUploads"]


def test_play_shows_the_result_of_the_first_example(page: Page) -> None:
    page.click(".graphiql-execute-button")
    page.wait_for(f"{page.model('response')}.includes('topic-training-data')")
    page.wait_for("document.querySelector('.graphiql-response .view-lines').innerText.includes('projects')")


def test_an_operation_runs_from_the_keyboard_alone(page: Page) -> None:
    page.evaluate("__MONACO.editor.getEditors()[0].focus()")
    page.press("Enter", 13, ctrl=True)
    page.wait_for(f"{page.model('response')}.includes('topic-training-data')")


def test_the_editor_completes_fields_from_the_schema(page: Page) -> None:
    page.evaluate("__MONACO.editor.getEditors()[0].setValue('{ }')")
    page.evaluate("__MONACO.editor.getEditors()[0].setPosition({lineNumber: 1, column: 3})")
    page.evaluate("__MONACO.editor.getEditors()[0].focus()")
    page.call("Input.insertText", text="pro")
    page.press(" ", 32, ctrl=True)
    page.wait_for("document.querySelector('.suggest-widget.visible')?.innerText.includes('projects')")


def test_each_language_worker_starts_from_a_file_of_this_origin(page: Page, address: str) -> None:
    page.open_tab("CommitArtifacts")
    page.evaluate("__MONACO.editor.getModels().find(m => m.uri.path.includes('variables')).setValue('{\"a\": }')")
    page.wait_for("__MONACO.editor.getModelMarkers({}).some(marker => marker.message === 'Value expected')")
    page.evaluate("__MONACO.editor.getModels().find(m => m.uri.path.includes('operation')).setValue('{ nothing }')")
    page.wait_for("__MONACO.editor.getModelMarkers({}).some(marker => marker.message.includes('nothing'))")
    assert page.workers == {"editor", "json", "graphql"}
    assert page.complaints == []
    assert page.asked_elsewhere(address) == []


def commit(address: str, name: str) -> None:
    """Put an entry of that name on the demo project's branch staging."""
    query = "mutation($input: CommitArtifactsInput!) { commitArtifacts(input: $input) { __typename } }"
    put = {"put": {"name": name, "type": "model"}}
    variables = {"input": {"project": "demo", "branch": "staging", "changes": [put]}}
    answer = httpx.post(
        f"{address}/graphql", json={"query": query, "variables": variables}, timeout=PATIENCE, trust_env=False
    )
    assert answer.json() == {"data": {"commitArtifacts": {"__typename": "CommitArtifactsSuccess"}}}


def test_a_subscription_prints_an_event_when_something_is_committed(page: Page, address: str) -> None:
    page.open_tab("WatchEvents")
    page.click(".graphiql-execute-button")
    page.wait_for("document.querySelector('.graphiql-execute-button').getAttribute('aria-label').startsWith('Stop')")
    shown = f"{page.model('response')}.includes('seen-')"
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate(shown):  # the subscription begins some time after the button says so
        assert time.monotonic() < deadline
        commit(address, f"seen-{time.time_ns()}")
        time.sleep(0.1)
    assert f"ws{address.removeprefix('http')}/graphql" in page.requests
    assert page.asked_elsewhere(address) == []
    assert page.complaints == []


def run_tab(page: Page, name: str, shows: str) -> str:
    """Open an example, press Play; answers the response once it shows something."""
    page.open_tab(name)
    page.click(".graphiql-execute-button")
    page.wait_for(f"{page.model('response')}.includes({shows!r})")
    return str(page.evaluate(page.model("response")))


def test_each_example_that_asks_once_runs_without_an_error(page: Page) -> None:
    assert '"classification-output"' in run_tab(page, "BrowseProjects", "staging")
    assert '"ADDED"' in run_tab(page, "ShowArtifact", "lastChange")
    committed = json.loads(run_tab(page, "CommitArtifacts", "CommitArtifactsSuccess"))["data"]["commitArtifacts"]
    assert committed["changed"] is True
    assert committed["commit"]["headline"] == "Add topic-classifier"
    page.click(".graphiql-execute-button")
    page.wait_for(f"{page.model('response')}.includes('\"changed\": false')")
    upload = json.loads(run_tab(page, "CreateUploads", "CreateUploadsSuccess"))["data"]["createUploads"]["uploads"][0]
    assert upload["state"] == "PENDING"
    assert upload["parts"][0]["method"] == "PUT"
    assert page.complaints == []


def test_using_every_panel_asks_no_other_origin_and_breaks_no_policy(page: Page, address: str) -> None:
    page.click(".graphiql-execute-button")
    page.wait_for(f"{page.model('response')}.includes('topic-training-data')")
    for button in page.evaluate("[...document.querySelectorAll('.graphiql-sidebar button')].map(b => b.ariaLabel)"):
        page.click(f".graphiql-sidebar button[aria-label='{button}']")
        page.wait_for("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => drawn(true))))")
    assert page.complaints == []
    assert page.asked_elsewhere(address) == []


def test_the_page_follows_a_dark_system(devtools: ClientConnection, address: str) -> None:
    page = Page(devtools, (1280, 800))
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page.opened_at(address)
    background = "getComputedStyle(document.querySelector('.graphiql-container')).backgroundColor"
    red, *_ = page.evaluate(f"{background}.match(/\\d+/g).map(Number)")
    page.close()
    assert red < 100


def test_a_phone_shows_the_editor_above_the_result_without_scrolling_sideways(phone: Page) -> None:
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    box = "document.querySelector('{}').getBoundingClientRect().toJSON()"
    editor = phone.evaluate(box.format(".graphiql-editors"))
    result = phone.evaluate(box.format(".graphiql-response"))
    assert editor["width"] > 280
    assert result["width"] > 280
    assert editor["bottom"] <= result["top"]
    assert result["bottom"] <= 844
