"""An entry that is restored comes back in the words it was written in, wherever they can stand."""

from textwrap import indent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.registry.manifest import Edit, EditRefusedError, Put, Remove, Restore, edit, read

OWN = """\
a:   # the a
    type: 'model'

    note: |
        two lines

          one deeper
    # below
"""
BY_2, BY_4 = indent(OWN, "  "), indent(OWN, "    ")
DEEP = f"artifacts:\n    # about a\n{BY_4}\n    b: {{y: 1}}\n"


def edited(text: str, *edits: Edit) -> str:
    return edit(text.encode(), edits)[0].decode()


def restored(text: str, source: str, *names: str) -> str:
    """What becomes of a file when entries of another version are put back in it, each by an edit of its own."""
    for name in names or ("a",):
        text = edited(text, Restore(name, source.encode()))
        assert repr(read(text.encode()).entries[name].entry) == repr(read(source.encode()).entries[name].entry)
    return text


def test_a_restore_brings_back_the_lines_a_human_wrote_and_leaves_the_comments_around_them() -> None:
    old = "q: {}\na:\n  z: 'x' # c\n  # deep\n# not its own\n"
    assert restored("# head\na: # now\n  z: x\n\n# about b\nb: {}\n", old) == (
        "# head\na:\n  z: 'x' # c\n  # deep\n\n# about b\nb: {}\n"
    )


@pytest.mark.parametrize(
    ("now", "then", "after"),
    [
        ("b: {}\r\n", "a:\n  z: 'x' # c\nb: {}\n", "b: {}\r\na:\r\n  z: 'x' # c\r\n"),
        ("b: {}\n", "a:\r\n  z: 'x' # c\r\n", "b: {}\na:\n  z: 'x' # c\n"),
        ("a: {}\r\nb: {}\r\n", "a:\n  z: |\n    p\n\n    q\n", "a:\r\n  z: |\r\n    p\r\n\r\n    q\r\nb: {}\r\n"),
        ("# c\r\n", "a:\n  z: 'x'\n", "# c\r\na:\r\n  z: 'x'\r\n"),
        ("{b: {},\r\n a: {}}\r\n", "{a: {v: 1,\n  w: 'q'}}\n", "{b: {},\r\n a: {v: 1,\r\n  w: 'q'}}\r\n"),
        ("", "a:\r\n  z: 'x'\r\n", "a:\r\n  z: 'x'\r\n"),
    ],
)
def test_a_restore_takes_the_line_ends_of_the_file_if_it_has_any(now: str, then: str, after: str) -> None:
    assert restored(now, then) == after


@pytest.mark.parametrize(
    ("now", "then", "after"),
    [
        ("\ufeffb: {}\n", "\ufeffa: {z: 'x'}\n", "\ufeffb: {}\na: {z: 'x'}\n"),
        ("\ufeff", "a: {z: 'x'}\n", "\ufeffa: {z: 'x'}\n"),
        ("b: {}\n", "\ufeffa: {z: 'x'}\n", "b: {}\na: {z: 'x'}\n"),
    ],
)
def test_a_restore_neither_brings_nor_takes_a_byte_order_mark(now: str, then: str, after: str) -> None:
    assert restored(now, then) == after


@pytest.mark.parametrize(
    ("now", "then", "after"),
    [
        ("b: {}\n", "b: {}\na:\n  z: 'x' # c", "b: {}\na:\n  z: 'x' # c\n"),
        ("b: {}", "a:\n  z: 'x' # c\n", "b: {}\na:\n  z: 'x' # c"),
        ("a: {}\nb: {}", "a:\n  z: 'x'", "a:\n  z: 'x'\nb: {}"),
        ("", "a: {z: 'x'}", "a: {z: 'x'}\n"),
    ],
)
def test_a_last_line_that_does_not_end_stays_that_of_the_file(now: str, then: str, after: str) -> None:
    assert restored(now, then) == after


@pytest.mark.parametrize(
    ("empty", "after"),
    [
        ("", "{}"),
        ("# only\n", "# only\n{}"),
        ("---\n# c\n...\n# d\n", "---\n# c\n{}...\n# d\n"),
        ("{}\n", "{}"),
    ],
)
def test_an_entry_comes_back_as_it_was_into_a_file_without_entries(empty: str, after: str) -> None:
    own = "a:   # the a\n    z: 'x'\n\n    # below\n"
    assert restored(empty, f"b: 1\n{own}# end\n") == after.replace("{}", own)


