"""Packs that arrive from elsewhere, as stock git makes them and as somebody with bad intentions would."""

import hashlib
import random
import subprocess
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.stores.errors import RemoteUnavailableError
from app.stores.git import incoming
from app.stores.git.disk import DiskObjects
from app.stores.git.incoming import receive
from tests.support.git import git

MIB = 1 << 20


def history(at: Path, commits: int, size: int = 3000) -> Path:
    """A repository with a file that changes a little with every commit."""
    git("init", "--quiet", "--initial-branch=main", at)
    lines = [f"{number} {hashlib.sha256(bytes([number % 256])).hexdigest()}\n" for number in range(size // 20)]
    for number in range(commits):
        lines[number % len(lines)] = f"changed {number}\n"
        (at / "data.txt").write_text("".join(lines))
        git("add", ".", at=at)
        git("commit", "--quiet", "-m", f"{number}", at=at)
    return at


def packed(at: Path, *wants: str, thin: bool = False) -> bytes:
    command = ["git", "-C", at, "pack-objects", "--revs", "--stdout", *(["--thin"] if thin else []), "-q"]
    return subprocess.run(command, input="\n".join(wants).encode() + b"\n", capture_output=True, check=True).stdout


def taken(at: Path, pack: bytes) -> None:
    receive(DiskObjects(at), [pack[start : start + 999] for start in range(0, len(pack), 999)])


def everything(at: Path) -> str:
    return "\n".join(sorted(git("cat-file", "--batch-all-objects", "--batch-check", at=at).splitlines()))


def header(kind: int, size: int) -> bytes:
    first, size = kind << 4 | size & 15, size >> 4
    out = bytearray()
    while size:
        out.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    return bytes([*out, first])


def number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def made(*entries: bytes, count: int | None = None) -> bytes:
    pack = b"PACK" + (2).to_bytes(4, "big") + (len(entries) if count is None else count).to_bytes(4, "big")
    pack += b"".join(entries)
    return pack + hashlib.sha1(pack, usedforsecurity=False).digest()


@contextmanager
def at_most(most: int) -> Iterator[None]:
    """No more than so many bytes of memory are held at once in the block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    git("init", "--quiet", "--bare", "--initial-branch=main", tmp_path / "there.git")
    return tmp_path / "there.git"


@pytest.mark.parametrize("commits", [1, 5, 60])
def test_what_stock_git_packs_is_kept_and_found_sound_by_it(tmp_path: Path, there: Path, commits: int) -> None:
    here = history(tmp_path / "here", commits)
    taken(there, packed(here, "main"))
    assert everything(there) == everything(here)
    git("update-ref", "refs/heads/main", git("rev-parse", "main", at=here), at=there)
    git("fsck", "--strict", at=there)


@pytest.mark.parametrize("commits", [2, 60])
def test_a_pack_without_its_bases_is_completed(tmp_path: Path, there: Path, commits: int) -> None:
    here = history(tmp_path / "here", 1)
    taken(there, packed(here, "main"))
    first = git("rev-parse", "main", at=here)
    lines = (here / "data.txt").read_text().splitlines(keepends=True)
    for turn in range(commits):
        lines[turn % len(lines)] = f"again {turn}\n"
        (here / "data.txt").write_text("".join(lines))
        git("commit", "--quiet", "-am", f"{turn}", at=here)
    pack = packed(here, "main", f"^{first}", thin=True)
    assert pack != packed(here, "main", f"^{first}")
    taken(there, pack)
    assert everything(there) == everything(here)
    git("update-ref", "refs/heads/main", git("rev-parse", "main", at=here), at=there)
    git("fsck", "--strict", at=there)


def test_few_objects_make_no_pack_and_many_make_one(tmp_path: Path, there: Path) -> None:
    taken(there, packed(history(tmp_path / "few", 3), "main"))
    assert list((there / "objects/pack").iterdir()) == []
    taken(there, packed(history(tmp_path / "many", 40), "main"))
    assert sorted(path.suffix for path in (there / "objects/pack").iterdir()) == [".idx", ".pack"]


def test_an_empty_pack_is_nothing(there: Path) -> None:
    taken(there, made())
    assert list((there / "objects/pack").iterdir()) == []


@pytest.mark.parametrize("seed", range(40))
def test_a_pack_with_a_flipped_or_missing_byte_is_refused_and_leaves_nothing(
    tmp_path: Path, there: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same each time
    pack = bytearray(packed(history(tmp_path / "here", 3), "main"))
    if seed % 4 == 0:
        del pack[chance.randrange(len(pack)) :]
    else:
        pack[chance.randrange(len(pack))] ^= 1 << chance.randrange(8)
        if seed % 4 == 1:  # with a checksum that fits
            pack[-20:] = hashlib.sha1(pack[:-20], usedforsecurity=False).digest()
    try:
        taken(there, bytes(pack))
    except RemoteUnavailableError:
        assert everything(there) == ""
    else:  # only where the flip says the same
        git("fsck", "--full", at=there)
    assert list((there / "objects/pack").iterdir()) == []


BLOB = header(3, 1000) + zlib.compress(b"x" * 1000)
BOMB = zlib.compress(b"\0" * 50 * MIB, 9)


@pytest.mark.parametrize(
    "pack",
    [
        b"",
        b"PACK" * 20,
        made(BLOB, count=2),
        made(BLOB, BLOB, count=1),
        made(header(3, 10) + BOMB),
        made(header(3, 2**40) + BOMB),
        made(header(0, 1) + zlib.compress(b"x")),
        made(header(5, 1) + zlib.compress(b"x")),
        made(BLOB, count=2**32 - 1),
        made(header(7, 3) + b"\1" * 20 + zlib.compress(b"abc")),
        made(header(6, 3) + b"\x05" + zlib.compress(b"abc")),
        made(header(6, 3) + b"\0" + zlib.compress(b"abc")),
        made(b"\xff" * 500),
    ],
)
def test_what_is_no_pack_is_refused(there: Path, pack: bytes) -> None:
    with pytest.raises(RemoteUnavailableError, match="cannot be used"):
        taken(there, pack)
    assert list((there / "objects/pack").iterdir()) == []


def test_a_difference_that_makes_too_much_is_refused_before_it_is_made(there: Path) -> None:
    base = b"y" * 65536
    delta = number(len(base)) + number(200 * MIB) + b"\x80" * 3200
    entry = header(7, len(delta)) + hashlib.sha1(b"blob 65536\0" + base, usedforsecurity=False).digest()
    pack = made(header(3, len(base)) + zlib.compress(base), entry + zlib.compress(delta))
    with at_most(MIB), pytest.raises(RemoteUnavailableError, match="more than"):
        taken(there, pack)


def test_a_large_object_is_kept_without_being_held_in_memory(there: Path) -> None:
    size = 300 * MIB
    pack = made(header(3, size) + zlib.compress(b"\0" * size, 1))
    with at_most(len(pack) + 3 * MIB):
        taken(there, pack)
    assert everything(there).endswith(f"blob {size}")


def test_long_chains_with_many_branches_are_unpacked_within_bounds(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step has two differences made on it, which keeps a naive reader from letting go of any."""
    monkeypatch.setattr(incoming, "REMEMBERED", 4 * MIB)
    content, entries = b"z" * MIB, []
    entries.append(header(3, MIB) + zlib.compress(content))
    for step in range(150):
        base = hashlib.sha1(b"blob %d\0" % MIB + content, usedforsecurity=False).digest()
        for salt in range(2):
            tail = b"%08d%08d" % (step, salt)
            delta = number(MIB) + number(MIB) + b"\xf0" + (MIB - 16).to_bytes(3, "little") + b"\x10" + tail
            entries.append(header(7, len(delta)) + base + zlib.compress(delta))
        content = content[: MIB - 16] + b"%08d%08d" % (step, 1)
    with at_most(10 * MIB):
        taken(there, made(*entries))
    assert len(everything(there).splitlines()) == 301


def test_a_killed_fetchs_draft_is_taken_away_by_the_next(tmp_path: Path, there: Path) -> None:
    left = there / "objects/pack/tmp_incoming_dead"
    left.write_bytes(b"PACK")
    taken(there, packed(history(tmp_path / "here", 1), "main"))
    assert not left.exists()
