"""Paths in trees: what stands at one, and a new tree with some files replaced and every other entry as it was."""

import stat
from collections.abc import Callable, Mapping
from typing import Literal

from dulwich.objects import Blob, ObjectID, ShaFile, Tree

from app.stores.errors import PathConflictError
from app.stores.ports import TreeFile

FOLDER = stat.S_IFDIR
PLAIN_FILE = stat.S_IFREG | 0o644
SUBMODULE = 0o160000

type_of = stat.S_IFMT


def kind_of(mode: int) -> Literal["file", "symlink", "submodule", "tree"]:
    """What an entry of that mode is."""
    if type_of(mode) == FOLDER:
        return "tree"
    if type_of(mode) == stat.S_IFLNK:
        return "symlink"
    return "submodule" if type_of(mode) == SUBMODULE else "file"


def find(read: Callable[[ObjectID], Tree], root: ObjectID, path: str) -> TreeFile | None:
    """What stands at `path` below `root`; nothing, as Git has it, behind a link or a submodule on the way there."""
    tree, parts = read(root), path.encode("utf-8", "replace").split(b"/")
    for depth, part in enumerate(parts, start=1):
        if part not in tree:
            return None
        mode, oid = tree[part]
        kind = kind_of(mode)
        if depth == len(parts):
            return TreeFile(oid=oid.decode(), kind=kind)
        if kind != "tree":
            return None
        tree = read(oid)
    return None


def replace(
    read: Callable[[ObjectID], Tree], keep: Callable[[ShaFile], None], root: ObjectID | None, files: Mapping[str, bytes]
) -> ObjectID:
    """The id of `root` (None: of nothing) with `files` put in; every object made on the way is handed to `keep`.

    A replaced file keeps its mode. Raises PathConflictError where that would take away anything but a file.
    """
    return _replace(read, keep, root, {path.encode("utf-8", "replace"): text for path, text in files.items()}, b"")


def _replace(
    read: Callable[[ObjectID], Tree],
    keep: Callable[[ShaFile], None],
    root: ObjectID | None,
    files: Mapping[bytes, bytes],
    above: bytes,
) -> ObjectID:
    tree = Tree() if root is None else Tree.from_string(read(root).as_raw_string())
    below: dict[bytes, dict[bytes, bytes]] = {}
    for path, text in files.items():
        name, slash, rest = path.partition(b"/")
        if slash:
            below.setdefault(name, {})[rest] = text
            continue
        blob = Blob.from_string(text)
        keep(blob)
        tree[name] = (_mode(tree, name, "file", above) or PLAIN_FILE, blob.id)
    for name, inner in below.items():
        folder = tree[name][1] if _mode(tree, name, "tree", above) else None
        tree[name] = (FOLDER, _replace(read, keep, folder, inner, above + name + b"/"))
    keep(tree)
    return tree.id


def _mode(tree: Tree, name: bytes, wanted: str, above: bytes) -> int:
    """The mode of an entry that is what is wanted of it, 0 when there is none."""
    mode = tree[name][0] if name in tree else 0
    if mode and kind_of(mode) != wanted:
        path = (above + name).decode("utf-8", "replace")
        raise PathConflictError(
            f"{path!r} is a {kind_of(mode)} in this branch, not a {wanted}: move it away with git first."
        )
    return mode
