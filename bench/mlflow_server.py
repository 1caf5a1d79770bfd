"""MLflow's registry server beside ours: one worker on SQLite, which is its default, with a model of 100 versions.

It needs an interpreter that has MLflow, which is no dependency of this project.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from common import Client, free_port, running

VERSIONS = 100
MODEL = "model"
GET, SEARCH = "get a version", "search 100"
BESIDE = {"one artifact": GET, "page of 100": SEARCH}
"""What is asked of it beside which of our shapes."""
API = "/api/2.0/mlflow"


@contextmanager
def mlflow(python: Path, folder: Path) -> Iterator[tuple[int, int]]:
    """The server, filled: its process and its port.

    The processes with which it runs jobs are left out: they have nothing to do here but to look whether they have.
    """
    port = free_port()
    store = f"sqlite:///{folder / 'mlflow.db'}"
    command = ["-m", "mlflow", "server", "--workers", "1", "--port", str(port), "--backend-store-uri", store]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with running(command, port, folder / "mlflow.log", str(python), **settings) as process:
        client = Client(port)
        client.send("POST", f"{API}/registered-models/create", json.dumps({"name": MODEL}).encode())
        version = json.dumps({"name": MODEL, "source": "s3://bucket/model"}).encode()
        for _ in range(VERSIONS):
            client.send("POST", f"{API}/model-versions/create", version)
        client.close()
        yield process.pid, port


def version_of(python: Path) -> str:
    """Which MLflow and which server it is."""
    asked = "import mlflow, uvicorn; print(f'MLflow {mlflow.__version__}, uvicorn {uvicorn.__version__}')"
    done = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def requests() -> dict[str, list[bytes]]:
    """What is asked of it: one version after the other, or all of them at once."""
    found = urlencode({"filter": f"name='{MODEL}'", "max_results": VERSIONS})
    return {
        GET: [_get(f"model-versions/get?name={MODEL}&version={number}") for number in range(1, VERSIONS + 1)],
        SEARCH: [_get(f"model-versions/search?{found}")],
    }


def check(answer: Any, kind: str, at: int) -> None:
    """An answer to the request at this place is right."""
    if kind == GET:
        assert answer["model_version"]["version"] == str(at + 1), answer
    else:
        assert {one["version"] for one in answer["model_versions"]} == set(map(str, range(1, VERSIONS + 1)))


def _get(path: str) -> bytes:
    return f"GET {API}/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