@pytest.mark.parametrize(
    "text",
    [
        "# head\na:\n  x: 'y'  # z\n",
        "artifacts:\n    a: # a\n        x:   1\nv: 1\n",
        "artifacts:\n- name: a # a\n  x: 'y'\n",
        "artifacts: # c\n  - id: a # a\n",
        "v: 1\nartifacts: {a: {v: 1,  w: 'q'}} # c\n",
        "{a: {v: 1,  w: 'q'}}",
        "artifacts: [{name: a,  w: 'q'}]\n",
    ],
)
def test_a_file_is_what_it_was_when_its_only_entry_is_removed_and_restored(text: str) -> None:
    assert restored(edited(text, Remove("a")), text) == text


@pytest.mark.parametrize(
    ("now", "then", "after"),
    [
        ("a: {}\n", DEEP, OWN),
        ("", DEEP, OWN),
        ("artifacts:\n  a: {}\n", DEEP, f"artifacts:\n{BY_2}"),
        ("artifacts:\n  b: {}\nv: 1\n", DEEP, f"artifacts:\n  b: {{}}\n{BY_2}v: 1\n"),
        ("artifacts:\n    b: {}\n", f"artifacts:\n{BY_2}", f"artifacts:\n    b: {{}}\n{BY_4}"),
        ("artifacts: # c\n", OWN, f"artifacts: # c\n{BY_2}"),
        (
            "artifacts:\n- name: a\n",
            "artifacts:\n  - name: 'a' # c\n    x: 1\n",
            "artifacts:\n- name: 'a' # c\n  x: 1\n",
        ),
        (
            "artifacts:\n  - name: b\n",
            "artifacts:\n- id: 'a'\n\n  x: 1\n",
            "artifacts:\n  - name: b\n  - id: 'a'\n\n    x: 1\n",
        ),
    ],
)
def test_an_entry_that_stood_at_another_column_is_moved_as_a_whole(now: str, then: str, after: str) -> None:
    assert restored(now, then) == after


def test_a_text_with_an_indentation_of_its_own_is_moved_with_its_entry() -> None:
    then = "artifacts:\n    a:\n        z: |2 # explicit\n            x\n          y\n           \n"
    assert restored("a: {}\n", then) == "a:\n    z: |2 # explicit\n        x\n      y\n       \n"


def test_a_line_that_cannot_be_moved_as_far_as_the_others_brings_back_the_values() -> None:
    then = 'artifacts:\n    a:\n        z: "x\n y"  # c\n'
    assert restored("a: {}\n", then) == "a:\n  z: x y\n"
    assert restored("artifacts:\n    a: {}\n", then) == then


@pytest.mark.parametrize(
    ("now", "then", "after"),
    [
        ("{a: {v: 2}, b: {}}", "{a: {v: 1,  w: 'q'}}", "{a: {v: 1,  w: 'q'}, b: {}}"),
        ("{b: {}}", "{a: {v: 1,  w: 'q'}, c: {}}", "{b: {}, a: {v: 1,  w: 'q'}}"),
        ('{\n  "b": {}\n}\n', '{\n  "a" : {"v":1} , # c\n  "b": {}\n}\n', '{\n  "b": {},\n  "a" : {"v":1}\n}\n'),
        ("{a: {v: 2}} # c\n", "{a: {v: 1, # one\n  'w': q,}}", "{a: {v: 1, # one\n  'w': q,}} # c\n"),
        ("{}\n", "{a: {v: 1,  w: 'q'}}", "{a: {v: 1,  w: 'q'}}\n"),
        ("artifacts: {}  # c\n", "{a: {v: 1,  w: 'q'}}", "artifacts: {a: {v: 1,  w: 'q'}}  # c\n"),
        ("{artifacts: {b: {}}}", "{a: {v: 1,  w: 'q'}}", "{artifacts: {b: {}, a: {v: 1,  w: 'q'}}}"),
        ("artifacts: [{id: b}]\n", "artifacts: [{name: 'a',  v: 1}]\n", "artifacts: [{id: b}, {name: 'a',  v: 1}]\n"),
        ("artifacts: []\n", "artifacts: [{name: 'a',  v: 1}]\n", "artifacts: [{name: 'a',  v: 1}]\n"),
    ],
)
def test_an_entry_of_a_flow_file_comes_back_as_it_was_into_a_flow_file(now: str, then: str, after: str) -> None:
    assert restored(now, then) == after


@pytest.mark.parametrize(
    ("now", "then", "after"),
    [
        ("{b: {}}", "a:\n  z: 'x'\n", "{b: {}, a: {z: x}}"),
        ("b: {}\n", "{a: {z: 'x'}}", "b: {}\na:\n  z: x\n"),
        ("b: {}\n", "artifacts:\n- name: a\n  z: 'x'\n", "b: {}\na:\n  z: x\n"),
        ("", "artifacts:\n- name: a\n  z: 'x'\n", "a:\n  z: x\n"),
        ("artifacts: [{id: b}]", "{a: {z: 'x'}}", "artifacts: [{id: b}, {id: a, z: x}]"),
        ("artifacts: []\n", "{a: {z: 'x'}}", "artifacts: [{name: a, z: x}]\n"),
    ],
)
def test_a_restore_from_another_style_brings_back_the_values(now: str, then: str, after: str) -> None:
    assert restored(now, then) == after


