"""What mutations take."""

import strawberry

from app.registry.artifacts import (
    ChangeRequest,
    ObjectRequest,
    PatchRequest,
    PendingPolicy,
    PutRequest,
    WriteRequest,
)
from app.registry.changes import DeleteEntry, RenameEntry
from app.registry.model import DEFAULT_MANIFEST_PATH, Project
from app.registry.uploads import WantedPart
from app.schema import described
from app.schema.scalars import HEAD, JSON, URL, BigInt, Digest, GitObjectID, GitRevision
from app.schema.system import ActorInput

described.enum(
    PendingPolicy,
    """Whether a commit may name bytes that have not arrived yet.

    ALLOW: It may; they are PENDING until `completeUpload`.
    REFUSE: It may not: MissingObjectsError.
    """,
)


@described.input_
class CreateProjectInput:
    """A project to be made.

    name: Its name: letters, digits, `_`, `.` and `-`, in parts joined by `/`.
    description: What it is about.
    default_branch: The branch HEAD is to name, `main` when left out.
    remote_url: Where its repository lies; the registry hosts it itself when left out.
    manifest_path: Where its manifest lies in the repository, `artifacts.yml` when left out.
    """

    name: str
    description: str | None = None
    default_branch: str | None = "main"
    remote_url: URL | None = None
    manifest_path: str | None = None

    def project(self) -> Project:
        path = DEFAULT_MANIFEST_PATH if self.manifest_path is None else self.manifest_path
        return Project(self.name, self.description or "", self.remote_url, path)


@described.input_
class CreateBranchInput:
    """A branch to be made.

    project: The project's name.
    name: The branch's short name.
    from_: The revision it begins at, `HEAD` when left out.
    """

    project: str
    name: str
    from_: GitRevision | None = strawberry.field(name="from", default=HEAD)


@described.input_
class DeleteBranchInput:
    """A branch to be deleted.

    project: The project's name.
    name: The branch's short name.
    expected_head: Delete it only while it is at this commit; wherever it is when left out.
    """

    project: str
    name: str
    expected_head: GitObjectID | None = None


@described.input_
class LabelInput:
    """A word to attach to an entry.

    key: The word.
    value: Its value; the word alone when left out.
    """

    key: str
    value: str | None = None


@described.input_
class ObjectInput:
    """Bytes, by what they are.

    digest: Their sha-256.
    size: How many bytes they are.
    content_type: Their media type, `application/octet-stream` when left out.
    filename: The name a download is saved under.
    """

    digest: Digest
    size: BigInt
    content_type: str | None = None
    filename: str | None = None

    def request(self) -> ObjectRequest:
        return ObjectRequest(self.digest, self.size, self.content_type, self.filename)


@described.input_
class PutArtifactInput:
    """An entry to be added, or to replace the one of this name whole.

    name: The entry's name.
    data_object_id: The data's id; the digest of the bytes when left out and `object` is given.
    type: What kind of artifact it is.
    description: What it is in words.
    labels: Words to attach to it.
    metadata: Every other key, as an object.
    object: The bytes it pins.
    """

    name: str
    data_object_id: strawberry.ID | None = None
    type: str | None = None
    description: str | None = None
    labels: list[LabelInput] | None = None
    metadata: JSON | None = None
    object: ObjectInput | None = None

    def request(self) -> PutRequest:
        return PutRequest(
            name=self.name,
            data_object_id=self.data_object_id,
            type=self.type,
            description=self.description,
            labels=[(label.key, label.value) for label in self.labels] if self.labels is not None else None,
            metadata=self.metadata,
            object=self.object.request() if self.object else None,
        )


@described.input_
class PatchArtifactInput:
    """A change of parts of an entry.

    name: The entry's name.
    patch: A merge patch (RFC 7396) on the entry: null removes a key, objects merge, everything else replaces.
    object: The bytes it is to pin from now on; as before when left out.
    """

    name: str
    patch: JSON
    object: ObjectInput | None = None

    def request(self) -> PatchRequest:
        return PatchRequest(self.name, self.patch, self.object.request() if self.object else None)


