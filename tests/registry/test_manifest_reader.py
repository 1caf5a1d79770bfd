import time

import pytest
import yaml

from app.registry.manifest import (
    Code,
    InvalidEntryError,
    Label,
    Limits,
    Manifest,
    ManifestRefusedError,
    ObjectPin,
    Problem,
    entry_from,
    from_json,
    read,
    to_json,
)

SHA = "9f86d081" * 8
SEED_WITHOUT_INDENTATION = b"""topic-training-data:
dataObjectId: 123
config:
type: tsv
churn-model:
dataObjectId: 124
type: model
"""


def problems(data: bytes, limits: Limits | None = None) -> tuple[Problem, ...]:
    with pytest.raises(ManifestRefusedError) as refused:
        read(data, limits or Limits())
    return refused.value.problems


def value(text: str) -> object:
    return read(f"a:\n  v: {text}\n".encode()).entries["a"].metadata["v"]


def only_problem(data: bytes) -> Problem:
    manifest = read(data)
    assert len(manifest.problems) == 1
    return manifest.problems[0]


def test_an_entry_is_read_with_its_reserved_keys_and_its_metadata() -> None:
    text = f"""
churn-model:
  dataObjectId: sha256:{SHA}
  type: model
  description: Nightly churn model
  labels: {{stage: prod, tier: 1, bare: }}
  object: {{sha256: {SHA}, size: 10485760, contentType: text/csv, filename: churn.pkl, state: pending}}
  framework: torch
"""
    entry = read(text.encode()).entries["churn-model"]
    assert (entry.name, entry.data_object_id, entry.type) == ("churn-model", f"sha256:{SHA}", "model")
    assert entry.description == "Nightly churn model"
    assert entry.labels == (Label("stage", "prod"), Label("tier", "1"), Label("bare", None))
    assert entry.object == ObjectPin(SHA, 10485760, "text/csv", "churn.pkl", pending=True)
    assert entry.metadata == {"framework": "torch"}
    assert list(entry.entry) == ["dataObjectId", "type", "description", "labels", "object", "framework"]


@pytest.mark.parametrize(
    "text", ["123", "007", "0x1F", "1.10", "2e-5", "no", "12:30:45", "2024-01-01", "true", "1_000"]
)
def test_a_data_object_id_is_the_text_as_written(text: str) -> None:
    entry = read(f"a:\n  dataObjectId: {text}\n".encode()).entries["a"]
    assert entry.data_object_id == text
    assert entry.entry == {"dataObjectId": text}


def test_a_data_object_id_behind_an_alias_is_the_text_as_written() -> None:
    assert read(b"a: {dataObjectId: &i 007}\nb: {dataObjectId: *i}\n").entries["b"].data_object_id == "007"


@pytest.mark.parametrize("text", ["", "null", "~"])
def test_a_data_object_id_of_nothing_is_none(text: str) -> None:
    assert read(f"a:\n  dataObjectId: {text}\n".encode()).entries["a"].data_object_id is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("010", 10),
        ("0o10", 8),
        ("0x10", 16),
        ("12:30:45", "12:30:45"),
        ("2e-5", 2e-5),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("True", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("+12", 12),
        (".5", 0.5),
        ("1.", 1.0),
        ("=", "="),
        ('"12"', "12"),
        ("'null'", "null"),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text: str, expected: object) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


def test_keys_are_text_as_written() -> None:
    entry = read(b"1:\n  2: x\n  no: y\n  ~: z\n").entries["1"]
    assert entry.metadata == {"2": "x", "no": "y", "~": "z"}


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"# only comments\n", b"---\n", b"null\n", b"{}", b"\xef\xbb\xbf", b"---\n...\n"]
)
def test_a_file_without_content_has_no_entries(data: bytes) -> None:
    assert read(data) == Manifest({}, ())


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    assert read(b"\xef\xbb\xbfa:\r\n  type: x\r\n") == read(b"a:\n  type: x\n")


@pytest.mark.parametrize("data", [b"- a\n", b"text\n", b"12\n", b"[]\n"])
def test_a_document_that_is_not_a_mapping_is_refused(data: bytes) -> None:
    assert problems(data)[0].code == Code.NOT_A_MAPPING


