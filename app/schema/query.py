"""What can be asked."""

import strawberry

from app.resolvers import artifacts, nodes, objects, projects
from app.schema import described
from app.schema.artifact import Artifact, ArtifactConnection, ArtifactFilter, DataObject
from app.schema.info import Info
from app.schema.inputs import UploadPartInput
from app.schema.node import Node, decode
from app.schema.project import Project, ProjectConnection
from app.schema.scalars import GitRevision
from app.schema.system import Actor, Registry
from app.schema.transfer import Upload
from app.schema.views import node_view


@described.type_
class Query:
    """Everything that can be read. Nothing here changes anything."""

    @described.field
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:  # noqa: A002 (the schema's word)
        """Whatever has this id; null when nothing has, or it is not there any more.

        id: The id, as some `Node.id` gave it.
        """
        return node_view(await nodes.find(info.context, decode(id)))

    @described.field
    def registry(self) -> Registry:
        """This server. Costs nothing."""
        return Registry()

    @described.field
    def viewer(self, info: Info) -> Actor | None:
        """Who you are: the author of what you change; null when the server does not know you."""
        return Actor.of(info.context.caller)

    @described.field
    def project(self, info: Info, name: str) -> Project | None:
        """A project; null when there is none of that name. Costs nothing.

        name: The project's name.
        """
        found = projects.get(info.context, name)
        return Project(value=found) if found else None

    @described.field
    def projects(
        self, info: Info, first: int | None = 20, after: str | None = None, prefix: str | None = None
    ) -> ProjectConnection:
        """The projects, by name. Costs nothing.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the project before the page; the page begins at the start when left out.
        prefix: Only projects whose names begin with this.
        """
        page = projects.page(info.context, first, after, prefix)
        return ProjectConnection(value=page)

    @described.field
    async def artifact(
        self, info: Info, project: str, name: str, branch: str | None = None, at: GitRevision | None = None
    ) -> Artifact | None:
        """The shortcut most callers want: one artifact as its branch has it now. One cache round trip.

        project: The project's name.
        name: The entry's name.
        branch: The branch's name; the default one when left out.
        at: A revision to read it at, instead of a branch; one look into Git.
        """
        found = await artifacts.find(info.context, project, name, branch, at)
        return Artifact(value=found) if found else None

    @described.field
    async def data_object(self, info: Info, id: strawberry.ID) -> DataObject | None:  # noqa: A002 (the schema's word)
        """Everything on branch heads that carries this dataObjectId; null when nothing does. No round trip.

        id: The dataObjectId as the manifests have it: 7 and "7" are one, 007 is another.
        """
        found = await artifacts.with_data_object_id(info.context, id)
        return DataObject(id=id, found=found) if found else None

    @described.field
    async def upload(
        self,
        info: Info,
        id: strawberry.ID,  # noqa: A002 (the schema's word)
        parts: list[UploadPartInput] | None = None,
    ) -> Upload:
        """An upload taken up again: which parts have arrived, and new requests. One or two looks into the store.

        id: The upload's id.
        parts: The parts to make requests for; all that have not arrived when left out.
        """
        wanted = [part.part() for part in parts] if parts is not None else None
        return Upload(value=await objects.upload(info.context, id, wanted))

    @described.field
    async def artifacts(
        self,
        info: Info,
        first: int | None = 20,
        after: str | None = None,
        filter: ArtifactFilter | None = None,  # noqa: A002 (the schema's word)
    ) -> ArtifactConnection:
        """Search over every project you may read; default branches unless the filter names others. No round trip.

        Ordered by project, branch and name; cursors hold through writes and deletions. The first search after a start
        indexes everything that branches hold, the next ones what has changed.

        first: How many, 20 when left out; more than `Registry.limits.pageSize` is an error.
        after: The cursor of the artifact before the page; the page begins at the start when left out.
        filter: Only artifacts that pass.
        """
        page = await artifacts.page(info.context, first, after, filter.wanted() if filter else None)
        return ArtifactConnection(value=page)
