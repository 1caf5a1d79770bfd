"""Documents that ask for too much, or for what there is not."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.support.hostile.day import JSON, Hostile, Target, hostile

PARSE, INVALID, LIMIT = "400 GRAPHQL_PARSE_FAILED", "422 GRAPHQL_VALIDATION_FAILED", "422 QUERY_LIMIT_EXCEEDED"
INPUT, MALFORMED, LARGE = "422 BAD_USER_INPUT", "400 BAD_REQUEST", "413 PAYLOAD_TOO_LARGE"
BAD_PAGE = "200 INVALID_INPUT"
UNNAMED = "422 OPERATION_NOT_FOUND"


def chain(levels: int, spreads: int) -> str:
    """Fragments that each spread the next several times: `spreads ** levels` fields."""
    parts = [f"fragment f{n} on Query {{ {f'...f{n + 1} ' * spreads} }}" for n in range(levels)]
    return f"{{ ...f0 }} {' '.join(parts)} fragment f{levels} on Query {{ __typename }}"


def nested(levels: int) -> str:
    """Projects of branches of projects …"""
    return "{ projects { nodes " + "{ defaultBranch { project " * levels + "{ name }" + " } }" * levels + " } }"


def aliased(count: int) -> str:
    return "{ " + " ".join(f"a{n}: __typename" for n in range(count)) + " }"


def literal(value: str) -> str:
    """A filter whose JSON value is written into the document."""
    return f'{{ artifacts(filter: {{metadata: [{{path: "a", eq: {value}}}]}}) {{ nodes {{ name }} }} }}'


INTROSPECTION = "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }"
DOCUMENTS: list[tuple[str, str, str]] = [
    ("fragment bomb of 60 levels", chain(60, 2), LIMIT),
    ("fragment bomb of 20 levels, ten wide", chain(20, 10), LIMIT),
    ("fragment chain of 300 levels", chain(300, 1), PARSE),
    ("fragment that spreads itself", "{ ...a } fragment a on Query { ...a }", INVALID),
    ("fragments in a circle", "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }", INVALID),
    ("circle of 200 fragments", "{ ...f0 } " + " ".join(f"fragment f{n} on Query {{ ...f{(n + 1) % 200} }}" for n in range(200)), LIMIT),
    ("circle nobody spreads", "{ __typename } fragment a on Query { ...a }", INVALID),
    ("fragment nobody has", "{ ...nowhere }", INVALID),
    ("two fragments of one name", "{ ...a } fragment a on Query { __typename } fragment a on Query { __typename }", INVALID),
    ("inline fragments nested 500 deep", "{ " + "... { " * 500 + "__typename" + " }" * 500 + " }", PARSE),
    ("inline fragments nested 900 deep", "{" + "...{" * 495 + "a" + "}" * 495 + "}", PARSE),
    ("selections nested 200 deep", nested(100), PARSE),
    ("selections nested 16 deep", nested(8), LIMIT),
    ("braces nested 900 deep", "{a" * 900 + "}" * 900, PARSE),
    ("braces that never close", "{a" * 300, PARSE),
    ("10 000 aliases", aliased(10_000), LIMIT),
    ("300 aliases", aliased(300), LIMIT),
    ("21 root fields", "{ " + "__typename " * 21 + "}", LIMIT),
    ("500 times the same field", "{ registry { " + "version " * 501 + "} }", LIMIT),
    ("60 directives", "{ __typename " + "@include(if: true) " * 60 + "}", LIMIT),
    ("1 900 unknown directives", "{ __typename " + "@a " * 900 + "}", LIMIT),
    ("unknown directive", "{ __typename @nowhere }", INVALID),
    ("directive twice", "{ __typename @skip(if: false) @skip(if: false) }", INVALID),
    ("pages that multiply", "{ projects(first: 100) { nodes { branches(first: 100) { nodes { artifacts(first: 100) { nodes { name } } } } } } }", LIMIT),
    ("a page as large as an integer", "{ projects(first: 2147483647) { nodes { name } } }", BAD_PAGE),
    ("a page below nothing", "{ projects(first: -1) { nodes { name } } }", BAD_PAGE),
    ("a page of 99 digits", "{ projects(first: " + "9" * 99 + ") { nodes { name } } }", INVALID),
    ("an integer of 100 000 digits", literal("9" * 100_000), LIMIT),
    ("a float of 100 000 digits", literal("1." + "9" * 100_000), LIMIT),
    ("a float beyond all floats", literal("1e999999"), "200"),
    ("a list literal 300 deep", literal("[" * 300 + "]" * 300), PARSE),
    ("a list literal 900 deep", literal("[" * 900 + "]" * 900), PARSE),
    ("an object literal 200 deep", literal("{a:" * 200 + "1" + "}" * 200), PARSE),
    ("a list literal of 1 900 items", literal("[" + "1," * 1900 + "]"), "200"),
    ("an object with one key twice", literal("{a: 1, a: 2}"), INVALID),
    ("introspection in circles", INTROSPECTION, INVALID),
    ("introspection of types 40 deep", "{ __schema { types { " + "ofType { " * 40 + "name" + " }" * 40 + " } } }", "200"),
    ("__type twenty times with fields of fields", "{ " + " ".join(f'a{n}: __type(name: "Query") {{ fields {{ type {{ fields {{ name }} }} }} }}' for n in range(20)) + " }", "200"),
    ("1 MiB of commas", "," * (1 << 20), LARGE),
    ("a million commas", "," * 1_000_000, LIMIT),
    ("a million line ends", "\n" * 500_000, LIMIT),
    ("a comment of 900 000 characters", "{ __typename } #" + "x" * 900_000, LIMIT),
    ("a million spaces", "{" + " " * 1_000_000 + "__typename }", LIMIT),
    ("a name of 900 000 letters", "{ " + "a" * 900_000 + " }", LIMIT),
    ("a string of 900 000 characters", '{ project(name: "' + "a" * 900_000 + '") { name } }', LIMIT),
    ("a block string of 400 000 lines", '{ project(name: """' + "\n" * 400_000 + '""") { name } }', LIMIT),
    ("a string that never ends", '{ project(name: "' + "a" * 1000, PARSE),
    ("quotes without an end", '"' * 999, PARSE),
    ("escapes that mean nothing", '{ project(name: "\\q\\uD800\\u{110000}") { name } }', PARSE),
    ("half a surrogate pair", '{ project(name: "\ud800") { name } }', PARSE),
    ("NUL", "{ \0 }", PARSE),
    ("letters that look like others", "{ __typen\u0430me }", PARSE),
    ("right to left", "{ \u202e__typename }", PARSE),
    ("byte order marks", "\ufeff" * 1000 + "{ __typename }", "200"),
    ("an emoji for a field", "{ \U0001f4a3 }", PARSE),
    ("nothing", "", PARSE),
    ("a comment alone", "# nothing", PARSE),
    ("two operations without a name", "{ __typename } { __typename }", INVALID),
    ("500 operations", " ".join(f"query q{n} {{ __typename }}" for n in range(300)), UNNAMED),
    ("a fragment alone", "fragment a on Query { __typename }", INVALID),
    ("a type definition", "type A { a: Int }", INVALID),
    ("a subscription without a stream", "subscription { events { cursor } }", "406 NOT_ACCEPTABLE"),
    ("two subscriptions in one", "subscription { events { cursor } b: events { cursor } }", INVALID),
    ("a subscription to __typename", "subscription { __typename }", INVALID),
    ("a mutation nobody has", "mutation { dropEverything }", INVALID),
    ("a field nobody has", "{ password }", INVALID),
    ("11 wrong fields", "{ " + " ".join(f"wrong{n}" for n in range(11)) + " }", INVALID),
    ("400 wrong fields of near names", "{ registry { " + " ".join(f"versio{n}" for n in range(400)) + " } }", LIMIT),
    ("fields that cannot be merged", "{ " + " ".join('a: project(name: "x") { name } a: registry { version }' for _ in range(10)) + " }", INVALID),
    ("variables nobody declared", "{ project(name: $n) { name } }", INVALID),
    ("600 variables", "query q(" + " ".join(f"$v{n}: Int" for n in range(600)) + ") { __typename }", PARSE),
    ("400 variables nobody uses", "query q(" + " ".join(f"$v{n}: Int" for n in range(400)) + ") { __typename }", INVALID),
    ("a default that is another variable", "query q($a: String = $b) { project(name: $a) { name } }", PARSE),
    ("a list type 400 deep", "query q($a: " + "[" * 400 + "Int" + "]" * 400 + ") { __typename }", PARSE),
]  # fmt: skip


def inputs() -> Iterator[Hostile]:
    """All of them."""
    for name, text, expected in DOCUMENTS:
        yield hostile(f"document: {name}", lambda target, text=text: target.ask(text), expected)
    for name, variables, expected in VARIABLES:
        yield hostile(f"variables: {name}", lambda target, given=variables: target.ask(ASKED, given), expected)
    for name, body, expected in BODIES:
        yield hostile(f"body: {name}", lambda target, body=body: post(target, body), expected)
    yield hostile(
        "persisted document: a hash that is another's", poison, "400 BAD_REQUEST then 200 PERSISTED_QUERY_NOT_FOUND"
    )
    yield hostile(
        "persisted document: an invalid one is not kept",
        invalid_poison,
        f"{INVALID} then 200 PERSISTED_QUERY_NOT_FOUND",
    )
    yield hostile("persisted document: more than are kept", crowd, "200 then 200")
    yield hostile(
        "persisted document: a hash that is a path",
        lambda target: target.ask("", extensions={"persistedQuery": {"version": 1, "sha256Hash": "../" * 20}}),
        MALFORMED,
    )


ASKED = "query q($n: String!, $f: ArtifactFilter) { project(name: $n) { name } artifacts(filter: $f, first: 1) { totalCount } }"
VARIABLES: list[tuple[str, Any, str]] = [
    ("none of those it needs", {}, INPUT),
    ("a list for a string", {"n": ["x"] * 1000}, INPUT),
    ("an object for a string", {"n": {"__proto__": {"x": 1}}}, INPUT),
    ("an integer of 4 000 digits for a string", {"n": 10**4000}, INPUT),
    ("unknown members by the thousand", {"n": "x", "f": {f"a{n}": 1 for n in range(1000)}}, INPUT),
    ("a filter nested 60 deep", {"n": "x", "f": json.loads('{"a":' * 60 + "1" + "}" * 60)}, INPUT),
    ("__proto__", {"n": "x", "__proto__": {}, "constructor": 1}, "200"),
    ("half a surrogate pair", {"n": "\ud800"}, "200"),
    ("NUL", {"n": "a\0b"}, "200"),
    ("a pattern of 200 stars", {"n": "x", "f": {"name": "*a" * 100 + "b"}}, "200"),
    ("10 000 conditions", {"n": "x", "f": {"metadata": [{"path": "a", "exists": True}] * 10_000}}, LIMIT),
    ("a path of 100 000 dots", {"n": "x", "f": {"metadata": [{"path": "." * 100_000, "exists": True}]}}, BAD_PAGE),
    ("a text of 500 000 characters", {"n": "x", "f": {"text": "a b " * 125_000}}, "200"),
]
BODIES: list[tuple[str, bytes, str]] = [
    ("nothing", b"", MALFORMED),
    ("a list of requests", b'[{"query":"{__typename}"}]', MALFORMED),
    ("null", b"null", MALFORMED),
    ("NaN", b'{"query":"{__typename}","variables":{"a":NaN}}', MALFORMED),
    ("100 000 brackets", b"[" * 100_000, MALFORMED),
    ("100 000 objects", b'{"a":' * 100_000, MALFORMED),
    ("500 000 brackets that close", b"[" * 500_000 + b"]" * 500_000, MALFORMED),
    ("60 000 brackets and a string that does not end", b"[" * 60_000 + b'"' + b'\\"' * 400_000, MALFORMED),
    ("UTF-16", '{"query":"{__typename}"}'.encode("utf-16"), MALFORMED),
    ("overlong UTF-8", b'{"query":"{__typename}\xc0\xaf"}', MALFORMED),
    ("a byte order mark", b'\xef\xbb\xbf{"query":"{__typename}"}', MALFORMED),
    ("a number of 5 000 digits", b'{"query":"{__typename}","x":' + b"9" * 5000 + b"}", MALFORMED),
    ("1 MiB and a byte", b" " * ((1 << 20) + 1), LARGE),
    ("one key 50 000 times", b"{" + b'"query":"{__typename}",' * 40_000 + b'"query":"{__typename}"}', MALFORMED),
    ("extensions that are a list", b'{"query":"{__typename}","extensions":[]}', MALFORMED),
    ("an operation's name that is a number", b'{"query":"{__typename}","operationName":1}', MALFORMED),
    ("an operation nobody has", b'{"query":"{__typename}","operationName":"x"}', UNNAMED),
]


def post(target: Target, body: bytes) -> str:
    return target.request("POST", "/graphql", content=body, headers=JSON)


def persisted(target: Target, query: str | None, digest: str) -> str:
    """A request with a persisted document, or by its hash alone."""
    members = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}}
    body = json.dumps({**({"query": query} if query is not None else {}), **members}).encode()
    return post(target, body)


def digest_of(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()


def poison(target: Target) -> str:
    """Another document under the hash of one that a victim is about to name."""
    digest = digest_of("{ registry { version } victim: __typename }")
    return f"{persisted(target, '{ __typename }', digest)} then {persisted(target, None, digest)}"


def invalid_poison(target: Target) -> str:
    query = "{ nothing }"
    return f"{persisted(target, query, digest_of(query))} then {persisted(target, None, digest_of(query))}"


def crowd(target: Target) -> str:
    """So many that the first ones are forgotten, or are not; either way the last is there."""
    answers = set()
    for number in range(50):
        query = f"{{ a{number}: __typename }} #{'x' * 90_000}"
        answers.add(persisted(target, query, digest_of(query)))
    return " ".join(sorted(answers)) + f" then {persisted(target, None, digest_of(query))}"
