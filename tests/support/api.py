"""A project of a test's own on a running server, changed and read as an outside client would."""

import hashlib
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.support.git import git
from tests.support.server import Server

T = TypeVar("T")
REFUSALS = """__typename
  ... on InvalidInputError { issues { path message } }
  ... on NotFoundError { subject name }
  ... on AlreadyExistsError { subject name }
  ... on ConflictError { head changes { name kind fields { path before after } } }
  ... on ManifestBrokenError { problems { code line column message } }
  ... on MissingObjectsError { digests }
  ... on DigestMismatchError { expected actual }
  ... on RemoteRejectedError { reason }
  ... on Error { code message }"""
UPLOAD = "id digest size state expiresAt parts { number offset size method url headers { name value } }"
OBJECT = "digest size contentType filename state download { url headers { name value } expiresAt }"
SUCCESSES = {
    "createProject": "... on CreateProjectSuccess { project { name remoteUrl manifestPath } }",
    "createBranch": "... on CreateBranchSuccess { branch { name head { oid } } }",
    "deleteBranch": "... on DeleteBranchSuccess { head }",
    "commitArtifacts": f"""... on CommitArtifactsSuccess {{
      changed commit {{ oid headline }} branch {{ head {{ oid }} }}
      artifacts {{ name entry object {{ {OBJECT} }} }} uploads {{ {UPLOAD} }} }}""",
    "restoreArtifact": "... on CommitArtifactsSuccess { changed commit { oid headline } artifacts { name entry } }",
    "createUploads": f"... on CreateUploadsSuccess {{ uploads {{ {UPLOAD} }} }}",
    "completeUpload": f"""... on CompleteUploadSuccess {{
      upload {{ state }} object {{ {OBJECT} }} artifacts {{ name }} }}""",
    "syncProject": "... on SyncProjectSuccess { project { sync { state } } }",
}


def document(field: str) -> str:
    """The mutation of that name, asking for everything a test may look at."""
    kind = "CommitArtifacts" if field == "commitArtifacts" else field[0].upper() + field[1:]
    # `code` and `message` clash with nothing: every refusal has them, no success does.
    refusals = "\n".join(line for line in REFUSALS.splitlines() if _possible(field, line))
    return f"mutation($input: {kind}Input!) {{ {field}(input: $input) {{ {refusals} {SUCCESSES[field]} }} }}"


_REFUSALS_OF = {
    "createProject": {"AlreadyExists", "InvalidInput"},
    "createBranch": {"NotFound", "AlreadyExists", "InvalidInput", "RemoteRejected"},
    "deleteBranch": {"NotFound", "Conflict", "InvalidInput", "RemoteRejected"},
    "commitArtifacts": {"NotFound", "Conflict", "ManifestBroken", "MissingObjects", "InvalidInput", "RemoteRejected"},
    "restoreArtifact": {"NotFound", "Conflict", "ManifestBroken", "MissingObjects", "InvalidInput"},
    "createUploads": {"NotFound", "InvalidInput"},
    "completeUpload": {"NotFound", "MissingObjects", "DigestMismatch", "InvalidInput", "ManifestBroken"},
    "syncProject": {"NotFound"},
}


def _possible(field: str, line: str) -> bool:
    words = line.split()
    if words[0] != "..." or words[2] == "Error":
        return True
    return words[2].removesuffix("Error") in _REFUSALS_OF[field]


@dataclass(frozen=True)
class Work:
    """A project of a test's own."""

    server: Server
    name: str

    @property
    def repository(self) -> Path:
        """Its bare repository."""
        return self.server.git(self.name)

    def mutate(self, field: str, **members: Any) -> dict[str, Any]:
        """The result of a mutation, success or refusal; never an error outside of it."""
        result: dict[str, Any] = self.server.ask(document(field), input=members)[field]
        return result

    def commit(self, *changes: dict[str, Any], **members: Any) -> dict[str, Any]:
        """The result of commitArtifacts here."""
        return self.mutate("commitArtifacts", project=self.name, changes=list(changes), **members)

    def put(self, name: str, **members: Any) -> str:
        """Put an entry; answers the commit's id."""
        branch = {"branch": members.pop("branch")} if "branch" in members else {}
        done = self.commit({"put": {"name": name, **members}}, **branch)
        assert done["__typename"] == "CommitArtifactsSuccess", done
        oid: str = done["commit"]["oid"]
        return oid

    def head(self, branch: str = "main") -> str:
        """What Git says the branch is at."""
        return git("rev-parse", f"refs/heads/{branch}", at=self.repository)

    def text(self, branch: str = "main") -> str:
        """The manifest as Git has it, without the last line end."""
        return git("show", f"{branch}:artifacts.yml", at=self.repository)

    def raw(self, branch: str = "main") -> bytes:
        """The manifest as Git has it, byte for byte."""
        command = ["git", "-C", str(self.repository), "show", f"{branch}:artifacts.yml"]
        return subprocess.run(command, capture_output=True, check=True).stdout

    def names(self, branch: str = "main") -> list[str]:
        """The artifacts the API serves."""
        asked = "query($p: String!, $b: String!) { project(name: $p) { branch(name: $b) { artifacts(first: 100) "
        data = self.server.ask(asked + "{ nodes { name } } } } }", p=self.name, b=branch)
        return [node["name"] for node in data["project"]["branch"]["artifacts"]["nodes"]]

    def artifact(self, name: str, branch: str | None = None) -> dict[str, Any] | None:
        """One artifact as the API serves it."""
        asked = "query($p: String!, $n: String!, $b: String) { artifact(project: $p, name: $n, branch: $b) "
        query = asked + f"{{ name dataObjectId metadata entry commit {{ oid }} object {{ {OBJECT} }} }} }}"
        found: dict[str, Any] | None = self.server.ask(query, p=self.name, n=name, b=branch)["artifact"]
        return found


def new_project(server: Server, name: str | None = None, **members: Any) -> Work:
    """A project nobody else uses; `members` are more of its input."""
    work = Work(server, name or f"work/{secrets.token_hex(6)}")
    made = work.mutate("createProject", name=work.name, **members)
    assert made["__typename"] == "CreateProjectSuccess", made
    return work


def digest_of(content: bytes) -> str:
    """The digest of some bytes as the API writes it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def announce(content: bytes, **members: Any) -> dict[str, Any]:
    """Bytes as an ObjectInput."""
    return {"digest": digest_of(content), "size": str(len(content)), **members}


def send(upload: dict[str, Any], content: bytes, **headers: str) -> httpx.Response:
    """PUT the single part of an upload as its request says, `headers` replacing those it names."""
    (part,) = upload["parts"]
    assert part["method"] == "PUT"
    given = {header["name"]: header["value"] for header in part["headers"]} | headers
    return httpx.put(part["url"], headers=given, content=content, trust_env=False, timeout=30)


def eventually(answer: Callable[[], T], seconds: float = 20) -> T:
    """The first true answer; an AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := answer()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.02)
    return found
