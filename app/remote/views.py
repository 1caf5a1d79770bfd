"""How what was read is shown to people."""

import json
from collections.abc import Sequence
from typing import Any

import yaml
from rich.filesize import decimal
from rich.table import Column
from rich.text import Text

from app.remote.screen import Screen, literal
from app.remote.shapes import (
    Artifact,
    Branch,
    Change,
    Commit,
    CommittedChange,
    Comparison,
    Event,
    EventKind,
    FieldChange,
    Kind,
    Label,
    LoggedCommit,
    Problem,
    Project,
    StoredObject,
    WholeArtifact,
)

SIGNS: dict[Kind, tuple[str, str]] = {"ADDED": ("+", "green"), "REMOVED": ("-", "red"), "MODIFIED": ("~", "yellow")}
STATES = {"READY": "green", "PENDING": "yellow", "MISSING": "red", "VALID": "green", "ABSENT": "dim", "BROKEN": "red"}
EVENTS: dict[str, str] = {
    EventKind.ARTIFACT_ADDED: "green",
    EventKind.ARTIFACT_MODIFIED: "yellow",
    EventKind.ARTIFACT_REMOVED: "red",
    EventKind.BRANCH_CREATED: "green",
    EventKind.BRANCH_DELETED: "red",
    EventKind.BRANCH_REWRITTEN: "magenta",
    EventKind.MANIFEST_BROKEN: "red",
    EventKind.MANIFEST_REPAIRED: "green",
}
ABBREVIATED = 12
COMMIT = Column("commit", no_wrap=True)
WHEN = Column("when", no_wrap=True)
DATA_OBJECT_ID = Column("data object id", no_wrap=True, overflow="ellipsis", max_width=24)


def projects(screen: Screen, found: Sequence[Project]) -> None:
    """The projects as a table."""
    rows = [
        (
            literal(one.name, "bold"),
            literal(one.default_branch.name if one.default_branch else ""),
            Text(str(one.branches.total_count)),
            Text(str(one.default_branch.artifacts.total_count) if one.default_branch else ""),
            literal(one.description),
        )
        for one in found
    ]
    screen.table(("project", "default branch", "branches", "artifacts", "description"), rows)


def branches(screen: Screen, found: Sequence[Branch]) -> None:
    """The branches of a project as a table; the default one has a star."""
    rows = [
        (
            literal(one.name, "bold").append(" *" if one.is_default else ""),
            _oid(one.head),
            _moment(one.head),
            _state(one.manifest.state),
            literal(one.head.headline),
        )
        for one in found
    ]
    screen.table(("branch", COMMIT, WHEN, "manifest", "what"), rows)


def artifacts(screen: Screen, found: Sequence[Artifact]) -> None:
    """The artifacts of a commit as a table. An id that is long is cut on a terminal."""
    rows = [
        (
            literal(one.name, "bold"),
            literal(one.type or ""),
            literal(one.data_object_id or ""),
            _labels(one.labels),
            _size(one.object),
            _state(one.object.state if one.object else ""),
        )
        for one in found
    ]
    screen.table(("artifact", "type", DATA_OBJECT_ID, "labels", "size", "state"), rows)


def artifact(screen: Screen, one: WholeArtifact) -> None:
    """Everything about an artifact."""
    screen.line(literal(one.name, "bold"))
    pin = one.object
    screen.facts(
        [
            ("type", literal(one.type or "")),
            ("data object id", literal(one.data_object_id or "")),
            ("description", _lines(one.description)),
            ("labels", _labels(one.labels)),
            ("metadata", _lines(_yaml(one.metadata))),
            ("digest", literal(pin.digest if pin else "")),
            ("size", _size(pin)),
            ("state", _state(pin.state if pin else "")),
            ("content type", literal(pin.content_type if pin else "")),
            ("file name", literal((pin.filename if pin else None) or "")),
            ("read at", _commit(one.commit)),
            ("last change", _commit(one.last_change.commit) if one.last_change else Text()),
        ]
    )


def commits(screen: Screen, found: Sequence[LoggedCommit]) -> None:
    """A history as a table, newest first."""
    rows = [(_oid(one), _moment(one), literal(one.author.name), literal(one.headline)) for one in found]
    screen.table((COMMIT, WHEN, "who", "what"), rows)


