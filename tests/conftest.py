"""What every test may ask for."""

import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from app.registry.model import Actor
from app.registry.registry import Registry, Stores
from app.stores.cache.memory import MemoryCache
from app.stores.git.memory import MemoryGit
from app.stores.objects.local import LocalObjects
from app.stores.ports import NewCommit, Signature
from tests.support.api import Work, new_project
from tests.support.elsewhere import Elsewhere, elsewhere
from tests.support.server import Server, running

ADA = Actor("Ada", "ada@example.org")


def pytest_configure() -> None:
    """Put right what depends on the machine, and on how the run was started.

    A shell starts what runs in its background with SIGINT ignored, and every program a test starts inherits that.
    """
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    """A registry on memory stores, and bytes in a temporary folder."""
    git = MemoryGit()
    who = Signature(ADA.name, ADA.email, datetime.now(UTC))
    git.create("catalog", "main", NewCommit({}, "Begin", who, who))
    objects = LocalObjects(tmp_path / "objects", "http://testserver", b"s" * 32)
    objects.clean()
    stores = Stores(git, git.repository("catalog"), MemoryCache(), objects)
    made = Registry(stores, b"s" * 32, max_changes=100, max_size=2**40)
    yield made
    await made.close()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server with the demo project, for tests that disturb nobody: each works in projects of its own."""
    with running(tmp_path_factory.mktemp("server") / "var") as server:
        yield server


@pytest.fixture
def work(shared_server: Server) -> Work:
    """A new project on the shared server, for one test alone."""
    return new_project(shared_server)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Elsewhere]:
    """A Git host elsewhere, which behaves well again at the end."""
    with elsewhere(tmp_path) as found:
        yield found
        found.host.moods.every = ""
