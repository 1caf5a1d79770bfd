"""What a hostile input is: something sent, and the one answer it must get."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.api import Work
from tests.support.server import Server

JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Target:
    """The server under attack, a project of it that is the attacker's own, and a server that callers sign in to."""

    server: Server
    gate: Server
    work: Work
    hook_secret: str
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        url = httpx.URL(self.server.url)
        return url.host, int(url.port or 0)

    def ask(self, query: str, variables: Any = None, **members: Any) -> str:
        """The answer to a document, in short."""
        body = json.dumps({"query": query, "variables": variables or {}, **members}).encode()
        return self.request("POST", "/graphql", content=body, headers=JSON)

    def request(self, method: str, path: str, **options: Any) -> str:
        """The answer to a request of any client, in short."""
        return brief(self.server.client.request(method, path, **options))


@dataclass(frozen=True)
class Hostile:
    """One input. `send` answers in short what came back, which must be one of `expected`, and nothing else.

    One that is `patient` waits for the server to lose its patience, so it runs beside the others.
    """

    name: str
    send: Callable[[Target], str]
    expected: Sequence[str]
    patient: bool = False

    def problem(self, target: Target) -> str | None:
        """What was wrong with the answer, None when it was the right one."""
        try:
            got = self.send(target)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is not the answer
            got = repr(error)
        return None if got in self.expected else f"{self.name}: {got}, not {' or '.join(self.expected)}"


def hostile(name: str, send: Callable[[Target], str], *expected: str, patient: bool = False) -> Hostile:
    """An input and the answers that are right."""
    return Hostile(name, send, expected, patient)


def brief(answer: httpx.Response) -> str:
    """Status and code of an answer, or the type of the refusal in its data."""
    return f"{answer.status_code} {said(answer.text)}".strip()


def said(text: str) -> str:
    """The code of the first error, else the first refusal among the results; of text, the code before its colon."""
    try:
        answer = json.loads(text)
    except ValueError:
        code = text.partition(":")[0]
        return code if code.isupper() else ""
    if not isinstance(answer, dict):
        return ""
    if errors := answer.get("errors"):
        return str(errors[0]["extensions"]["code"])
    results = (answer.get("data") or {}).values()
    kinds = (one.get("__typename", "") for one in results if isinstance(one, dict))
    return next((kind for kind in kinds if kind.endswith("Error")), "")