@described.input_
class RenameArtifactInput:
    """A new name for an entry, and nothing else of it changed.

    name: The entry's name.
    to: The name it is to have; none may have it yet.
    """

    name: str
    to: str


@described.one_of
class ArtifactChangeInput:
    """One change; give exactly one of these.

    put: Add an entry, or replace it whole.
    patch: Change parts of an entry.
    rename: Call an entry otherwise.
    delete: Remove the entry of this name.
    """

    put: PutArtifactInput | None = strawberry.UNSET
    patch: PatchArtifactInput | None = strawberry.UNSET
    rename: RenameArtifactInput | None = strawberry.UNSET
    delete: str | None = strawberry.UNSET

    def request(self) -> ChangeRequest:
        if self.put:
            return self.put.request()
        if self.patch:
            return self.patch.request()
        if self.rename:
            return RenameEntry(self.rename.name, self.rename.to)
        return DeleteEntry(self.delete or "")


@described.input_
class CommitArtifactsInput:
    """One commit. Entries that the input does not name keep every byte.

    With `baseCommit`: if an entry named here has changed since that commit, nothing is recorded (ConflictError);
    changes to other entries never stand in the way. Without it: applied to whatever the branch holds now. The same
    `idempotencyKey` with the same input gives the first answer again and no second commit.

    project: The project's name.
    branch: The branch's name; the default one when left out.
    message: The commit's message; written from the changes when left out.
    base_commit: The commit the changes were decided on.
    idempotency_key: A word of yours that names this very write; kept for the last 1000 commits of the branch.
    author: Who wrote the changes; the caller when left out.
    pending: Whether the commit may name bytes that have not arrived yet; it may when left out.
    changes: What to change, in this order.
    """

    project: str
    branch: str | None = None
    message: str | None = None
    base_commit: GitObjectID | None = None
    idempotency_key: str | None = None
    author: ActorInput | None = None
    pending: PendingPolicy | None = PendingPolicy.ALLOW
    changes: list[ArtifactChangeInput]

    def request(self) -> WriteRequest:
        return WriteRequest(
            project=self.project,
            branch=self.branch,
            message=self.message,
            base=self.base_commit,
            key=self.idempotency_key,
            author=self.author.actor() if self.author else None,
        )


@described.input_
class CreateUploadsInput:
    """Bytes to be sent ahead of the commit that names them.

    project: The project whose store is to have them.
    objects: The bytes.
    check_parts: Whether the store is to check every part of large ones as it arrives: `Query.upload` then asks for the
        parts' digests before it gives requests. Without it, what was sent is checked when all of it is there.
    """

    project: str
    objects: list[ObjectInput]
    check_parts: bool | None = False


@described.input_
class UploadPartInput:
    """A part a request is wanted for.

    number: Which part, counted from 1.
    digest: Its sha-256, when the upload was made with `checkParts`; left out otherwise.
    """

    number: int
    digest: Digest | None = None

    def part(self) -> WantedPart:
        return WantedPart(self.number, self.digest)


@described.input_
class CompleteUploadInput:
    """An upload whose bytes were sent.

    upload: The upload's id.
    etags: The ETags the store answered the parts with, in their order. May be left out: the store is asked; where they
        are given, they have to be those of the parts it has.
    """

    upload: strawberry.ID
    etags: list[str] | None = None


@described.input_
class RestoreArtifactInput:
    """An entry to be put back as it was, in the very words it was written in.

    project: The project's name.
    branch: The branch's name; the default one when left out.
    name: The entry's name.
    from_: The revision that has the entry as it is to be.
    base_commit: The commit the decision was made on: ConflictError if the entry has changed since.
    message: The commit's message; written when left out.
    idempotency_key: A word of yours that names this very write.
    """

    project: str
    branch: str | None = None
    name: str
    from_: GitRevision = strawberry.field(name="from")
    base_commit: GitObjectID | None = None
    message: str | None = None
    idempotency_key: str | None = None

    def request(self) -> WriteRequest:
        return WriteRequest(
            project=self.project,
            branch=self.branch,
            message=self.message,
            base=self.base_commit,
            key=self.idempotency_key,
        )


@described.input_
class SyncProjectInput:
    """A project to be compared with its Git now.

    project: The project's name.
    """

    project: str
