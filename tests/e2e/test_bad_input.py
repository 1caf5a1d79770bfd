"""Whatever is sent: a typed refusal or a 4xx that says what to do, never a 500, and nothing half done."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.api import Work, announce, document
from tests.support.server import Server

LONG = "x" * 300
BAD_PROJECTS = [
    "..",
    "a/../b",
    ".git",
    "",
    LONG,
    "a\x00b",
    "a\nb",
    "\ud800",
    "a b",
    "/a",
    "a/",
    "a//b",
    "x.git",
    "ü",
    "a.",
]
BAD_BRANCHES = [
    *["..", "a/../b", ".git", "", LONG, "a\x00b", "a\nb", "\ud800", "a..b", "a b", "-x", "/a", "a/", "a//b", "x.lock"],
    *["@", "HEAD", "a@{b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "refs/heads/a", "a."],
]
BAD_ARTIFACTS = [
    "..",
    "a/../b",
    ".git",
    "",
    LONG,
    "a\x00b",
    "a\nb",
    "\x1b[31m",
    "\ud800",
    " a",
    "a ",
    "a//b",
    "e\u0301",
]
OID = "0123456789" * 4


@pytest.fixture(autouse=True)
def unharmed(work: Work) -> Iterator[None]:
    """Nothing a test here sends moves a branch or the catalogue, and the server goes on serving."""
    work.put("first", type="m")
    before = snapshot(work)
    yield
    assert snapshot(work) == before
    assert work.names() == ["first"]


def snapshot(work: Work) -> tuple[list[str], dict[str, Any]]:
    """The refs in Git of the project and of the catalogue, its journal aside, and the projects as served."""
    paths = [*sorted(work.repository.glob("refs/heads/**/*")), work.server.data_dir / "catalog.git/refs/heads/main"]
    refs = [path.read_text() for path in paths if path.is_file()]
    return refs, work.server.ask("{ projects(first: 1) { totalCount } }")


def refused(result: dict[str, Any], typename: str = "InvalidInputError") -> dict[str, Any]:
    """The refusal, whose words end a sentence."""
    assert result["__typename"] == typename, result
    assert len(result["message"]) > 20
    return result


def rejected(answer: httpx.Response, status: int, code: str | None = None) -> str:
    """The message of a request that was refused as a whole."""
    assert answer.status_code == status, answer.text
    error = answer.json()["errors"][0]
    if code:
        assert error["extensions"]["code"] == code
    assert len(error["message"]) > 10
    return str(error["message"])


# ── Names ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", BAD_PROJECTS)
def test_a_bad_project_name_is_refused(work: Work, name: str) -> None:
    assert refused(work.mutate("createProject", name=name))["issues"][0]["path"] == ["name"]
    refused(work.mutate("createUploads", project=name, objects=[announce(b"x")]), "NotFoundError")
    assert work.server.ask("query($n: String!) { project(name: $n) { name } }", n=name) == {"project": None}


@pytest.mark.parametrize("name", BAD_BRANCHES)
def test_a_bad_branch_name_is_refused(work: Work, name: str) -> None:
    assert refused(work.mutate("createBranch", project=work.name, name=name))["issues"][0]["path"] == ["name"]
    put = {"put": {"name": "a", "type": "m"}}
    assert work.commit(put, branch=name)["__typename"] in {"NotFoundError", "InvalidInputError"}
    assert work.mutate("deleteBranch", project=work.name, name=name)["__typename"] in {
        "NotFoundError",
        "InvalidInputError",
    }
    refused(work.mutate("createProject", name="work/fine", defaultBranch=name))
    asked = "query($p: String!, $n: String!) { project(name: $p) { branch(name: $n) { name } } }"
    assert work.server.ask(asked, p=work.name, n=name) == {"project": {"branch": None}}


@pytest.mark.parametrize("name", BAD_ARTIFACTS)
def test_a_bad_artifact_name_is_refused(work: Work, name: str) -> None:
    changes: list[dict[str, Any]] = [
        {"put": {"name": name}},
        {"patch": {"name": name, "patch": {}}},
        {"rename": {"name": "first", "to": name}},
        {"delete": name},
    ]
    for change in changes:
        assert refused(work.commit(change))["issues"][0]["path"][:2] == ["changes", "0"]
    assert work.artifact(name) is None


@pytest.mark.parametrize(
    "path", ["../x.yml", "/x.yml", ".git/x.yml", "x", "", "a//b.yml", LONG + ".yml", "a\\b.yml", "\ud800.yml"]
)
def test_a_bad_manifest_path_is_refused(work: Work, path: str) -> None:
    refused(work.mutate("createProject", name="work/fine", manifestPath=path))


def test_two_projects_never_share_a_name_whatever_the_case_of_its_letters(work: Work) -> None:
    refused(work.mutate("createProject", name=work.name), "AlreadyExistsError")
    refused(work.mutate("createProject", name=work.name.upper()), "AlreadyExistsError")


def test_a_project_inside_the_repository_of_another_is_refused(work: Work) -> None:
    refused(work.mutate("createProject", name=f"{work.name}.git/objects"))


@pytest.mark.parametrize("url", ["git@git.example.org:team/models.git", "file:///etc", "not a url", ""])
def test_a_repository_elsewhere_has_a_url_that_git_can_reach(work: Work, url: str) -> None:
    refusal = refused(work.mutate("createProject", name="work/remote", remoteUrl=url))
    assert [issue["path"] for issue in refusal["issues"]] == [["remoteUrl"]]


# ── Values ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("metadata", [[], ["a"], "text", 1, True, {"type": "x"}, {"object": {}}, {"dataObjectId": 1}])
def test_metadata_that_is_not_an_object_of_free_keys_is_refused(work: Work, metadata: Any) -> None:
    path = refused(work.commit({"put": {"name": "a", "metadata": metadata}}))["issues"][0]["path"]
    assert path[:4] == ["changes", "0", "put", "metadata"]


@pytest.mark.parametrize("patch", [[], "text", 1, None, {"object": {"sha256": "0" * 64, "size": 1}}])
def test_a_patch_that_is_not_an_object_is_refused(work: Work, patch: Any) -> None:
    answer = work.server.post(
        document("commitArtifacts"), input=changing(work, {"patch": {"name": "first", "patch": patch}})
    )
    if patch is None:
        rejected(answer, 422, "BAD_USER_INPUT")
    else:
        refused(answer.json()["data"]["commitArtifacts"])


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "x",
        "sha256:",
        "sha256:" + "0" * 63,
        "sha256:" + "A" * 64,
        "md5:" + "0" * 64,
        "0" * 64,
        "sha256:" + "0" * 64 + "\n",
    ],
)
def test_what_is_no_digest_is_refused(work: Work, digest: str) -> None:
    wanted = {"digest": digest, "size": 1}
    assert refused(work.commit({"put": {"name": "a", "object": wanted}}))["issues"][0]["path"][-1] == "digest"
    refused(work.mutate("createUploads", project=work.name, objects=[wanted]))


@pytest.mark.parametrize("size", [-1, "-1", 2**62, str(2**63), str(10**18), 10**30])
def test_a_size_that_no_file_has_is_refused(work: Work, size: Any) -> None:
    wanted = {"digest": "sha256:" + "0" * 64, "size": size}
    assert refused(work.commit({"put": {"name": "a", "object": wanted}}))["issues"][0]["path"][-1] == "size"
    refused(work.mutate("createUploads", project=work.name, objects=[wanted]))


@pytest.mark.parametrize("size", [1.5, "1.5", "", "ten", "9" * 30, True, None, [], {}])
def test_a_size_that_is_no_number_is_refused_before_anything_runs(work: Work, size: Any) -> None:
    wanted = {"digest": "sha256:" + "0" * 64, "size": size}
    rejected(
        work.server.post(document("createUploads"), input={"project": work.name, "objects": [wanted]}),
        422,
        "BAD_USER_INPUT",
    )


@pytest.mark.parametrize(
    "members",
    [
        {"message": ""},
        {"message": "x" * 20_000},
        {"message": "a\x00b"},
        {"message": "\ud800"},
        {"message": "fine\n\nRegistry-Actor: Mallory <m@example.org>"},
        {"baseCommit": "main"},
        {"baseCommit": "abc"},
        {"idempotencyKey": ""},
        {"idempotencyKey": "a\nRegistry-Input: x"},
        {"idempotencyKey": LONG},
        {"idempotencyKey": "\ud800"},
        {"author": {"name": "A\nB", "email": "a@example.org"}},
        {"author": {"name": "A <b>", "email": "a@example.org"}},
        {"author": {"name": "", "email": ""}},
        {"author": {"name": "\ud800", "email": "a@example.org"}},
    ],
)
def test_a_bad_part_of_a_commit_is_refused_by_its_name(work: Work, members: dict[str, Any]) -> None:
    refusal = refused(work.commit({"put": {"name": "a", "type": "m"}}, **members))
    assert refusal["issues"][0]["path"][0] == next(iter(members))


@pytest.mark.parametrize(
    "members",
    [
        {"type": "\ud800"},
        {"dataObjectId": ""},
        {"description": "\ud800"},
        {"labels": [{"key": ""}]},
        {"labels": [{"key": "\ud800"}]},
        {"metadata": {"a": "\ud800"}},
        {"metadata": {"\ud800": 1}},
        {"metadata": {"a": 10**4000}},
        {"object": {"digest": "sha256:" + "0" * 64, "size": 1, "contentType": "text"}},
        {"object": {"digest": "sha256:" + "0" * 64, "size": 1, "contentType": "text/html\r\nX: y"}},
        {"object": {"digest": "sha256:" + "0" * 64, "size": 1, "filename": "../etc/passwd"}},
        {"object": {"digest": "sha256:" + "0" * 64, "size": 1, "filename": "a\r\nb"}},
        {"object": {"digest": "sha256:" + "0" * 64, "size": 1, "filename": "\ud800"}},
    ],
)
def test_a_bad_part_of_an_entry_is_refused_in_its_place(work: Work, members: dict[str, Any]) -> None:
    answer = work.server.post(document("commitArtifacts"), input=changing(work, {"put": {"name": "a", **members}}))
    if "data" in answer.json():
        assert refused(answer.json()["data"]["commitArtifacts"])["issues"][0]["path"][:3] == ["changes", "0", "put"]
    else:
        rejected(answer, 400, "BAD_REQUEST")  # a number of 4000 digits is refused as JSON already


def test_more_changes_than_a_commit_takes_are_refused(work: Work) -> None:
    refusal = refused(work.commit(*({"put": {"name": f"e-{number}"}} for number in range(101))))
    assert "100" in refusal["message"]
    refused(work.commit())
    refused(work.mutate("createUploads", project=work.name, objects=[]))
    refused(work.mutate("createUploads", project=work.name, objects=[announce(b"x")] * 101))


def test_changes_that_stumble_over_each_other_are_refused_whole(work: Work) -> None:
    refused_by = work.commit({"put": {"name": "second"}}, {"rename": {"name": "first", "to": "second"}})
    assert refused_by["__typename"] in {"InvalidInputError", "AlreadyExistsError", "ConflictError"}, refused_by
    missing = work.commit({"put": {"name": "second"}}, {"delete": "nothing"})
    assert missing["__typename"] in {"NotFoundError", "InvalidInputError"}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"put": {"name": "a"}, "delete": "first"},
        {"put": None},
        {"put": {"name": "a", "nonsense": 1}},
        {"delete": None},
    ],
)
def test_a_change_that_is_not_exactly_one_act_is_refused(work: Work, change: dict[str, Any]) -> None:
    rejected(work.server.post(document("commitArtifacts"), input=changing(work, change)), 422, "BAD_USER_INPUT")


@pytest.mark.parametrize("first", [101, -1, 2**31 - 1])
def test_a_page_that_is_too_large_is_refused(work: Work, first: int) -> None:
    for asked in ("projects(first: $n)", "artifacts(first: $n)"):
        answer = work.server.post(f"query($n: Int!) {{ {asked} {{ nodes {{ name }} }} }}", n=first)
        assert answer.status_code < 500
        assert answer.json()["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


@pytest.mark.parametrize(
    "revision",
    [
        "",
        "..",
        "nothing",
        "main~-1",
        "main~99999999999999999999",
        "main^2",
        "main:artifacts.yml",
        "-x",
        OID,
        "abc",
        "\ud800",
        "a\x00b",
        LONG,
        "refs/heads/../x",
        "main@{1}",
        ":/x",
    ],
)
def test_a_revision_that_names_nothing_is_null_or_not_found_and_never_a_fault(work: Work, revision: str) -> None:
    asked = """query($p: String!, $r: GitRevision!) {
      project(name: $p) { commit(at: $r) { oid } comparison(base: $r, head: $r) { head { oid } } }
      artifact(project: $p, name: "first", at: $r) { name } }"""
    answer = work.server.post(asked, p=work.name, r=revision)
    assert answer.status_code in {200, 294}, answer.text
    for error in answer.json().get("errors", []):
        assert error["extensions"]["code"] in {"INVALID_INPUT", "NOT_FOUND"}
    result = work.mutate("createBranch", project=work.name, name="from-nothing", **{"from": revision})
    assert result["__typename"] in {"NotFoundError", "InvalidInputError"}
    result = work.mutate("restoreArtifact", project=work.name, name="first", **{"from": revision})
    assert result["__typename"] in {"NotFoundError", "InvalidInputError"}


@pytest.mark.parametrize("oid", ["", "main", "abc", OID, OID.upper(), "\ud800"])
def test_an_expected_head_that_is_another_deletes_nothing(work: Work, oid: str) -> None:
    result = work.mutate("deleteBranch", project=work.name, name="main", expectedHead=oid)
    assert result["__typename"] in {"InvalidInputError", "ConflictError", "NotFoundError"}


@pytest.mark.parametrize("identifier", ["", "x", "UHJvamVjdDox", "A" * 5000, "\ud800", "ü"])
def test_an_id_that_names_nothing_is_null(work: Work, identifier: str) -> None:
    assert work.server.ask("query($i: ID!) { node(id: $i) { id } }", i=identifier) == {"node": None}
    assert work.server.ask("query($i: ID!) { dataObject(id: $i) { id } }", i=identifier) == {"dataObject": None}


@pytest.mark.parametrize(
    "filters",
    [
        {"metadata": [{"path": ""}]},
        {"metadata": [{"path": "/~9"}]},
        {"metadata": [{"path": "a", "in": []}]},
        {"name": "[" * 500},
        {"name": "*" * 500 + "x"},
        {"text": ""},
        {"project": "\ud800"},
    ],
)
def test_an_odd_filter_is_answered_or_refused_quickly(work: Work, filters: dict[str, Any]) -> None:
    asked = "query($f: ArtifactFilter) { artifacts(filter: $f) { nodes { name } } }"
    answer = httpx.post(
        f"{work.server.url}/graphql",
        content=json.dumps({"query": asked, "variables": {"f": filters}}),
        headers={"content-type": "application/json"},
        timeout=2,
        trust_env=False,
    )
    assert answer.status_code < 500
    for error in answer.json().get("errors", []):
        assert error["extensions"]["code"] == "INVALID_INPUT"


def test_an_unknown_value_of_an_enum_is_refused_with_those_there_are(work: Work) -> None:
    message = rejected(
        work.server.post(
            document("commitArtifacts"), input={**changing(work, {"delete": "first"}), "pending": "MAYBE"}
        ),
        422,
    )
    assert "PendingPolicy" in message


def changing(work: Work, *changes: dict[str, Any]) -> dict[str, Any]:
    """The input of a commit."""
    return {"project": work.name, "changes": list(changes)}


# ── Requests ─────────────────────────────────────────────────────────────────────────────────


def raw(server: Server, content: bytes, **headers: str) -> httpx.Response:
    """A POST of any body at all."""
    given = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return server.client.post("/graphql", content=content, headers=given)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"{",
        b"{}",
        b'{"query": 1}',
        b'{"query": "{a}", "variables": []}',
        b'[{"query": "{a}"}]',
        b"\xff\xfe",
        b'{"query": "\xc3\x28"}',
        b'{"query": "{ __typename }"}x',
        b'{"query": "", "x": NaN}',
        b'{"query": "", "x": 1e999}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"query": "{a}", "x": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_request_is_a_400(work: Work, body: bytes) -> None:
    rejected(raw(work.server, body), 400)


def test_a_body_over_a_mebibyte_is_a_413(work: Work) -> None:
    rejected(raw(work.server, b" " * (1024 * 1024 + 1)), 413, "PAYLOAD_TOO_LARGE")
    rejected(
        work.server.client.post(
            "/graphql", content=iter([b" " * 65536] * 20), headers={"content-type": "application/json"}
        ),
        413,
    )


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 1000 + b"]" * 1000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b"9" * 4301,
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"-1e999",
    ],
)
def test_metadata_that_json_or_yaml_cannot_hold_is_refused(work: Work, value: bytes) -> None:
    variables = b'{"input": {"project": "%s", "changes": [{"put": {"name": "a", "metadata": {"v": %s}}}]}}' % (
        work.name.encode(),
        value,
    )
    body = b'{"query": %s, "variables": %s}' % (json.dumps(document("commitArtifacts")).encode(), variables)
    rejected(raw(work.server, body), 400, "BAD_REQUEST")


@pytest.mark.parametrize("value", ["1e999", "-1e999", "9" * 5000, "[" * 500 + "]" * 500, "{a:" * 40 + "1" + "}" * 40])
def test_the_same_written_into_the_document_is_refused_too(work: Work, value: str) -> None:
    put = f'{{name: "a", metadata: {{v: {value}}}}}'
    given = f'{{project: "{work.name}", changes: [{{put: {put}}}]}}'
    query = f"mutation {{ commitArtifacts(input: {given}) {{ __typename ... on Error {{ code message }} }} }}"
    answer = work.server.post(query)
    assert answer.status_code < 500, answer.text
    result = answer.json()
    if "errors" in result:
        assert result["errors"][0]["extensions"]["code"] != "INTERNAL", result
    else:
        refused(result["data"]["commitArtifacts"])


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/graphql",
        "application/json; charset=latin-1",
        "application/jsonp",
        "",
    ],
)
def test_a_body_in_another_media_type_is_a_415(work: Work, media_type: str) -> None:
    body = json.dumps(
        {"query": document("commitArtifacts"), "variables": {"input": changing(work, {"delete": "first"})}}
    )
    rejected(raw(work.server, body.encode(), content_type=media_type), 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_mutation_by_get_is_refused(work: Work) -> None:
    parameters = {
        "query": document("commitArtifacts"),
        "variables": json.dumps({"input": changing(work, {"delete": "first"})}),
    }
    rejected(work.server.client.get("/graphql", params=parameters), 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1:1", "file://"]
)
def test_a_foreign_origin_is_refused(work: Work, origin: str) -> None:
    body = json.dumps(
        {"query": document("commitArtifacts"), "variables": {"input": changing(work, {"delete": "first"})}}
    )
    rejected(raw(work.server, body.encode(), origin=origin), 403, "FORBIDDEN")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]", "localhost.evil.example:80", "user@127.0.0.1"]
)
def test_a_foreign_host_is_refused(work: Work, host: str) -> None:
    for path in ("/graphql?query={__typename}", "/", "/readyz"):
        answer = work.server.client.get(path, headers={"host": host})
        assert answer.status_code in {400, 403}, answer.text


def test_a_page_elsewhere_cannot_open_a_socket(work: Work) -> None:
    address = urlsplit(work.server.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        lines = [
            "GET /graphql HTTP/1.1",
            f"Host: {address.netloc}",
            "Origin: https://evil.example",
            "Upgrade: websocket",
            "Connection: Upgrade",
        ]
        lines += [
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
            "Sec-WebSocket-Protocol: graphql-transport-ws",
            "",
            "",
        ]
        connection.sendall("\r\n".join(lines).encode())
        assert b" 403 " in connection.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/graphql/",
        "/objects",
        "/objects/x",
        "/objects/../secret",
        "/explorer/..%2f..%2fsecret",
        "/%00",
        "/objects/a%00b/" + "0" * 64,
        "/objects/work/" + "0" * 64 + "?type=a&expires=1&signature=%FF",
        "/objects/work/xyz?type=a&expires=1&signature=0",
        "/objects/%ff/" + "0" * 64,
    ],
)
def test_a_path_that_leads_nowhere_is_a_4xx(work: Work, path: str) -> None:
    for method in ("GET", "PUT", "POST", "DELETE"):
        answer = work.server.client.request(method, path)
        assert 400 <= answer.status_code < 500 or answer.is_redirect, f"{method} {path}: {answer.status_code}"
