"""Normal traffic, as a program of its own: `traffic.py HOST PORT PROJECT`, until its input ends.

One client reads and writes as fast as it is answered, another asks `/livez` all the time. Every TICK seconds a line of
JSON says what became of it.
"""

import http.client
import json
import sys
import threading
import time

TICK = 0.1
PAUSE = 0.005
HEADERS = {"content-type": "application/json"}
READ = "query q($p: String!, $f: Int) { project(name: $p) { defaultBranch { artifacts(first: $f) { nodes { name type } } } } }"
WRITE = "mutation w($i: CommitArtifactsInput!) { commitArtifacts(input: $i) { __typename ... on Error { message } } }"
WRITES_EVERY = 2000


class Traffic:
    """What was done since the last line."""

    def __init__(self, host: str, port: int, project: str) -> None:
        self._place = host, port
        self._project = project
        self.requests = 0
        self.failures: list[str] = []
        self.slowest = 0.0

    def work(self) -> None:
        """Read, and now and then write."""
        connection, number = http.client.HTTPConnection(*self._place), 0
        while True:
            number += 1
            try:
                self._ask(connection, number)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.requests += 1

    def _ask(self, connection: http.client.HTTPConnection, number: int) -> None:
        if number % WRITES_EVERY:
            body = {"query": READ, "variables": {"p": self._project, "f": 1 + number % 20}}
        else:
            change = {"put": {"name": "normal", "type": "m", "metadata": {"number": number}}}
            body = {"query": WRITE, "variables": {"i": {"project": self._project, "changes": [change]}}}
        connection.request("POST", "/graphql", json.dumps(body), HEADERS)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.HTTPStatus.OK or b"Error" in text or b'"errors"' in text:
            self.failures.append(f"{answer.status} {text[:200]!r}")

    def watch(self) -> None:
        """See how long the server takes to say that it lives."""
        connection = http.client.HTTPConnection(*self._place)
        while True:
            began = time.monotonic()
            try:
                connection.request("GET", "/livez")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.slowest = max(self.slowest, time.monotonic() - began)
            time.sleep(PAUSE)

    def lines(self) -> None:
        """Say what became of it."""
        while True:
            time.sleep(TICK)
            said = {
                "at": time.monotonic(),
                "requests": self.requests,
                "slowest": self.slowest,
                "failures": self.failures,
            }
            self.requests, self.slowest, self.failures = 0, 0.0, []
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    traffic = Traffic(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    for act in (traffic.work, traffic.watch, traffic.lines):
        threading.Thread(target=act, daemon=True).start()
    sys.stdin.read()
