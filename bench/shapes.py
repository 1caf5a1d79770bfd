"""What `reads.py` asks for: the three shapes, as requests, with the answers they have to get."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from common import CREATE_BRANCH, Client, entry, fill, put
from load import NUMBER

PROJECTS, ENTRIES, NAMED = 20, 100, 10
"""How many projects there are, with how many entries each; the names of the first `NAMED` projects are asked for."""
BRANCHES = ("dev", "main", "next")
BUSY = "nightly"
"""The branch that others commit to. It comes last, so that no answer has it."""
SHOWN = 10  # artifacts of each branch in the nested shape

Variables = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """A query, the variables it is asked with in turn, and the data it has to answer for each of them."""

    query: str
    variables: tuple[Variables, ...]
    expected: Callable[[Variables], Any]


def project_name(number: int) -> str:
    """What the projects are called, in the order they are listed in."""
    return f"team/project-{number:02}"


def _entry_of(project: int, place: int, branch: str = "main") -> dict[str, Any]:
    """No two projects have an entry in common; the branches differ in their first one."""
    changed = {"type": branch} if branch != "main" and place == 0 else {}
    return entry(project * ENTRIES + place) | changed


def prepare(port: int) -> None:
    """Make the projects and branches that are asked for, and the one that others commit to."""
    client = Client(port)
    for number in range(PROJECTS):
        name = project_name(number)
        fill(client, name, ENTRIES, first=number * ENTRIES)
        for branch in ("dev", "next", BUSY):
            client.ask(CREATE_BRANCH, project=name, name=branch)
            put(client, name, [_entry_of(number, 0, branch)], branch)
    client.close()


def _artifact(variables: Variables) -> Any:
    found = entry(int(variables["name"].rpartition("-")[2]))
    return {"artifact": {name: found[name] for name in ("name", "dataObjectId", "type")}}


def _page(variables: Variables) -> Any:
    number = int(variables["project"].rpartition("-")[2])
    about = {"object": None, "project": {"name": variables["project"]}}
    nodes = [_entry_of(number, place) | about for place in range(ENTRIES)]
    return {"project": {"branch": {"artifacts": {"nodes": nodes}}}}


def _nested(_variables: Variables) -> Any:
    return {"projects": {"nodes": [{"name": project_name(at), "branches": _branches(at)} for at in range(PROJECTS)]}}


def _branches(project: int) -> Any:
    def artifacts(branch: str) -> Iterator[Any]:
        for place in range(SHOWN):
            found = _entry_of(project, place, branch)
            yield {name: found[name] for name in ("name", "dataObjectId", "type")}

    return {"nodes": [{"name": branch, "artifacts": {"nodes": list(artifacts(branch))}} for branch in BRANCHES]}


SHAPES = {
    "one artifact": Shape(
        "query($project:String!,$name:String!){artifact(project:$project,name:$name){name dataObjectId type}}",
        tuple(
            {"project": project_name(project), "name": _entry_of(project, place)["name"]}
            for place in range(ENTRIES)
            for project in range(NAMED)
        ),
        _artifact,
    ),
    "page of 100": Shape(
        "query($project:String!,$branch:String!){project(name:$project){branch(name:$branch){artifacts(first:100)"
        "{nodes{name dataObjectId type description labels{key value} metadata object{digest} project{name}}}}}}",
        ({"project": project_name(0), "branch": "main"},),
        _page,
    ),
    "nested": Shape(
        "query($first:Int!){projects(first:$first){nodes{name branches(first:3){nodes{name"
        " artifacts(first:10){nodes{name dataObjectId type}}}}}}}",
        ({"first": PROJECTS},),
        _nested,
    ),
}


def posted(shape: Shape, path: str = "/graphql", *, numbered: bool = False, strong: bool = False) -> list[bytes]:
    """The requests of a shape, one for each of its variables.

    A numbered one has a variable besides, never the same twice, which the document does not declare: a server that
    keeps answers by what it was asked computes this one. A strong one takes no answer that was kept.
    """
    return [_post(shape.query, variables, path, numbered=numbered, strong=strong) for variables in shape.variables]


def _post(query: str, variables: Variables, path: str, *, numbered: bool, strong: bool) -> bytes:
    sixteen = int("9" * 16)
    given = {**variables, "number": sixteen} if numbered else variables
    body = json.dumps({"query": query, "variables": given}).encode().replace(b"%d" % sixteen, NUMBER)
    length = len(body) + (15 if numbered else 0)
    extra = "cache-control: no-cache\r\n" if strong else ""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{extra}"
    return f"{head}content-length: {length}\r\n\r\n".encode() + body


def known_already(shape: Shape, port: int) -> bytes:
    """A GET by who has the answer already, and names its tag."""
    parameters = urlencode({"query": shape.query, "variables": json.dumps(shape.variables[0])})
    asking = f"GET /graphql?{parameters} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    client = Client(port)
    head, _ = client.exchange(f"{asking}\r\n".encode())
    client.close()
    (tag,) = (line for line in head.decode().splitlines() if line.startswith("etag: "))
    return f"{asking}if-none-match: {tag.partition(' ')[2]}\r\n\r\n".encode()
