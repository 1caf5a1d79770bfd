"""Manifests as people would never write them, pushed by Git."""

import secrets
from collections.abc import Iterator

from dulwich.objects import Blob, ShaFile, Tree

from tests.support.hostile.day import Hostile, Target, hostile
from tests.support.hostile.packs import push, sent

SHOWN = "query q($p: String!, $b: String!) { project(name: $p) { branch(name: $b) { manifest { state problems { code } } artifacts(first: 1) { totalCount } } } }"
LAUGHS = b"a0: &a0 {x: 1}\n" + b"".join(
    b"a%d: &a%d {x: [%s]}\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)
)
TEXTS: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "VALID 0"),
    ("a billion laughs", LAUGHS, "BROKEN 0 ALIASES_TOO_LARGE"),
    ("an alias to itself", b"a: &a {b: *a}\n", "BROKEN 0 CYCLE"),
    ("an alias to nothing", b"a: {b: *nowhere}\n", "BROKEN 0 UNDEFINED_ALIAS"),
    ("merge keys that multiply", b"a: &a {b: 1}\n" + b"".join(b"k%d: &k%d {<<: [%s]}\n" % (n, n, b",".join([b"*a"] * 50)) for n in range(50)), "BROKEN 0 MERGE_KEY"),
    ("a merge key in a circle", b"a: &a\n  <<: *a\n", "BROKEN 0 CYCLE MERGE_KEY"),
    ("4 000 anchors", b"".join(b"e%d: &x%d {type: m}\n" % (n, n) for n in range(4000)), "VALID 4000"),
    ("60 000 brackets", b"a: " + b"[" * 60_000, "BROKEN 0 TOO_DEEP"),
    ("60 000 braces", b"{a: " * 60_000, "BROKEN 0 TOO_DEEP"),
    ("60 000 dashes", b"a: {b: 1}\nc:\n " + b"- " * 60_000, "BROKEN 0 TOO_DEEP"),
    ("nested 40 deep", b"a: " + b"{b: " * 40 + b"1" + b"}" * 40 + b"\n", "BROKEN 0 TOO_DEEP"),
    ("tabs for spaces", b"a:\n\ttype: m\n", "BROKEN 0 SYNTAX"),
    ("one entry twice", b"a: {type: m}\na: {type: n}\n", "BROKEN 0 DUPLICATE_KEY"),
    ("one key twice", b"a: {type: m, type: n}\n", "BROKEN 0 DUPLICATE_KEY"),
    ("a tag of python", b"a: !!python/object/apply:os.system [id]\n", "BROKEN 0 TAG"),
    ("a tag of a file", b"a: !include /etc/passwd\n", "BROKEN 0 TAG"),
    ("a tag with a prefix", b"%TAG ! tag:evil.example,2000:\n---\na: !x {b: 1}\n", "BROKEN 0 TAG"),
    ("NUL", b"a: {b: \0}\n", "BROKEN 0 BAD_CHARACTER"),
    ("a control character", b"a: {b: \x1b[31m}\n", "BROKEN 0 BAD_CHARACTER"),
    ("a byte order mark", b"\xef\xbb\xbfa: {type: m}\n", "VALID 1"),
    ("two byte order marks", b"\xef\xbb\xbf\xef\xbb\xbfa: {type: m}\n", "BROKEN 0 BAD_CHARACTER"),
    ("UTF-16", "a: {type: m}\n".encode("utf-16"), "BROKEN 0 NOT_UTF8"),
    ("lines that end as on Windows", b"a:\r\n  type: m\r\n", "VALID 1"),
    ("lines that end as on old Macs", b"a:\r  type: m\r", "VALID 1"),
    ("what is no UTF-8", b"a: {type: \xff\xfe}\n", "BROKEN 0 NOT_UTF8"),
    ("half a surrogate pair", b"a: {type: \xed\xa0\x80}\n", "BROKEN 0 NOT_UTF8"),
    ("half a surrogate pair, escaped", b'a: {type: "\\ud800"}\n', "BROKEN 0 SYNTAX"),
    ("three documents", b"a: {type: m}\n---\nb: {type: m}\n---\n", "BROKEN 0 SEVERAL_DOCUMENTS"),
    ("a list", b"- a\n- b\n", "BROKEN 0 NOT_A_MAPPING"),
    ("a number", b"12\n", "BROKEN 0 NOT_A_MAPPING"),
    ("a number of 100 000 digits", b"a: {b: " + b"9" * 100_000 + b"}\n", "BROKEN 0 NUMBER_TOO_LONG"),
    ("a float beyond all floats", b"a: {b: 1e99999, c: .inf, d: .nan}\n", "BROKEN 0 NOT_FINITE"),
    ("a version nobody has", b"%YAML 9.9\n---\na: {type: m}\n", "BROKEN 0 SYNTAX"),
    ("a hundred directives", b"%A b\n" * 100 + b"---\na: {type: m}\n", "BROKEN 0 SYNTAX"),
    ("6 000 entries", b"".join(b"e%d: {type: m}\n" % n for n in range(6000)), "VALID 6000"),
    ("2 MiB", b"a: {b: '" + b"x" * (2 << 20) + b"'}\n", "VALID 1"),
    ("64 MiB", b"# " + b"x" * 98 + b"\n" + b"".join(b"# %098d\n" % 0 for _ in range((64 << 20) // 101)), "BROKEN 0 TOO_LARGE"),
    ("one line of 900 000 characters", b"a: {b: " + b"x" * 900_000 + b"}\n", "VALID 1"),
    ("a name that is a path", b"../../etc/passwd: {type: m}\n", "VALID 0 BAD_NAME"),
    ("a name of 10 000 characters", b"? " + b"x" * 10_000 + b"\n: {type: m}\n", "VALID 0 BAD_NAME"),
    ("__proto__ and constructor", b"__proto__: {type: m}\nconstructor: {type: m}\n__class__: {type: m}\n", "VALID 3"),
    ("a name with control characters", b'"a\\u0007b": {type: m}\n"c\\u202ed": {type: m}\n', "VALID 0 BAD_NAME"),
    ("a name that is nothing", b'"": {type: m}\n', "VALID 0 BAD_NAME"),
    ("a name that is a list", b"? [a, b]\n: {type: m}\n", "BROKEN 0 KEY_NOT_TEXT"),
    ("a name that is a number", b"12: {type: m}\ntrue: {type: m}\nnull: {type: m}\n", "VALID 3"),
    ("entries that are no mappings", b"a: 1\nb: [1]\nc: null\n", "VALID 0 ENTRY_NOT_A_MAPPING"),
    ("reserved keys that are wrong", b"a: {type: [1], labels: 7, object: {sha256: x, size: -1}, dataObjectId: {}}\n", "VALID 0 BAD_FIELD"),
    ("an object beyond all disks", b"a: {object: {sha256: " + b"0" * 64 + b", size: 99999999999999999999}}\n", "VALID 0 BAD_FIELD"),
    ("labels by the thousand", b"a: {labels: [" + b",".join(b"l%d" % n for n in range(9000)) + b"]}\n", "VALID 1"),
    ("a quote that never ends", b'a: "' + b"x" * 1000, "BROKEN 0 SYNTAX"),
    ("a mapping that never ends", b"a: {b: {c:", "BROKEN 0 SYNTAX"),
    ("a block that is folded 5 000 times", b"a:\n  b: >\n" + b"    x\n\n" * 5000, "VALID 1"),
    ("50 000 comments", b"# x\n" * 50_000 + b"a: {type: m}\n", "VALID 1"),
    ("50 000 question marks", b"? " * 50_000, "BROKEN 0 KEY_NOT_TEXT"),
    ("50 000 exclamation marks", b"a: " + b"!" * 50_000, "BROKEN 0 TAG"),
    ("50 000 ampersands", b"a: " + b"&a " * 50_000, "BROKEN 0 SYNTAX"),
]  # fmt: skip
FILES: list[tuple[str, tuple[int, ShaFile | bytes], str]] = [
    ("a symbolic link", (0o120000, Blob.from_string(b"/etc/passwd")), "BROKEN 0 NOT_A_FILE"),
    ("a symbolic link to itself", (0o120000, Blob.from_string(b"artifacts.yml")), "BROKEN 0 NOT_A_FILE"),
    ("a submodule", (0o160000, b"1" * 40), "BROKEN 0 NOT_A_FILE"),
    ("a directory", (0o40000, Tree()), "BROKEN 0 NOT_A_FILE"),
    ("a program", (0o100755, Blob.from_string(b"a: {type: m}\n")), "VALID 1"),
]


def inputs() -> Iterator[Hostile]:
    """All of them, each on a branch of its own."""
    files = [(name, (0o100644, Blob.from_string(text)), expected) for name, text, expected in TEXTS]
    for name, file, expected in [*files, *FILES]:
        yield hostile(f"manifest: {name}", lambda target, file=file: pushed(target, file), expected)


def pushed(target: Target, file: tuple[int, ShaFile | bytes]) -> str:
    """How the manifest of a branch is served that begins with a file: its state, entries and codes."""
    branch = f"m-{secrets.token_hex(4)}"
    said = push(target, sent(f"refs/heads/{branch}", {b"artifacts.yml": file}))
    if said != "200 unpack ok":
        return said
    served = target.server.ask(SHOWN, p=target.work.name, b=branch)["project"]["branch"]
    codes = " ".join(sorted({problem["code"] for problem in served["manifest"]["problems"]}))
    return f"{served['manifest']['state']} {served['artifacts']['totalCount']} {codes}".strip()
