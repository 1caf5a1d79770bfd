"""Commit messages the registry writes: a readable headline, and trailers that it reads back.

The trailers are the last paragraph: who really did it (the author may be another), and for a mutation with an
idempotency key the key and what it was used for.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.registry.model import Actor

ACTOR = "Registry-Actor"
KEY = "Registry-Idempotency-Key"
INPUT = "Registry-Input"
RESERVED = re.compile(r"^Registry-[A-Za-z-]+:", re.MULTILINE)
NAMED = 3


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's key and the digest of the input it came with."""

    key: str
    digest: str

    @classmethod
    def of(cls, key: str, value: Any) -> "Idempotency":
        """The key for an input given as JSON values."""
        text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return cls(key, hashlib.sha256(text.encode()).hexdigest()[:32])


def with_trailers(text: str, actor: Actor, idempotency: Idempotency | None = None) -> str:
    """A commit message with the registry's trailers."""
    trailers = [f"{ACTOR}: {actor.name} <{actor.email}>"]
    if idempotency:
        trailers += [f"{KEY}: {idempotency.key}", f"{INPUT}: {idempotency.digest}"]
    return f"{text.rstrip()}\n\n" + "\n".join(trailers) + "\n"


def idempotency_of(message: str) -> Idempotency | None:
    """The key a commit was made with, read from its last paragraph; None when it was made without."""
    found = dict(line.split(": ", 1) for line in message.rstrip().rsplit("\n\n", 1)[-1].splitlines() if ": " in line)
    if KEY in found and INPUT in found:
        return Idempotency(found[KEY], found[INPUT])
    return None


def problem_with_message(text: str) -> str | None:
    """Why a caller's commit message cannot be used, or None."""
    if not text.strip():
        return "A message says what the commit does; leave it out to have one written."
    if RESERVED.search(text):
        return "Lines that begin with 'Registry-…:' are the registry's own; write them another way."
    return None


def describe(acts: Sequence[tuple[str, str]]) -> str:
    """A message from (verb, name) pairs: one line for a few, a list below the headline for many."""
    said = list(dict.fromkeys(f"{verb} {name}" for verb, name in acts))
    if len(said) <= NAMED:
        first, *others = said or ["Change nothing"]
        return ", ".join([first, *(_lowered(act) for act in others)])
    headline = f"{said[0]} and {len(said) - 1} more changes"
    return headline + "\n\n" + "\n".join(f"- {act}" for act in said)


def _lowered(act: str) -> str:
    return act[0].lower() + act[1:]