def commits_with_changes(screen: Screen, found: Sequence[LoggedCommit]) -> None:
    """A history, newest first, with what each commit did."""
    for one in found:
        screen.line(_commit(one))
        for each in one.changes.nodes if one.changes else ():
            change(screen, each, 2)


def committed_changes(screen: Screen, found: Sequence[CommittedChange]) -> None:
    """The history of an artifact, newest first."""
    for one in found:
        screen.line(_commit(one.commit))
        change(screen, one, 2)


def comparison(screen: Screen, found: Comparison) -> None:
    """What differs between two commits."""
    screen.facts([("base", _commit(found.base)), ("head", _commit(found.head))])
    for one in found.changes.nodes:
        change(screen, one)


def change(screen: Screen, one: Change, indent: int = 0) -> None:
    """What happened to an artifact, value by value."""
    sign, style = SIGNS[one.kind]
    screen.line(Text(f"{sign} ", style).append_text(literal(one.name, "bold")), indent)
    for field in one.fields:
        screen.line(_field(one.kind, field), indent + 4)


def event(screen: Screen, one: Event) -> None:
    """Something that happened, on a line."""
    parts = (
        literal(_second(one.occurred_at), "dim"),
        literal(f"{one.kind:<17}", EVENTS.get(one.kind, "")),
        literal(f"{one.project_name} {one.branch_name}"),
        literal(one.commit[:ABBREVIATED], "yellow"),
        literal(one.artifact_name or "", "bold"),
        literal(one.actor.name if one.actor else ""),
        _headline(one),
    )
    screen.line(Text("  ").join(part for part in parts if part.plain))


def _headline(one: Event) -> Text:
    """The first thing that an event says."""
    if one.previous_head is not None:
        return Text("was at ").append_text(literal(one.previous_head[:ABBREVIATED], "yellow"))
    if one.problems:
        return problem(one.problems[0])
    if one.change is None:
        return Text()
    told = [field for field in one.change.fields if one.change.kind == "MODIFIED" or field.path == "/type"]
    if not told:
        return Text()
    more = f", {len(told) - 1} more" if len(told) > 1 else ""
    return _field(one.change.kind, told[0]).append(more)


def _field(kind: Kind, field: FieldChange) -> Text:
    """One value that differs. A null stands for a value that is not there, unless the other is null, too."""
    if kind == "MODIFIED" and (field.before is None) is not (field.after is None):
        kind = "ADDED" if field.before is None else "REMOVED"
    sign, style = SIGNS[kind]
    line = Text(f"{sign} ", style).append_text(literal(field.path or "(the entry)", style)).append("  ")
    if kind != "ADDED":
        line.append_text(_value(field.before, "red"))
    if kind == "MODIFIED":
        line.append(" → ")
    if kind != "REMOVED":
        line.append_text(_value(field.after, "green"))
    return line


def _value(value: Any, style: str) -> Text:
    """A value as JSON, so that 1 and "1" differ."""
    return literal(json.dumps(value, ensure_ascii=False), style)


def _commit(commit: Commit) -> Text:
    gap = Text("  ")
    return gap.join((_oid(commit), _moment(commit), literal(commit.author.name), literal(commit.headline)))


def _oid(commit: Commit) -> Text:
    return literal(commit.abbreviated_oid, "yellow")


def _moment(commit: Commit) -> Text:
    """When it was written."""
    return literal(_second(commit.author.at), "dim")


def _second(moment: str) -> str:
    """A moment in UTC, to the second."""
    return moment[:19].replace("T", " ") + "Z"


def _labels(labels: Sequence[Label]) -> Text:
    words = (one.key if one.value is None else f"{one.key}={one.value}" for one in labels)
    return literal(", ".join(words))


def _size(pin: StoredObject | None) -> Text:
    return Text(decimal(int(pin.size)) if pin else "")


def _state(state: str) -> Text:
    return literal(state, STATES.get(state, ""))


def _lines(text: str) -> Text:
    """Text of several lines."""
    return Text("\n").join(literal(line) for line in text.splitlines())


def _yaml(metadata: dict[str, Any]) -> str:
    return str(yaml.safe_dump(metadata, allow_unicode=True, sort_keys=False, width=10_000)) if metadata else ""


def problem(one: Problem) -> Text:
    """What is wrong with a manifest, and where."""
    return literal(f"line {one.line}: {one.message}" if one.line else one.message)
