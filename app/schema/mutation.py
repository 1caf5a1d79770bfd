"""What can be changed: one act each. Git first, then the cache, then the answer."""

from typing import Annotated

import strawberry

from app.registry import artifacts as domain
from app.registry import model
from app.resolvers import artifacts, branches, commits, objects, projects
from app.schema import described
from app.schema.artifact import Artifact
from app.schema.branch import Branch
from app.schema.errors import (
    AlreadyExistsError,
    ConflictError,
    ContentionError,
    DigestMismatchError,
    IdempotencyKeyReusedError,
    InvalidInputError,
    ManifestBrokenError,
    MissingObjectsError,
    NotFoundError,
    RemoteRejectedError,
    RemoteUnavailableError,
)
from app.schema.history import Commit
from app.schema.info import Info
from app.schema.inputs import (
    CommitArtifactsInput,
    CompleteUploadInput,
    CreateBranchInput,
    CreateProjectInput,
    CreateUploadsInput,
    DeleteBranchInput,
    RestoreArtifactInput,
    SyncProjectInput,
)
from app.schema.project import Project
from app.schema.scalars import HEAD, GitObjectID
from app.schema.transfer import StoredObject, Upload


@described.type_
class CreateProjectSuccess:
    """The project was made.

    project: The project.
    """

    project: Project


@described.type_
class CreateBranchSuccess:
    """The branch was made.

    branch: The branch.
    """

    branch: Branch


@described.type_
class DeleteBranchSuccess:
    """The branch was deleted.

    project: Its project.
    head: The commit it was at, from which it can be made again.
    """

    project: Project
    head: GitObjectID


@described.type_
class CommitArtifactsSuccess:
    """The changes are on the branch.

    commit: The commit that made them; the head when there was nothing to change.
    branch: The branch as it is after.
    changed: Whether there is a commit; false when the entries said all this already.
    artifacts: Those put, patched or restored, in the order asked for.
    uploads: One for each object that has not arrived: presigned, ready to PUT.
    """

    commit: Commit
    branch: Branch
    changed: bool
    artifacts: list[Artifact]
    uploads: list[Upload]


@described.type_
class CreateUploadsSuccess:
    """The bytes may be sent.

    uploads: One for each object, in the order asked for.
    """

    uploads: list[Upload]


@described.type_
class CompleteUploadSuccess:
    """The bytes are in the store and are what they were announced to be.

    upload: The upload, STORED.
    object: The bytes, READY.
    artifacts: The artifacts that became READY by this; empty when none was waiting.
    """

    upload: Upload
    object: StoredObject
    artifacts: list[Artifact]


@described.type_
class SyncProjectSuccess:
    """The project was compared with its Git.

    project: The project.
    """

    project: Project


CreateProjectResult = Annotated[
    CreateProjectSuccess | AlreadyExistsError | InvalidInputError | RemoteUnavailableError,
    strawberry.union("CreateProjectResult", description="What became of `createProject`."),
]
CreateBranchResult = Annotated[
    CreateBranchSuccess
    | NotFoundError
    | AlreadyExistsError
    | InvalidInputError
    | RemoteRejectedError
    | RemoteUnavailableError,
    strawberry.union("CreateBranchResult", description="What became of `createBranch`."),
]
DeleteBranchResult = Annotated[
    DeleteBranchSuccess
    | NotFoundError
    | ConflictError
    | InvalidInputError
    | RemoteRejectedError
    | RemoteUnavailableError,
    strawberry.union("DeleteBranchResult", description="What became of `deleteBranch`."),
]
CommitArtifactsResult = Annotated[
    CommitArtifactsSuccess
    | NotFoundError
    | ConflictError
    | ManifestBrokenError
    | MissingObjectsError
    | InvalidInputError
    | IdempotencyKeyReusedError
    | ContentionError
    | RemoteRejectedError
    | RemoteUnavailableError,
    strawberry.union("CommitArtifactsResult", description="What became of `commitArtifacts` or `restoreArtifact`."),
]
CreateUploadsResult = Annotated[
    CreateUploadsSuccess | NotFoundError | InvalidInputError,
    strawberry.union("CreateUploadsResult", description="What became of `createUploads`."),
]
CompleteUploadResult = Annotated[
    CompleteUploadSuccess
    | NotFoundError
    | MissingObjectsError
    | DigestMismatchError
    | InvalidInputError
    | ManifestBrokenError
    | ContentionError
    | RemoteRejectedError
    | RemoteUnavailableError,
    strawberry.union("CompleteUploadResult", description="What became of `completeUpload`."),
]
SyncProjectResult = Annotated[
    SyncProjectSuccess | NotFoundError | RemoteUnavailableError,
    strawberry.union("SyncProjectResult", description="What became of `syncProject`."),
]


