"""What moving a large object costs the server."""

import hashlib
import os
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from app.stores.objects.local import LocalObjects
from app.stores.ports import ObjectKey

SERVER = """
    import socket, sys
    from pathlib import Path
    import uvicorn
    from starlette.applications import Starlette
    from app.http.objects import object_routes
    from app.stores.objects.local import LocalObjects

    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
    objects = LocalObjects(Path(sys.argv[1]), "http://unused", b"s" * 32)
    objects.clean()
    config = uvicorn.Config(Starlette(routes=object_routes(objects)), ws="none", lifespan="off", log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
"""


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator[tuple[int, LocalObjects]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", textwrap.dedent(SERVER), str(tmp_path / "objects"), str(port)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}) as server:
        try:
            yield server.pid, LocalObjects(tmp_path / "objects", f"http://127.0.0.1:{port}", b"s" * 32)
        finally:
            server.kill()


def peak_memory(pid: int) -> int:
    """Bytes."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_two_gibibytes_go_up_and_down_in_flat_memory(other_process: tuple[int, LocalObjects]) -> None:
    pid, objects = other_process
    size, block = 2 * 1024**3, bytes(1024 * 1024)
    digest = hashlib.sha256()
    for _ in range(size // len(block)):
        digest.update(block)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size // len(block)):
            yield block

    key = ObjectKey("big", digest.hexdigest())
    request = await objects.sign_put(key, size=size, content_type="a/b", expires_in=600)
    url = (await objects.sign_get(key, content_type="a/b", filename=None, expires_in=600)).url
    async with httpx.AsyncClient(trust_env=False, timeout=120, transport=httpx.AsyncHTTPTransport(retries=8)) as http:
        assert (await http.get(url)).status_code == 404
        before = peak_memory(pid)
        response = await http.put(request.url, headers=dict(request.headers), content=source())
        assert response.status_code == 200
        received = hashlib.sha256()
        async with http.stream("GET", url) as response:
            async for chunk in response.aiter_raw():
                received.update(chunk)
    assert received.hexdigest() == digest.hexdigest()
    assert peak_memory(pid) - before < 64 * 1024**2