@pytest.mark.parametrize(
    ("data", "code", "line", "column"),
    [
        (b"a: {}\nb: {}\na: {}\n", Code.DUPLICATE_KEY, 3, 1),
        (b"a:\n  v: !!str 1\n", Code.TAG, 2, 6),
        (b"a:\n  v: !!python/object:os.system x\n", Code.TAG, 2, 6),
        (b"a:\n  v: ! x\n", Code.TAG, 2, 6),
        (b"a: &a\n  v: *a\n", Code.CYCLE, 2, 6),
        (b"a: {}\n---\nb: {}\n", Code.SEVERAL_DOCUMENTS, 2, 1),
        (b"a:\n  v: .nan\n", Code.NOT_FINITE, 2, 6),
        (b"a:\n  v: -.inf\n", Code.NOT_FINITE, 2, 6),
        (b"a:\n  v: 1e999\n", Code.NOT_FINITE, 2, 6),
        (b"a:\n  v: " + b"9" * 401, Code.NUMBER_TOO_LONG, 2, 6),
        (b"a: &a {}\nb:\n  <<: *a\n", Code.MERGE_KEY, 3, 3),
        (b"a: *b\n", Code.UNDEFINED_ALIAS, 1, 4),
        (b"? [x]\n: {}\n", Code.KEY_NOT_TEXT, 1, 3),
        (b"a: &a x\n*a : {}\n", Code.KEY_NOT_TEXT, 2, 1),
        (b"a:\n  v: [\n", Code.SYNTAX, 3, 1),
        (b"a:\n\tv: 1\n", Code.SYNTAX, 2, 1),
        (b"a: {}\nb: \x01\n", Code.BAD_CHARACTER, 2, 4),
        (b"a: {}\nb: \xff\n", Code.NOT_UTF8, 2, 4),
        ("a: {}\n".encode("utf-16"), Code.NOT_UTF8, 1, 1),
        ("a: {}\n".encode("utf-16-le"), Code.BAD_CHARACTER, 1, 2),
        ("\ufeff\ufeffa: {}\n".encode(), Code.BAD_CHARACTER, 1, 1),
    ],
)
def test_a_refusal_says_why_and_where(data: bytes, code: Code, line: int, column: int) -> None:
    problem = problems(data)[0]
    assert (problem.code, problem.line, problem.column) == (code, line, column)


def test_a_duplicate_key_is_reported_with_the_lines_of_both() -> None:
    problem = problems(b"a:\n  x: 1\n  y: 2\n  x: 3\n")[0]
    assert problem.line == 4
    assert "line 2" in problem.message


def test_a_file_that_lost_its_indentation_is_refused_with_every_line_that_repeats_a_key() -> None:
    found = problems(SEED_WITHOUT_INDENTATION)
    assert [(one.code, one.line) for one in found] == [(Code.DUPLICATE_KEY, 6), (Code.DUPLICATE_KEY, 7)]


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert read(b"a:\n  '<<': x\n").entries["a"].metadata == {"<<": "x"}


@pytest.mark.parametrize("opener", ["[", "{", "- ", "? ", "a: [", "{a: "])
def test_sixty_kilobytes_of_nesting_are_refused_at_once(opener: str) -> None:
    started = time.perf_counter()
    assert problems((opener * 60_000)[:60_000].encode())[0].code in {Code.TOO_DEEP, Code.SYNTAX, Code.KEY_NOT_TEXT}
    assert time.perf_counter() - started < 1


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 {x: 1}"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    started = time.perf_counter()
    assert problems("\n".join(lines).encode())[0].code == Code.ALIASES_TOO_LARGE
    assert time.perf_counter() - started < 1


def test_a_merge_key_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 {x: 1}"] + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12)]
    started = time.perf_counter()
    assert Code.MERGE_KEY in {one.code for one in problems("\n".join(lines).encode())}
    assert time.perf_counter() - started < 1


def test_aliases_of_a_long_text_are_refused_before_they_fill_the_memory() -> None:
    text = "a:\n  v: &v " + "x" * 500_000 + "\n  w:\n" + "    - *v\n" * 1_000
    assert problems(text.encode())[0].code == Code.ALIASES_TOO_LARGE


def test_aliases_cannot_nest_deeper_than_the_limit() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 40)]
    assert problems("\n".join(lines).encode())[0].code == Code.TOO_DEEP


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(bytes=20), Code.TOO_LARGE),
        (Limits(nodes=5), Code.TOO_MANY_NODES),
        (Limits(entries=1), Code.TOO_MANY_ENTRIES),
        (Limits(depth=1), Code.TOO_DEEP),
    ],
)
def test_each_limit_is_refused_by_its_own_code(limits: Limits, code: Code) -> None:
    assert problems(b"a: {x: 1}\nb: {y: 1}\nc: {}\n", limits)[0].code == code


def test_an_entry_that_is_not_a_mapping_is_a_problem_and_the_rest_is_served() -> None:
    manifest = read(b"version: 1\na: {type: x}\n")
    assert list(manifest.entries) == ["a"]
    assert manifest.problems == (Problem(Code.ENTRY_NOT_A_MAPPING, manifest.problems[0].message, 1, 1, "version"),)


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("type: [1]", 2),
        ("type: 1", 2),
        ("labels: 3", 2),
        ("labels: [[x]]", 2),
        ("labels: {a: []}", 2),
        ("description: {}", 2),
        ("dataObjectId: []", 2),
        ("dataObjectId: ''", 2),
        ("object: x", 2),
        ("object: {size: 1}", 2),
        (f"object: {{sha256: {SHA}}}", 2),
        (f"object: {{sha256: {SHA}, size: -1}}", 2),
        (f"object: {{sha256: {SHA}, size: true}}", 2),
        (f"object: {{sha256: {SHA.upper()}, size: 1}}", 2),
        (f"object: {{sha256: {SHA}, size: 1, state: ready}}", 2),
        (f"object: {{sha256: {SHA}, size: 1, sise: 1}}", 2),
        (f"object: {{sha256: {SHA}, size: 1, filename: a/b}}", 2),
        (f"object: {{sha256: {SHA}, size: 1, contentType: x}}", 2),
    ],
)
def test_a_reserved_key_with_a_wrong_value_is_a_problem_on_its_line(field: str, line: int) -> None:
    problem = only_problem(f"a:\n  {field}\nb: {{}}\n".encode())
    assert (problem.code, problem.line, problem.column, problem.artifact) == (Code.BAD_FIELD, line, 3, "a")


