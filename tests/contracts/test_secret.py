"""The signing secret: made once, kept private."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.stores.errors import StoreError
from app.stores.secret import signing_secret


def test_the_secret_stays_the_same(tmp_path: Path) -> None:
    first = signing_secret(tmp_path / "new" / "secret")
    assert len(first) == 32
    assert signing_secret(tmp_path / "new" / "secret") == first


def test_every_data_directory_has_its_own_secret(tmp_path: Path) -> None:
    assert signing_secret(tmp_path / "a") != signing_secret(tmp_path / "b")


def test_only_the_owner_may_read_the_secret(tmp_path: Path) -> None:
    signing_secret(tmp_path / "secret")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_servers_that_start_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(signing_secret, [tmp_path / "secret"] * 8))
    assert len(secrets) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_damaged_secret_is_refused_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(StoreError, match="or delete it"):
        signing_secret(tmp_path / "secret")
