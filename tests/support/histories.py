"""Histories as people make them: merges, reverts, deletions, broken files, wrong clocks; written by the stock client.

Beside the manifest each commit holds, as files of their own, the entries it ought to serve: so git itself can be asked
for the history of an entry.
"""

import json
import random
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.git import git

PATH = "artifacts.yml"
BROKEN = ("a: [\n", "a: {x: 1}\na: {x: 2}\n", "- 1\n", "a: !!python/object:os.system {}\n")
Entries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Snapshot:
    """What one commit has at the manifest's path, and which entries it serves."""

    text: str | None
    mode: str
    served: Entries


@dataclass
class History:
    """A repository, its branches, and of each of its commits (by id) what it is known to hold."""

    path: Path
    branches: Sequence[str]
    snapshots: dict[str, Snapshot] = field(default_factory=dict)

    def git(self, *arguments: str) -> str:
        """What the stock client answers."""
        return git(*arguments, at=self.path)

    def log(self, revision: str, path: str = PATH) -> list[str]:
        """`git log` of a path."""
        return self.git("log", "--format=%H", revision, "--", path).split()


def shadow(name: str) -> str:
    """Where the entry of a name stands by itself."""
    return f"shadow/{name}.json"


def write(path: Path, seed: int, commits: int, *, manifest: str = PATH) -> History:
    """A random history in the bare repository at `path`, which may have other branches already."""
    dice = random.Random(seed)  # noqa: S311 - the same history every time
    made: list[Snapshot] = []
    lines: list[str] = []
    for number in range(1, commits + 1):
        choices = sorted(dice.sample(range(1, number), min(number - 1, dice.choice([1, 1, 1, 2, 2, 3]))), reverse=True)
        parents = [one for one in choices if one > number - 8] or choices[:1]
        snapshot = _snapshot(dice, [made[parent - 1] for parent in parents])
        made.append(snapshot)
        when = 1_000_000_000 + (number // 2 if dice.random() < 0.75 else dice.randrange(3 * commits))
        lines += [f"commit refs/heads/b{number}", f"mark :{number}"]
        lines += [f"committer G <g@example.org> {when} +0000", *_data(f"Commit {number}")]
        lines += [f"{'merge' if place else 'from'} :{parent}" for place, parent in enumerate(parents)]
        lines += ["deleteall", "M 100644 inline readme", *_data(str(number))]
        if snapshot.text is not None:
            lines += [f"M {snapshot.mode} inline {manifest}", *_data(snapshot.text)]
        for name, entry in snapshot.served.items():
            lines += [f"M 100644 inline {shadow(name)}", *_data(json.dumps(entry, sort_keys=True))]
    command = ["git", "-C", str(path), "fast-import", "--quiet", "--done", "--force"]
    stream = "\n".join([*lines, "done", ""]).encode()
    subprocess.run(command, input=stream, check=True, capture_output=True)
    branches = [f"b{number}" for number in range(1, commits + 1)]
    heads = git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads", at=path).splitlines()
    oids = dict(line.split() for line in heads)
    return History(path, branches, {oids[f"b{number}"]: one for number, one in enumerate(made, 1)})


def _snapshot(dice: random.Random, parents: Sequence[Snapshot]) -> Snapshot:
    before = parents[0] if parents else Snapshot(None, "100644", {})
    what = dice.choice(["same", "same", "other parent", "edit", "edit", "edit", "mode", "broken", "link", "gone"])
    match what:
        case "same":
            return before
        case "other parent":
            # What is served goes by the first parent, also when the file comes from another one.
            other = dice.choice(parents) if parents else before
            return Snapshot(other.text, other.mode, other.served if _is_good(other) else before.served)
        case "mode":
            return (
                Snapshot(before.text, "100755" if before.mode == "100644" else "100644", before.served)
                if _is_good(before)
                else before
            )
        case "broken":
            return Snapshot(dice.choice(BROKEN), "100644", before.served)
        case "link":
            return Snapshot("elsewhere", "120000", before.served)
        case "gone":
            return Snapshot(None, "100644", {})
    entries = {name: entry for name, entry in before.served.items() if dice.random() < 0.8}
    for name in dice.sample(["a", "b", "c/d", "e f"], dice.choice([1, 1, 2])):
        entries[name] = {"x": dice.choice([1, 1.5, True, "1", [1, {"y": 2}], {"k": dice.randrange(3)}])}
    text = "".join(f"{json.dumps(name)}: {json.dumps(entry)}\n" for name, entry in entries.items())
    return Snapshot(f"# {dice.randrange(3)}\n{text}", "100644", entries)


def _is_good(snapshot: Snapshot) -> bool:
    return snapshot.text is None or (snapshot.mode != "120000" and snapshot.text not in BROKEN)


def _data(text: str) -> list[str]:
    return [f"data {len(text.encode())}", text]
