"""Events as a queue carries them: CloudEvents 1.0 in JSON, the same bytes wherever and however often they are made.

`data` has the fields of the GraphQL event under the same names. What would be too large for a queue is cut down to what
names it, says so in `truncated`, and stands in Git at its commit.
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

from app.registry.diff import fields
from app.registry.manifest import Problem
from app.registry.model import Actor, Artifact, Change, Event
from app.stores.ports import BATCH_BYTES, Message

LONGEST = 256
"""Characters of an attribute, and of a name in an event that is cut down."""
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def message_of(event: Event) -> Message:
    """An event as a message. Its group is its branch, so each branch is told of in order."""
    whole = _message(event, data_of(event))
    return whole if whole.size <= BATCH_BYTES else _message(event, cut_down(data_of(event)))


def data_of(event: Event) -> dict[str, Any]:
    """What happened, as the GraphQL event says it."""
    return {
        "projectName": event.project.name,
        "branchName": event.branch,
        "commit": event.commit,
        "sequence": event.sequence,
        "kind": event.kind.value,
        "occurredAt": _moment(event.occurred_at),
        "actor": _actor(event.actor) if event.actor else None,
        "artifactName": event.change.name if event.change else None,
        "change": _change(event.change) if event.change else None,
        "problems": [_problem(one) for one in event.problems],
        "previousHead": event.previous_head,
        "truncated": False,
    }


def cut_down(data: dict[str, Any]) -> dict[str, Any]:
    """The same without what has no bound: what the entry says, what is wrong with the manifest, long names."""
    actor = data["actor"] and {name: value[:LONGEST] for name, value in data["actor"].items()}
    change = data["change"] and {**data["change"], "fields": [], "before": None, "after": None}
    return {**data, "actor": actor, "change": change, "problems": [], "truncated": True}


def _message(event: Event, data: dict[str, Any]) -> Message:
    project, branch = event.project.name, event.branch
    envelope = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/projects/{project}",
        "type": "ml-registry." + event.kind.value.lower().replace("_", "."),
        "subject": f"{branch}:{event.change.name}" if event.change else branch,
        "time": data["occurredAt"],
        "datacontenttype": "application/json",
        "data": data,
    }
    body = json.dumps(envelope, separators=(",", ":"))
    group = hashlib.sha256(f"{project}\0{branch}".encode()).hexdigest()
    return Message(event.id, group, body, _attributes(event))


def _attributes(event: Event) -> dict[str, str]:
    """What a subscriber of the queue may filter by, named as in the GraphQL filter; what is empty is left out."""
    change = event.change
    entry = change and (change.after or change.before)
    values = {
        "project": event.project.name,
        "branch": event.branch,
        "kind": event.kind.value,
        "artifact": change.name if change else None,
        "type": entry.entry.type if entry else None,
    }
    return {name: NOT_XML.sub("\ufffd", value)[:LONGEST] for name, value in values.items() if value}


def _change(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind.value,
        "name": change.name,
        "fields": [{"path": one.path, "before": one.before, "after": one.after} for one in fields(change)],
        "before": _entry(change.before) if change.before else None,
        "after": _entry(change.after) if change.after else None,
    }


def _entry(artifact: Artifact) -> dict[str, Any]:
    return {"entry": artifact.entry.entry}


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "message": problem.message,
        "line": problem.line,
        "column": problem.column,
        "artifact": problem.artifact,
    }


def _actor(actor: Actor) -> dict[str, str]:
    return {"name": actor.name, "email": actor.email}


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
