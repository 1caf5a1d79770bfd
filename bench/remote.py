"""Commits a second through a Git host on loopback: a person's git that pushes one by one, and writers of the registry.

The host is the stock `git http-backend`. All take turns in one run; at the end every commit that was acknowledged has
to be at the host, once.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from commits import Run, Writer, measure, report, together, verify
from common import ROOT, Client, arguments, entry_name, ratio, registry

sys.path.insert(0, str(ROOT))

from tests.support.githttp import bare

WANTED = 10.0  # times the pusher
WARM_UP = 1.0  # seconds
PERSON = {
    f"GIT_{role}_{part}": f"grace{at}"
    for role in ("AUTHOR", "COMMITTER")
    for part, at in (("NAME", ""), ("EMAIL", "@example.org"))
}
CREATE = """mutation($name: String!, $url: URL!) {
  createProject(input: {name: $name, remoteUrl: $url}) { __typename ... on Error { message } } }"""


HOST = """
import sys
from pathlib import Path
from tests.support.githttp import GitHttp
print(GitHttp(Path(sys.argv[1])).base, flush=True)
sys.stdin.read()
"""


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The host in a process of its own, as it is at home, for the time of a block: its address."""
    with subprocess.Popen(
        [sys.executable, "-c", HOST, root],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()


class Pusher:
    """A person's work tree: change an entry, commit, push, and begin again."""

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder
        self._git("clone", "--quiet", url, str(folder), at=folder.parent)
        self._made = 0

    def run(self, seconds: float) -> list[float]:
        """Push for a while: how long each took."""
        taken, end = [], time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            self._made += 1
            path = self._folder / "artifacts.yml"
            path.write_text(path.read_text().replace("revision: 0\n", f"revision: {self._made}\n", 1))
            with path.open("a") as file:
                file.write(f"# {self._made}\n")
            self._git("commit", "--quiet", "--all", "--message", "Update an entry", at=self._folder)
            self._git("push", "--quiet", "origin", "HEAD:main", at=self._folder)
            taken.append(time.perf_counter() - started)
        return taken

    def _git(self, *words: str, at: Path) -> None:
        settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **PERSON}
        subprocess.run(["git", *words], cwd=at, env={**os.environ, **settings}, check=True, capture_output=True)


def manifest(entries: int) -> str:
    """What the projects begin with."""
    return "".join(f"{entry_name(number)}:\n  type: dataset\n  revision: 0\n" for number in range(entries))


def begin(path: Path, text: str) -> None:
    """A first commit in an empty repository, as another host would have it."""
    env = {**os.environ, **PERSON}

    def git(*words: str, given: str = "") -> str:
        done = subprocess.run(
            ["git", "-C", path, *words], input=given, env=env, text=True, capture_output=True, check=True
        )
        return done.stdout.strip()

    blob = git("hash-object", "-w", "--stdin", given=text)
    tree = git("mktree", given=f"100644 blob {blob}\tartifacts.yml\n")
    git("update-ref", "refs/heads/main", git("commit-tree", tree, "-m", "Begin"))


def main() -> None:
    asked = arguments(__doc__ or "", seconds=2.0, rounds=6, entries=64, writers=32)
    with tempfile.TemporaryDirectory(prefix="bench-") as made, serving(Path(made)) as host:
        folder = Path(made)
        paths = {name: bare(folder, name) for name in ("pushed", "alone", "crowded")}
        for path in paths.values():
            begin(path, manifest(asked.entries))
        with registry(folder) as (port, _):
            setup = Client(port)
            for name in ("alone", "crowded"):
                done = setup.ask(CREATE, name=name, url=f"{host}/{name}.git")["createProject"]
                assert done["__typename"] == "CreateProjectSuccess", done
            setup.close()
            pusher = Pusher(f"{host}/pushed.git", folder / "tree")
            one = Writer(port, "alone", range(asked.entries))
            many = [Writer(port, "crowded", range(at, asked.entries, asked.writers)) for at in range(asked.writers)]
            with ThreadPoolExecutor(len(many)) as pool:
                runs: dict[str, Run] = {
                    "git push, one by one": pusher.run,
                    "one writer": one.run,
                    f"{len(many)} writers, one branch": lambda seconds: together(pool, many, seconds),
                }
                series = measure(runs, asked.rounds, asked.seconds, WARM_UP)
            checked = {"alone": verify(paths["alone"], 1, [one]), "crowded": verify(paths["crowded"], 1, many)}
            for each in (one, *many):
                each.close()
    pushed, single, crowd = (each.rates for each in series.values())
    ratios = {
        "one writer / git push": ratio(single, pushed),
        "together / git push": {**ratio(crowd, pushed), "wanted": WANTED},
    }
    report(series, ratios, checked, "at the host", as_json=asked.json)


if __name__ == "__main__":
    main()
