"""API tokens made, listed and revoked where the catalogue is, beside the servers that run on it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from app.logs import configure_logging
from app.main import places_of
from app.registry.access.file import ROLES, author_from, problem_with_glob, problem_with_token_name
from app.registry.access.page import PolicyError
from app.registry.access.policy import Policy, Token
from app.registry.access.tokens import Scope, TokenError, Tokens
from app.registry.errors import ContentionError
from app.registry.model import Actor
from app.remote.screen import Screen, literal, note
from app.serving import read_settings
from app.stores.connect import Places, look_into
from app.stores.errors import StoreError

REFUSED = 1
FAILED = 3
BROKEN = 4


def create(options: Mapping[str, Any], name: str, scope: Scope) -> None:
    """Make a token and print it. Raises typer.BadParameter, and typer.Exit, the reason said."""
    if problem := problem_with_token_name(name):
        raise typer.BadParameter(problem, param_hint="NAME")
    settings = read_settings(options)
    actor = Actor(settings.actor_name, settings.actor_email)
    with _catalogue(places_of(settings)) as tokens:
        text = tokens.create(name, scope, actor)
    typer.echo(text)
    note(f"{name} is a {scope.role} of {', '.join(scope.projects)} until {_shown(scope.expires)}.")
    note("The token is shown this once, and only its hash is kept. Send it as 'Authorization: Bearer TOKEN'.")


def show(options: Mapping[str, Any]) -> None:
    """Print every token: what it may do, and until when. Raises typer.Exit, the reason said."""
    with _catalogue(places_of(read_settings(options))) as tokens:
        policy = tokens.policy()
    if not policy.tokens:
        note("There are none.")
        return
    rows = [(token.name, *_told(policy, token)) for token in sorted(policy.tokens.values(), key=lambda one: one.name)]
    Screen().table(("name", "may", "expires", "author"), [[literal(cell) for cell in row] for row in rows])


def revoke(options: Mapping[str, Any], name: str) -> None:
    """Take a token out. Raises typer.Exit, the reason said."""
    settings = read_settings(options)
    actor = Actor(settings.actor_name, settings.actor_email)
    with _catalogue(places_of(settings)) as tokens:
        tokens.revoke(name, actor)
    note(f"The token {name} is revoked; servers that run refuse it from their next look at the catalogue on.")


def scope_of(role: str, projects: list[str], days: int, author: str | None) -> Scope:
    """What the options of `token create` mean. Raises typer.BadParameter."""
    for pattern in projects:
        if problem := problem_with_glob(pattern):
            raise typer.BadParameter(problem, param_hint="--project")
    by = author_from(author) if author else None
    if author and by is None:
        raise typer.BadParameter("An author is written as 'Name <address>'.", param_hint="--author")
    return Scope(ROLES[role], tuple(projects), datetime.now(UTC) + timedelta(days=days), by)


@contextmanager
def _catalogue(places: Places) -> Iterator[Tokens]:
    """The tokens of a registry. What goes wrong with them ends the program with a sentence."""
    configure_logging()  # the audit has a line for each that is made or revoked
    try:
        _, repository, _ = look_into(places)
        yield Tokens(repository)
    except TokenError as error:
        raise _stop(REFUSED, str(error)) from error
    except PolicyError as error:
        raise _stop(BROKEN, f"{error} Nothing was changed.") from error
    except (StoreError, ContentionError) as error:
        raise _stop(FAILED, str(error)) from error


def _stop(status: int, message: str) -> typer.Exit:
    note(message)
    return typer.Exit(status)


def _told(policy: Policy, token: Token) -> tuple[str, str, str]:
    own = f"token:{token.name}"
    may = "; ".join(f"{one.role} {' '.join(one.projects.patterns)}" for one in policy.grants if own in one.who)
    expires = datetime.fromtimestamp(token.expires_at, UTC)
    passed = " (expired)" if expires <= datetime.now(UTC) else ""
    return may, _shown(expires) + passed, f"{token.actor.name} <{token.actor.email}>"


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