@pytest.mark.parametrize("name", ["''", "a//b", ".git", '"a\\tb"', "'x '"])
def test_a_name_no_artifact_may_have_is_a_problem_on_that_entry(name: str) -> None:
    assert only_problem(f"{name}: {{}}\nb: {{}}\n".encode()).code == Code.BAD_NAME


def test_labels_are_a_list_of_text_and_pairs_or_a_mapping() -> None:
    entry = read(b"a:\n  labels: [x, {y: 1.5}, {z: }]\n").entries["a"]
    assert entry.labels == (Label("x", None), Label("y", "1.5"), Label("z", None))


def test_a_wrapper_mapping_holds_the_entries_and_other_keys_are_none() -> None:
    manifest = read(b"version: 1\nartifacts:\n  a: {type: x}\n  b: 3\n")
    assert list(manifest.entries) == ["a"]
    assert [one.artifact for one in manifest.problems] == ["b"]


def test_a_wrapper_list_names_its_entries_by_name_or_id() -> None:
    manifest = read(b"artifacts:\n  - {name: a, id: 7}\n  - {id: 007, type: x}\n  - {type: y}\n")
    assert {name: entry.entry for name, entry in manifest.entries.items()} == {"a": {"id": 7}, "007": {"type": "x"}}
    assert manifest.problems[0].code == Code.ENTRY_WITHOUT_NAME


def test_the_same_name_twice_in_a_wrapper_list_is_refused() -> None:
    problem = problems(b"artifacts:\n- name: a\n- name: a\n")[0]
    assert (problem.code, problem.line) == (Code.DUPLICATE_KEY, 3)


def test_an_entry_called_artifacts_is_no_wrapper_when_it_looks_like_an_entry() -> None:
    manifest = read(b"artifacts: {type: x}\nb: {}\n")
    assert list(manifest.entries) == ["b"]
    assert manifest.problems[0].code == Code.BAD_NAME


def test_an_entry_given_as_values_is_what_the_reader_makes_of_it() -> None:
    entry = read(b"a: {dataObjectId: 12, labels: [x], type: t, k: {n: [1.5, null]}}").entries["a"]
    assert entry_from("a", {"dataObjectId": 12, "labels": ["x"], "type": "t", "k": {"n": [1.5, None]}}) == entry
    assert entry_from("a", entry.entry) == entry


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"type": 3}, Code.BAD_FIELD),
        ({"x": float("nan")}, Code.NOT_FINITE),
        ({"x": 10**400}, Code.NUMBER_TOO_LONG),
        ({"x": "\ud800"}, Code.BAD_VALUE),
        ({"x": {1: 2}}, Code.BAD_VALUE),
        ({"x": {1, 2}}, Code.BAD_VALUE),
        ({"dataObjectId": 1.5}, Code.BAD_FIELD),
    ],
)
def test_values_that_no_entry_can_hold_are_refused(entry: dict[str, object], code: Code) -> None:
    with pytest.raises(InvalidEntryError) as refused:
        entry_from("a", entry)
    assert refused.value.problems[0].code == code


def test_a_manifest_survives_the_cache() -> None:
    manifest = read("a: {type: x, é: [1, 1.0, true, null]}\nb: 3\n".encode())
    assert from_json(to_json(manifest)) == manifest
    assert to_json(from_json(to_json(manifest))) == to_json(manifest)
    assert from_json(to_json(manifest)).entries["a"].type == "x"


def test_bytes_that_are_not_a_stored_manifest_are_refused() -> None:
    stored = to_json(read(b"a: {type: x}\n"))
    for data in (b"", b"{}", b"null", stored[:-1], stored.replace(b'"x"', b'"y"'), b"\xff" + stored, stored[10:]):
        with pytest.raises(ValueError, match="not a stored manifest"):
            from_json(data)


def test_reading_a_thousand_entries_is_not_slower_than_the_c_loader() -> None:
    text = "".join(
        f"m-{i}:\n  dataObjectId: {i}\n  type: model\n  labels: {{stage: prod}}\n  config:\n    type: tsv\n    n: 0.5\n"
        for i in range(1000)
    ).encode()

    def seconds(load) -> float:  # noqa: ANN001 - any callable of bytes
        best = 9.0
        for _ in range(3):
            started = time.perf_counter()
            load(text)
            best = min(best, time.perf_counter() - started)
        return best

    ours = seconds(read)
    theirs = seconds(lambda data: yaml.load(data, Loader=yaml.CSafeLoader))
    print(f"read {ours * 1000:.0f} ms, CSafeLoader {theirs * 1000:.0f} ms")  # noqa: T201 - the figure is the point
    assert ours < theirs * 1.5
