"""From the bytes of `access.yml` to a policy. What is understood by half is refused: nothing in it is guessed."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from app.registry import names
from app.registry.access.identity import Role
from app.registry.access.page import Value, read_page
from app.registry.access.policy import ANYONE, Globs, Grant, Policy, Protection, Token
from app.registry.model import SHA256, Actor

ROLES = {str(role): role for role in Role if role is not Role.NOBODY}
CLOSED = "closed"
TOKEN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
_NAME = re.compile(r"(?:token|user|sub|group):\S")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|[+-][0-9]{2}:[0-9]{2})\Z")
_AUTHOR = re.compile(r"([^<>]+) <([^<>]+)>\Z")


def read_policy(text: bytes) -> Policy:
    """What the file says; that nobody may do anything, when there is nothing in it. Raises PolicyError."""
    page = read_page(text)
    sections = page.fields("tokens", "grants", "protected") if page else {}
    tokens: dict[str, Token] = {}
    grants: list[Grant] = []
    for name, value in sections["tokens"].pairs().items() if "tokens" in sections else ():
        token, scope = _token(name, value)
        if token.digest in tokens:
            raise value.refused(f"{tokens[token.digest].name!r} has this hash as well; remove one of the two.")
        tokens[token.digest] = token
        grants.append(scope)
    if "grants" in sections:
        grants += [_grant(one) for one in sections["grants"].items()]
    protected = sections["protected"].items() if "protected" in sections else ()
    return Policy(tokens, tuple(grants), tuple(_protection(one) for one in protected))


def author_from(text: str) -> Actor | None:
    """Somebody written as `Name <address>`, or None when this is nobody."""
    match = _AUTHOR.match(text)
    if match is None or any(names.problem_with_person(part) for part in match.groups()):
        return None
    return Actor(*match.groups())


def problem_with_token_name(name: str) -> str | None:
    """A token: letters, digits, `_`, `.` and `-`, 100 characters at most."""
    if TOKEN_NAME.match(name):
        return None
    return "A token's name is up to 100 letters, digits, '_', '.' and '-', the first of them a letter or a digit."


def problem_with_glob(text: str) -> str | None:
    """A pattern of names: one line without spaces, 200 characters at most."""
    if text and not names.problem_with_word(text) and not re.search(r"\s", text):
        return None
    return f"A pattern is like 'search/*': 1 to {names.MAX_NAME} printable characters without spaces."


def _token(name: str, value: Value) -> tuple[Token, Grant]:
    if problem := problem_with_token_name(name):
        raise value.refused(problem)
    fields = value.fields("hash", "role", "projects", "expires", "author")
    digest = _required(value, fields, "hash")
    if problem := names.problem_with_digest(digest.text()):
        raise digest.refused(problem)
    expires = _time(_required(value, fields, "expires"))
    actor = _author(fields["author"]) if "author" in fields else Actor(name, f"{name}@localhost")
    role, projects = _role(value, fields), _globs(_required(value, fields, "projects"))
    token = Token(name, digest.text().removeprefix(SHA256), actor, expires.timestamp())
    return token, Grant(frozenset({f"token:{name}"}), role, projects)


def _grant(value: Value) -> Grant:
    fields = value.fields("who", "role", "projects")
    who = list(_required(value, fields, "who").items())
    if not who:
        raise value.refused(f"A grant is to somebody: name them, or '{ANYONE}'.")
    return Grant(frozenset(map(_name, who)), _role(value, fields), _globs(_required(value, fields, "projects")))


def _protection(value: Value) -> Protection:
    fields = value.fields("projects", "branches", "api")
    closed = "api" in fields
    if closed and fields["api"].json != CLOSED:
        raise fields["api"].refused(f"The API is '{CLOSED}' to a branch, or the key is left out.")
    projects, branches = (_globs(_required(value, fields, key)) for key in ("projects", "branches"))
    return Protection(projects, branches, closed)


def _required(value: Value, fields: Mapping[str, Value], key: str) -> Value:
    if key not in fields:
        raise value.refused(f"{key!r} is missing here; add it.")
    return fields[key]


def _role(value: Value, fields: Mapping[str, Value]) -> Role:
    found = _required(value, fields, "role")
    role = ROLES.get(found.text())
    if role is None:
        raise found.refused(f"There is no role {found.json!r}; the roles are {', '.join(ROLES)}.")
    return role


def _globs(value: Value) -> Globs:
    patterns = list(value.items())
    if not patterns:
        raise value.refused("An empty list matches nothing; write '*' in quotes for everything.")
    for one in patterns:
        if problem := problem_with_glob(one.text()):
            raise one.refused(problem)
    return Globs([one.text() for one in patterns])


def _name(value: Value) -> str:
    text = value.text()
    kind, _, name = text.partition(":")
    fits = not names.problem_with_word(text) and (text == ANYONE or _NAME.match(text))
    if not fits or (kind == "token" and problem_with_token_name(name)):
        raise value.refused(f"{text!r} is nobody: write 'user:…', 'sub:…', 'group:…', 'token:…' or '{ANYONE}'.")
    return text


def _time(value: Value) -> datetime:
    text = value.text()
    try:
        if _TIME.match(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):  # it looks like one, and there is no such day
        pass
    raise value.refused(f"{text!r} is no time; write it with its zone, as 2027-02-01T00:00:00Z.")


def _author(value: Value) -> Actor:
    author = author_from(value.text())
    if author is None:
        raise value.refused("An author is written as 'Name <address>'.")
    return author
