"""The audit: who did what where, and what came of it; a line for every write, refusal, token and presigned request.

The lines of the logger `ml_registry.audit` are for those who have to know years later; `docs/operate.md` lists their
fields. Each act is written in one place, as it ends, with the id of the request it was done for.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.registry.errors import RegistryError
from app.registry.trail import NOWHERE, Trail, current

SERVER = "server"
"""Who does what no request asked for."""
DONE = "done"
FAILED = "FAILED"
UNKNOWN = "UNKNOWN"
"""Nobody waited for the end."""
log = logging.getLogger("ml_registry.audit")


@contextmanager
def act(name: str, project: str, **details: Any) -> Iterator[dict[str, Any]]:
    """What is done in the block, with what else is put into the details. A refusal's outcome is its code."""
    outcome = DONE
    try:
        yield details
    except RegistryError as error:
        outcome = error.code
        raise
    except asyncio.CancelledError:
        outcome = UNKNOWN
        raise
    except BaseException:
        outcome = FAILED
        raise
    finally:
        said(name, outcome, project=project, **details)


def said(name: str, outcome: str = DONE, **details: Any) -> None:
    """One act that has ended. What is None is left out."""
    shown = {name: value for name, value in details.items() if value is not None}
    trail = current()
    who = trail.caller if trail is not NOWHERE else SERVER
    fields = {"act": name, "who": who, "outcome": outcome, **shown}
    log.info("%s %s", name, outcome, extra={"fields": fields})


def refused(trail: Trail, what: str) -> None:
    """A request that was not let in, or not let go so far."""
    fields = {"act": "refusal", "who": trail.caller, "outcome": trail.code, "what": what}
    log.warning("refusal %s", trail.code, extra={"fields": fields})