def test_nothing_is_touched_where_neither_the_words_can_come_back_nor_the_values_differ() -> None:
    now = "? a\n: {  } # c\nb: { z: 'x'}\n"
    assert restored(now, "{a: {}, b: {z: x}}", "a", "b") == now


def test_a_restore_of_an_entry_that_shares_values_with_others_brings_back_the_values() -> None:
    assert restored("b: {}\n", "x: &x {k: 1}\na:\n  z: *x\n") == "b: {}\na:\n  z:\n    k: 1\n"
    assert restored("b: {}\n", "a:\n  z: &x 'k'\nx: {k: *x}\n") == "b: {}\na:\n  z: k\n"


def test_a_restore_of_an_entry_that_shares_values_with_itself_brings_back_its_words() -> None:
    assert restored("b: {}\n", "a:\n  z: &x 'k'\n  y: *x\n") == "b: {}\na:\n  z: &x 'k'\n  y: *x\n"


@pytest.mark.parametrize(
    ("now", "then", "after"),
    [
        ("a: {}\n\nb: {}\n", "a:\n  z: |+\n    x\nb: {}\n", "a:\n  z: |\n    x\n\nb: {}\n"),
        ("c: {k: &v 1}\na: {}\nb: {k: *v}\n", "a: {z: &v 'x'}\n", "c: {k: &v 1}\na:\n  z: x\nb: {k: *v}\n"),
    ],
)
def test_words_that_would_mean_something_else_there_give_way_to_the_values(now: str, then: str, after: str) -> None:
    assert restored(now, then) == after


def test_what_can_be_written_neither_in_words_nor_in_values_is_refused() -> None:
    with pytest.raises(EditRefusedError):
        restored("a: &a {x: 1}\nb: *a\n", "a:\n  x: 2 # c\n")


def test_entries_that_are_restored_in_sequence_all_come_back_as_they_were() -> None:
    then = "# head\na:   # the a\n    x: '1'\nb: {y:  1} # b\n\nc:\n  z: |-\n    q\n  # end of c\n"
    for order in ("abc", "cab"):
        text = restored("", then, *order)
        for own in ("a:   # the a\n    x: '1'\n", "b: {y:  1} # b\n", "c:\n  z: |-\n    q\n  # end of c\n"):
            assert own in text
        assert restored(text, then, *order) == text


def test_several_restores_of_one_edit_stand_in_their_order() -> None:
    then = b"artifacts:\n- name: a # a\n- id: 'b'\n"
    assert edited("artifacts:\n", Restore("b", then), Restore("a", then)) == "artifacts:\n- id: 'b'\n- name: a # a\n"
    assert edited("artifacts:\n", Restore("b", then), Put("c", {})) == "artifacts:\n- id: 'b'\n- name: c\n"


spaces = st.sampled_from(["", " ", "  ", "\n  ", " # c, {\n "])
words = st.sampled_from(["'q'", '"it\'s"', "plain text", "007", "[1,  2,]", "{k : 'v'}", "null"])
pairs = st.dictionaries(st.sampled_from(["v", "'w'", '"x"']), words, max_size=3)


@st.composite
def flow_entries(draw: st.DrawFn) -> str:
    """The value of an entry as somebody may write it in flow style."""
    inner = draw(st.sampled_from([",", ", ", ",\n   "])).join(f"{key}: {word}" for key, word in draw(pairs).items())
    return f"{{{draw(spaces)}{inner}{draw(spaces)}}}"


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.dictionaries(st.sampled_from("abc"), flow_entries(), max_size=3),
    flow_entries(),
    st.sampled_from([", ", ",\n", " , # c\n  "]),
    st.sampled_from([("{", "}"), ("{\n  ", "\n}\n"), ("artifacts: {", "}\n"), ("{v: {}, artifacts: {", "}}")]),
)
def test_any_flow_entry_comes_back_as_it_was_and_touches_no_other(
    others: dict[str, str], own: str, comma: str, around: tuple[str, str]
) -> None:
    now = around[0] + comma.join(f"{name}: {value}" for name, value in others.items()) + around[1]
    after = restored(now, f"{{z: 1, 'a': {own}}}")
    assert f"'a': {own}" in after
    assert all(f"{name}: {value}" in after for name, value in others.items() if name != "a")
