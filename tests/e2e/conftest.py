"""What servers share."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.stores.cache.valkey import PrivateValkey


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[PrivateValkey]:
    """A cache that servers share."""
    server = PrivateValkey(tmp_path / "valkey")
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())