async def _committed(info: Info, done: domain.Committed) -> CommitArtifactsSuccess:
    return CommitArtifactsSuccess(
        commit=Commit(value=await commits.get(info.context, done.project, done.commit)),
        branch=Branch(value=done.branch),
        changed=done.changed,
        artifacts=[Artifact(value=one) for one in done.artifacts],
        uploads=[Upload(value=one) for one in done.uploads],
    )


@described.type_
class Mutation:
    """Everything that can be changed. A result is the success or a refusal; after a refusal nothing is changed."""

    @described.mutation
    async def create_project(self, info: Info, input: CreateProjectInput) -> CreateProjectResult:  # noqa: A002
        """Make a project: a repository of one empty commit, or one that lies elsewhere, and a line in the catalogue.

        input: What to make.
        """
        branch = "main" if input.default_branch is None else input.default_branch
        made = await projects.create(info.context, input.project(), branch)
        return CreateProjectSuccess(project=Project(value=made))

    @described.mutation
    async def create_branch(self, info: Info, input: CreateBranchInput) -> CreateBranchResult:  # noqa: A002
        """Make a branch. It begins with everything the revision has.

        input: What to make.
        """
        start = HEAD if input.from_ is None else input.from_
        made = await branches.create(info.context, input.project, input.name, start)
        return CreateBranchSuccess(branch=Branch(value=made))

    @described.mutation
    async def delete_branch(self, info: Info, input: DeleteBranchInput) -> DeleteBranchResult:  # noqa: A002
        """Delete a branch; the default one cannot be.

        input: What to delete.
        """
        project, head = await branches.delete(info.context, input.project, input.name, input.expected_head)
        return DeleteBranchSuccess(project=Project(value=project), head=GitObjectID(head))

    @described.mutation
    async def commit_artifacts(self, info: Info, input: CommitArtifactsInput) -> CommitArtifactsResult:  # noqa: A002
        """Change artifacts of a branch in one commit, or not at all.

        input: What to change, where, and on what condition.
        """
        changes = [change.request() for change in input.changes]
        pending = input.pending or domain.PendingPolicy.ALLOW
        return await _committed(info, await artifacts.commit_changes(info.context, input.request(), changes, pending))

    @described.mutation
    async def create_uploads(self, info: Info, input: CreateUploadsInput) -> CreateUploadsResult:  # noqa: A002
        """Get presigned requests for bytes, to send them before the commit that names them. Commits nothing.

        input: The bytes.
        """
        wanted = [one.request() for one in input.objects]
        made = await objects.create_uploads(info.context, input.project, wanted, checked=bool(input.check_parts))
        return CreateUploadsSuccess(uploads=[Upload(value=one) for one in made])

    @described.mutation
    async def complete_upload(self, info: Info, input: CompleteUploadInput) -> CompleteUploadResult:  # noqa: A002
        """Check size and digest against the store before believing them; make READY what the commits named.

        Entries of protected branches that you may not write stay PENDING there.
        What came in several parts is read once for it, which takes as long as reading does. Safe to repeat, also when
        no answer came.

        input: The upload.
        """
        done = await objects.complete_upload(info.context, input.upload, input.etags)
        return CompleteUploadSuccess(
            upload=Upload(value=done.upload),
            object=StoredObject(value=model.StoredObject(done.project, done.pin)),
            artifacts=[Artifact(value=one) for one in done.artifacts],
        )

    @described.mutation
    async def restore_artifact(self, info: Info, input: RestoreArtifactInput) -> CommitArtifactsResult:  # noqa: A002
        """Put an entry back as it was at another commit, in the words it was written in, in one commit.

        input: What to restore.
        """
        done = await artifacts.restore(info.context, input.request(), input.name, input.from_)
        return await _committed(info, done)

    @described.mutation
    async def sync_project(self, info: Info, input: SyncProjectInput) -> SyncProjectResult:  # noqa: A002
        """Compare a project with its Git now, instead of at the next look.

        input: The project.
        """
        return SyncProjectSuccess(project=Project(value=await projects.synchronise(info.context, input.project)))
