"""Random manifests whose chunks are known, so that what an edit may touch is known without asking the code itself."""

import json
from dataclasses import dataclass

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.registry.manifest import (
    Code,
    EditRefusedError,
    ManifestRefusedError,
    Put,
    Remove,
    Rename,
    Restore,
    edit,
    entry_from,
    from_json,
    read,
    to_json,
)

bounded = settings(
    max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

# fmt: off
TRICKY = [
    "no", "on", "y", "010", "1_000", "12:30", "2e-5", "2024-01-01", "=", "<<", "~", "null", "a: b", "a #b", "- x",
    "---", "...", "x\ny", "x\n", "\nx", " x", "x ", "x\n\n  y\n", "x\n\n", "#x", "a,b", "{", "é😀", "\x85", "\u2028",
    "\ufeff", "0x1f", "+1", ".5", "1.", ".inf", "!x", "&x", "*x", "%x", "@x", "`x", "x:", "a\tb", "\x00", "\x7f",
    "k:v", "sha256:ab", "http://a/b?c#d", "'", '"', "\\", "x\r\ny", "a\n b", "a\n\tb", "# a\nb", "1e400", "9" * 500,
]
# fmt: on
texts = st.text(max_size=12) | st.sampled_from(TRICKY)
scalars = st.one_of(
    texts, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.just(10**30)
)
plain = st.one_of(st.text("ab ,:{}[]#&*\"'\\-?", max_size=8), st.integers(), st.booleans(), st.none())
keys = st.one_of(st.sampled_from(["k", "path", "no", "1", "a b", "<<", "x: y", "é"]), st.text(max_size=6))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
metadata = st.dictionaries(
    keys.filter(lambda key: key not in {"name", "id", "dataObjectId", "type", "description", "labels", "object"}),
    values,
    max_size=3,
)
entries = st.builds(
    lambda ident, kind, rest: {**ident, **kind, **rest},
    st.one_of(st.just({}), texts.filter(bool).map(lambda text: {"dataObjectId": text})),
    st.one_of(st.just({}), texts.map(lambda text: {"type": text})),
    metadata,
)
names = st.sampled_from(["model", "a/b", "no", "007", "x y", "é", "sha256:ab", "w-1", "q.r", "it's", "type"])

# The bodies of entries: pairs of lines (at no indentation) with the key they hold and its value.
WRITTEN = [
    ("type: model", "type", "model"),
    ("type: 'data set'  # why", "type", "data set"),
    ("dataObjectId: 007", "dataObjectId", "007"),
    ('dataObjectId: "x"   # id', "dataObjectId", "x"),
    ("description: |\n  one\n\n    two # no comment", "description", "one\n\n  two # no comment\n"),
    ("description: >-\n  one\n  two", "description", "one two"),
    ("description: plain\n  going on", "description", "plain going on"),
    ("description: 'quoted\n\n  on'", "description", "quoted\non"),
    ("labels: {stage: prod, tier: '1'}", "labels", {"stage": "prod", "tier": "1"}),
    ("labels:  # two\n- a\n- b", "labels", ["a", "b"]),
    ("config:\n  # inside\n  n: 1  # one\n  list:\n    - x: 1\n      y: 2\n    - [1, {a: b}]", "config", None),
    ("# above\nscore: 2e-5", "score", 2e-5),
    ("when: 12:30:45", "when", "12:30:45"),
    ("empty:", "empty", None),
    ('? "odd key"\n: v', "odd key", "v"),
    ("flow: [1,\n  2, # two\n  3]", "flow", [1, 2, 3]),
    ("uni: é😀 # ü", "uni", "é😀"),
]
CONFIG = {"n": 1, "list": [{"x": 1, "y": 2}, [1, {"a": "b"}]]}


@dataclass
class Written:
    """A manifest as text: what stands before each entry, the entry itself, and what it holds."""

    gaps: list[str]
    names: list[str]
    chunks: list[str]
    values: list[dict[str, object]]
    tail: str
    style: str
    outer: int

    @property
    def newline(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    @property
    def text(self) -> str:
        return "".join(gap + chunk for gap, chunk in zip(self.gaps, self.chunks, strict=True)) + self.tail

    def before(self, index: int) -> str:
        return "".join(map("".join, zip(self.gaps[:index], self.chunks[:index], strict=True))) + self.gaps[index]

    def after(self, index: int) -> str:
        rest = zip(self.gaps[index + 1 :], self.chunks[index + 1 :], strict=True)
        return "".join(map("".join, rest)) + self.tail


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line if line.strip() else line for line in text.splitlines(keepends=True))


def moved(chunk: str, there: Written, here: Written) -> str:
    """A chunk of one manifest in the indentation and the line ends of another."""
    flush = "".join(line.removeprefix(" " * there.outer) for line in chunk.splitlines(keepends=True))
    return indented(flush, here.outer).replace("\r\n", "\n").replace("\n", here.newline)


def written_name(name: str, *, quoted: bool) -> str:
    return f"'{name.replace(chr(39), chr(39) * 2)}'" if quoted or "'" in name else name


@st.composite
def manifests(draw: st.DrawFn) -> Written:
    style = draw(st.sampled_from(["top", "top", "map", "list"]))
    outer = draw(st.sampled_from({"top": [0], "map": [2, 4], "list": [0, 2]}[style]))
    step = draw(st.sampled_from([2, 4]))
    chosen = draw(st.lists(names.filter(lambda name: name != "type"), min_size=1, max_size=4, unique=True))
    comments = st.lists(st.sampled_from(["# note: {\n", "\n", "#\n", "# é\n"]), max_size=2).map("".join)
    first = (
        draw(st.sampled_from(["", "---\n", "# head\n"]))
        + {"top": "", "map": "artifacts:\n", "list": "v: 1\nartifacts: # s\n"}[style]
    )
    gaps, chunks, models = [], [], []
    for position, name in enumerate(chosen):
        gaps.append((first if not position else "") + draw(comments))
        lines = draw(st.lists(st.sampled_from(WRITTEN), min_size=1, max_size=4, unique_by=lambda line: line[1]))
        model = {key: CONFIG if key == "config" else value for _, key, value in lines}
        body = "".join(text + "\n" for text, _, _ in lines)
        shown = written_name(name, quoted=draw(st.booleans()))
        if style == "list":
            chunk = f"- name: {shown}\n{indented(body, 2)}"
        elif draw(st.integers(0, 4)) == 0:
            model = {"type": "m", "k": [1, "a, b"]}
            chunk = f"{shown}: {{type: m, 'k': [1, \"a, b\"]}}  # flow\n"
        else:
            chunk = f"{shown}:{draw(st.sampled_from(['', ' ', '  # own']))}\n{indented(body, step)}"
        chunks.append(indented(chunk, outer))
        models.append(model)
    tail = draw(st.sampled_from(["", "# end\n", "\n\n# end\n"]))
    if style == "top":
        tail += draw(st.sampled_from(["", "...\n", "...\n# after\n"]))
    written = Written(gaps, chosen, chunks, models, tail, style, outer)
    if draw(st.booleans()):
        for part in ("gaps", "chunks"):
            setattr(written, part, [text.replace("\n", "\r\n") for text in getattr(written, part)])
        written.tail = tail.replace("\n", "\r\n")
    if draw(st.booleans()):
        written.gaps[0] = "\ufeff" + written.gaps[0]
    return written


def meant(written: Written) -> dict[str, object]:
    return dict(zip(written.names, written.values, strict=True))


def held(data: bytes) -> dict[str, object]:
    return {name: entry.entry for name, entry in read(data).entries.items()}


def exactly(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def without_final_break(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


@bounded
@given(manifests())
def test_a_written_manifest_is_read_to_what_was_meant(written: Written) -> None:
    assert exactly(held(written.text.encode())) == exactly(meant(written))
    assert held(without_final_break(written.text).encode()) == meant(written)


@bounded
@given(manifests(), st.data(), entries)
def test_a_put_on_an_entry_touches_no_byte_outside_it(
    written: Written, data: st.DataObject, entry: dict[str, object]
) -> None:
    index = data.draw(st.integers(0, len(written.names) - 1))
    if data.draw(st.booleans()):
        entry = {**written.values[index], **entry}
    wanted = entry_from(written.names[index], entry).entry
    result, manifest = edit(written.text.encode(), [Put(written.names[index], entry)])
    text = result.decode()
    assert text.startswith(written.before(index))
    assert text.endswith(written.after(index))
    assert len(text) > len(written.before(index)) + len(written.after(index))
    assert exactly(held(result)) == exactly({**meant(written), written.names[index]: wanted})
    assert read(result) == manifest


@bounded
@given(manifests(), st.data(), scalars)
def test_a_put_that_changes_one_key_keeps_the_lines_of_the_others(
    written: Written, data: st.DataObject, value: object
) -> None:
    index = data.draw(st.integers(0, len(written.names) - 1))
    chunk, model = written.chunks[index], written.values[index]
    lines = chunk.splitlines(keepends=True)
    result, _ = edit(written.text.encode(), [Put(written.names[index], {**model, "added": value})])
    after = result.decode()[len(written.before(index)) :]
    if "# flow" not in chunk:
        assert after.startswith("".join(lines))
    else:
        assert after.startswith(chunk[: chunk.rindex("}")])


@bounded
@given(manifests(), st.data())
def test_a_remove_takes_the_chunk_of_the_entry_and_nothing_else(written: Written, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(written.names) - 1))
    result, _ = edit(written.text.encode(), [Remove(written.names[index])])
    alone = len(written.names) == 1 and "..." in written.tail  # a bare end marker is not YAML
    left = "{}" + written.newline if alone else ""
    assert result.decode() == written.before(index) + left + written.after(index)


@bounded
@given(manifests(), st.data(), names)
def test_a_rename_changes_the_name_and_nothing_else(written: Written, data: st.DataObject, to: str) -> None:
    index = data.draw(st.integers(0, len(written.names) - 1))
    name = written.names[index]
    if to in written.names or (to == "type" and written.style == "map"):
        return
    result, _ = edit(written.text.encode(), [Rename(name, to)])
    text, chunk = result.decode(), written.chunks[index]
    assert text.startswith(written.before(index))
    assert text.endswith(written.after(index))
    own = text[len(written.before(index)) : len(text) - len(written.after(index))]
    shown = next(one for one in (written_name(name, quoted=True), name) if one in chunk)
    at = chunk.index(shown)
    assert own.startswith(chunk[:at])
    assert own.endswith(chunk[at + len(shown) :])
    assert held(result).keys() == ({*written.names} - {name}) | {to}


@bounded
@given(manifests(), entries, st.booleans())
def test_a_new_entry_is_put_in_without_touching_a_byte(written: Written, entry: dict[str, object], final: bool) -> None:  # noqa: FBT001 - drawn
    text = written.text if final else without_final_break(written.text)
    result, _ = edit(text.encode(), [Put("new/one", entry)])
    after = result.decode()
    last = len(written.names) - 1
    kept = written.before(last) + written.chunks[last]
    assert after.startswith(kept if final else without_final_break(kept))
    if final:
        assert after.endswith(written.tail)
    elif written.tail:
        assert after.endswith(without_final_break(written.tail))
    else:
        assert not after.endswith("\n")
    assert exactly(held(result)) == exactly({**meant(written), "new/one": entry_from("new/one", entry).entry})


@bounded
@given(manifests(), manifests(), st.data())
def test_a_restore_brings_back_what_the_other_version_held_and_its_words_where_they_can_stand(
    written: Written, other: Written, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(other.names) - 1))
    name = other.names[index]
    result, _ = edit(written.text.encode(), [Restore(name, other.text.encode())])
    assert exactly(held(result)) == exactly({**meant(written), name: other.values[index]})
    if name in written.names:
        place = written.names.index(name)
        assert result.decode().startswith(written.before(place))
        assert result.decode().endswith(written.after(place))
    if (written.style == "list") == (other.style == "list"):
        assert moved(other.chunks[index], other, written) in result.decode()


@bounded
@given(
    st.dictionaries(names, st.dictionaries(st.sampled_from("xyz"), plain, max_size=3), min_size=1), st.data(), entries
)
def test_a_flow_file_keeps_every_other_entry(
    model: dict[str, dict[str, object]], data: st.DataObject, entry: dict[str, object]
) -> None:
    comma = data.draw(st.sampled_from([", ", ",\n  ", " , # c, d\n  "]))
    pairs = [f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(value)}" for name, value in model.items()]
    opened, closed = data.draw(st.sampled_from([("{", "}"), ("{\n  ", "\n}\n"), ("{ ", ",}\n")]))
    text = opened + comma.join(pairs) + closed
    name = data.draw(st.sampled_from([*model, "new"]))
    if name in model and data.draw(st.booleans()):
        result, _ = edit(text.encode(), [Remove(name)])
        wanted: dict[str, object] = {key: value for key, value in model.items() if key != name}
    else:
        result, _ = edit(text.encode(), [Put(name, entry)])
        wanted = {**model, name: entry_from(name, entry).entry}
    assert exactly(held(result)) == exactly(wanted)
    for key, pair in zip(model, pairs, strict=True):
        assert key == name or pair in result.decode()


@bounded
@given(st.sampled_from("abc"), st.sampled_from(["&v {k: 1}", "&v 1", "&v [1, 2]"]), st.none() | entries)
def test_a_shared_value_is_never_changed_for_another_entry(
    name: str, anchored: str, entry: dict[str, object] | None
) -> None:
    text = f"# c\na:\n  x: {anchored} # x\n  t: 1\nb:\n  y: *v\nc: {{z: [*v]}}\n"
    before = held(text.encode())
    try:
        result, _ = edit(text.encode(), [Remove(name) if entry is None else Put(name, entry)])
    except EditRefusedError as error:
        refusal = name, error.code
    else:
        refusal = None
    if refusal:
        assert refusal == ("a", Code.ENTRY_SHARED)
        return
    after = held(result)
    assert exactly({key: after[key] for key in before if key != name}) == exactly(
        {key: before[key] for key in before if key != name}
    )


@bounded
@given(st.lists(st.tuples(names, entries), max_size=4))
def test_values_are_written_so_that_every_reader_reads_them_back(puts: list[tuple[str, dict[str, object]]]) -> None:
    result, manifest = edit(None, [Put(name, entry) for name, entry in puts])
    wanted = {name: entry_from(name, entry).entry for name, entry in puts}
    assert exactly(held(result)) == exactly(wanted)
    assert from_json(to_json(manifest)) == manifest
    loaded = yaml.safe_load(result) or {}
    for name, entry in wanted.items():
        read_by_others = {key: value for key, value in loaded[name].items() if key != "dataObjectId"}
        assert exactly(read_by_others) == exactly({key: value for key, value in entry.items() if key != "dataObjectId"})


noise = st.one_of(
    st.binary(max_size=60),
    st.text(alphabet="ab:-?[]{},&*!|>'\"%#\n\r \t<~.0159é\x85\u2028\ufeff", max_size=60).map(str.encode),
    st.lists(
        st.sampled_from(
            ["a: ", "- ", "b", "\n", "  ", "&x ", "*x", "|\n", ">-\n", "{", "}", "[", "]", ",", "# c\n", "? ", "<<"]
        )
        | st.sampled_from(
            ["artifacts:", "name: ", "---\n", "...\n", "'", '"', "!!str ", "\r\n", "1", ".nan", "type: "]
        ),
        max_size=25,
    ).map(lambda parts: "".join(parts).encode()),
)


@settings(bounded, max_examples=1500)
@given(noise)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        manifest = read(data)
    except ManifestRefusedError:
        return
    assert from_json(to_json(manifest)) == manifest
    for name, entry in manifest.entries.items():
        assert entry_from(name, entry.entry) == entry


@settings(bounded, max_examples=1500)
@given(
    noise,
    st.sampled_from(
        [Put("b", {"x": 1}), Put("a", {"b": [1]}), Remove("a"), Rename("a", "z"), Restore("b", b"b: {}\n")]
    ),
)
def test_any_file_is_edited_as_meant_or_left_alone(data: bytes, one: Put | Remove | Rename | Restore) -> None:
    try:
        before = held(data)
        result, manifest = edit(data, [one])
    except (ManifestRefusedError, EditRefusedError):
        return
    assert read(result) == manifest
    changed = {one.name, one.to} if isinstance(one, Rename) else {one.name}
    assert exactly({k: v for k, v in held(result).items() if k not in changed}) == exactly(
        {k: v for k, v in before.items() if k not in changed}
    )


@bounded
@given(entries, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_of_a_stored_manifest_is_noticed(entry: dict[str, object], at: int, flip: int) -> None:
    stored = bytearray(to_json(edit(None, [Put("a", entry)])[1]))
    stored[at % len(stored)] ^= flip
    with pytest.raises(ValueError, match="not a stored manifest"):
        from_json(bytes(stored))
