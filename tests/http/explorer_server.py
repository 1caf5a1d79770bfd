"""A toy registry behind the real explorer, so that the page can be driven before and without the product's server.

Run as a script with a port: serves the page built at `app/explorer`, `/graphql` over HTTP and graphql-transport-ws.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import strawberry
import uvicorn
from app.http.explorer import routes
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL
from strawberry.scalars import JSON
from strawberry.types import Info

BUILT = Path(__file__).parents[2] / "app" / "explorer"


@strawberry.type
class Commit:
    abbreviated_oid: str = "1a2b3c4"
    headline: str = "Add the training data"


@strawberry.type
class Artifact:
    name: str
    type: str
    data_object_id: strawberry.ID


ENTRIES = [
    Artifact(name="topic-training-data", type="dataset", data_object_id=strawberry.ID("123")),
    Artifact(name="classification-output", type="dataset", data_object_id=strawberry.ID("456")),
]


@strawberry.type
class ArtifactConnection:
    total_count: int
    nodes: list[Artifact]


@strawberry.type
class Branch:
    name: str
    is_default: bool
    head: Commit

    @strawberry.field
    def artifacts(self, first: int = 20) -> ArtifactConnection:
        return ArtifactConnection(total_count=len(ENTRIES), nodes=ENTRIES[:first])


@strawberry.type
class BranchConnection:
    nodes: list[Branch]


@strawberry.type
class Project:
    name: str
    description: str

    @strawberry.field
    def branches(self, first: int = 20) -> BranchConnection:
        branches = [Branch(name="main", is_default=True, head=Commit())]
        branches.append(Branch(name="staging", is_default=False, head=Commit()))
        return BranchConnection(nodes=branches[:first])


@strawberry.type
class ProjectConnection:
    total_count: int
    nodes: list[Project]


@strawberry.type
class Query:
    @strawberry.field
    def projects(self, first: int = 20) -> ProjectConnection:
        projects = [Project(name="demo", description="A project to try things on")]
        return ProjectConnection(total_count=1, nodes=projects[:first])


@strawberry.type
class Actor:
    name: str


@strawberry.type
class FieldChange:
    path: str
    before: JSON | None
    after: JSON | None


@strawberry.type
class Change:
    fields: list[FieldChange]


@strawberry.type
class Problem:
    line: int | None
    message: str


@strawberry.interface
class Event:
    kind: str
    branch_name: str
    commit: str
    occurred_at: str | None = None
    actor: Actor | None = None


@strawberry.type
class ArtifactEvent(Event):
    artifact_name: str
    change: Change


@strawberry.type
class BranchEvent(Event):
    previous_head: str | None


@strawberry.type
class ManifestEvent(Event):
    problems: list[Problem]


@strawberry.type
class EventEdge:
    cursor: str
    node: Event


@strawberry.input
class PutArtifactInput:
    name: str
    type: str | None = None
    metadata: JSON | None = None


@strawberry.input
class ArtifactChangeInput:
    put: PutArtifactInput


@strawberry.input
class CommitArtifactsInput:
    project: str
    branch: str
    changes: list[ArtifactChangeInput]


@strawberry.type
class CommitArtifactsSuccess:
    changed: bool


@strawberry.type
class Mutation:
    @strawberry.mutation
    def commit_artifacts(self, info: Info, input: CommitArtifactsInput) -> CommitArtifactsSuccess:  # noqa: A002 - the contract's name
        for change in input.changes:
            event = ArtifactEvent(
                kind="ARTIFACT_ADDED",
                branch_name=input.branch,
                commit="1a2b3c4",
                artifact_name=change.put.name,
                change=Change(fields=[FieldChange(path="", before=None, after={"type": change.put.type})]),
            )
            for listener in info.context["request"].app.state.listeners:
                listener.put_nowait(event)
        return CommitArtifactsSuccess(changed=True)


@strawberry.input
class EventFilter:
    project: str | None = None


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def events(self, info: Info, filter: EventFilter | None = None) -> AsyncIterator[EventEdge]:  # noqa: A002, ARG002 - the contract's name, and one project is all there is
        listeners = info.context["request"].app.state.listeners
        queue: asyncio.Queue[Event] = asyncio.Queue()
        listeners.append(queue)
        try:
            while True:
                yield EventEdge(cursor="c1", node=await queue.get())
        finally:
            listeners.remove(queue)


def create_app() -> Starlette:
    schema = strawberry.Schema(Query, Mutation, Subscription, types=[ArtifactEvent, BranchEvent, ManifestEvent])
    graphql = GraphQL[None, None](schema, graphql_ide=None)
    app = Starlette(routes=[*routes(BUILT), Route("/graphql", graphql), WebSocketRoute("/graphql", graphql)])
    app.state.listeners = []
    return app


if __name__ == "__main__":
    uvicorn.run(create_app(), port=int(sys.argv[1]), log_level="warning")
