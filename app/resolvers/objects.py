"""Bytes: where they stand, and the requests that move them."""

from collections.abc import Sequence
from functools import partial

from app.registry.access.identity import Role
from app.registry.artifacts import ObjectRequest, pin_of
from app.registry.errors import InvalidInputError, Issue
from app.registry.manifest import ObjectPin
from app.registry.model import ObjectState, Project
from app.registry.transfers import Completed
from app.registry.uploads import Upload, WantedPart
from app.resolvers.context import Context
from app.stores.ports import SignedRequest

DEFAULT_SECONDS = 900
MAX_SECONDS = 7 * 24 * 3600


async def state(context: Context, project: Project, pin: ObjectPin) -> ObjectState:
    """Whether pinned bytes can be fetched."""
    return await context.registry.presence.state(project, pin)


async def download(context: Context, project: Project, pin: ObjectPin, expires_in: int | None) -> SignedRequest | None:
    """A signed request for pinned bytes; None while they are not READY. Raises InvalidInputError."""
    seconds = DEFAULT_SECONDS if expires_in is None else expires_in
    if not 1 <= seconds <= MAX_SECONDS:
        raise InvalidInputError.of("expiresIn", f"A link works for 1 to {MAX_SECONDS} seconds, not {seconds}.")
    if await state(context, project, pin) is not ObjectState.READY:
        return None
    context.count_presigns(1)
    return await context.registry.transfers.download(project, pin, seconds)


async def create_uploads(
    context: Context, project_name: str, objects: Sequence[ObjectRequest], *, checked: bool
) -> tuple[Upload, ...]:
    """Uploads for these bytes; `checked` ones give each part's digest. Raises InvalidInputError, NotFoundError."""
    project = context.require(project_name, Role.WRITER)
    if not 1 <= len(objects) <= context.limits.commit_changes:
        message = f"Ask for 1 to {context.limits.commit_changes} uploads at once, not {len(objects)}."
        raise InvalidInputError.of("objects", message)
    issues = [
        Issue(("objects", str(index), *issue.path[1:]), issue.message)
        for index, wanted in enumerate(objects)
        for issue in context.registry.artifacts.problems_of_object(wanted)
    ]
    if issues:
        raise InvalidInputError(issues)
    context.count_presigns(1)
    pins = [pin_of(wanted) for wanted in objects]
    made = await context.registry.transfers.create(project, pins, checked=checked)
    context.count_uploads(made)
    return made


async def upload(context: Context, upload_id: str, wanted: Sequence[WantedPart] | None) -> Upload:
    """An upload as the store has it now, with requests for its parts. Raises InvalidInputError, NotFoundError."""
    context.require(context.registry.uploads.ticket(upload_id).project, Role.WRITER)
    context.count_presigns(1)
    resumed = await context.registry.uploads.resume(upload_id, wanted)
    context.count_uploads([resumed])
    return resumed


async def complete_upload(context: Context, upload_id: str, etags: Sequence[str] | None) -> Completed:
    """Check what an upload brought and commit that it is here, on the branches that the caller may move."""
    project = context.require(context.registry.uploads.ticket(upload_id).project, Role.WRITER)
    moves = partial(context.moves, project)
    return await context.registry.transfers.complete(project, upload_id, etags, context.caller, moves)
