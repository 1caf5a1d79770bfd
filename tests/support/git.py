"""The stock git client, as a person uses it."""

import os
import subprocess
from pathlib import Path

PERSON = {
    "GIT_AUTHOR_NAME": "Grace",
    "GIT_AUTHOR_EMAIL": "grace@example.org",
    "GIT_COMMITTER_NAME": "Grace",
    "GIT_COMMITTER_EMAIL": "grace@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
}


def git(*words: str | Path, at: Path | None = None) -> str:
    """What a git command prints; an error when it fails."""
    command = ["git", *(("-C", str(at)) if at else ()), *map(str, words)]
    done = subprocess.run(command, env={**os.environ, **PERSON}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.strip()


def clone(repository: Path, to: Path) -> Path:
    """A work tree of a repository."""
    git("clone", "--quiet", repository, to)
    return to


def push_file(work_tree: Path, path: str, content: bytes, message: str = "By hand", branch: str = "main") -> str:
    """Commit a file as a person and push it; answers the commit's id."""
    (work_tree / path).write_bytes(content)
    git("add", path, at=work_tree)
    git("commit", "--quiet", "-m", message, at=work_tree)
    git("push", "--quiet", "origin", f"HEAD:{branch}", at=work_tree)
    return git("rev-parse", "HEAD", at=work_tree)
