"""The schema, put together."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from app.schema.errors import handlers
from app.schema.events import ArtifactEvent, BranchEvent, ManifestEvent
from app.schema.mutation import Mutation
from app.schema.query import Query
from app.schema.scalars import SCALARS
from app.schema.subscription import Subscription


def build_schema() -> strawberry.Schema:
    """The whole schema, ready to execute."""
    return strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[ArtifactEvent, BranchEvent, ManifestEvent],
        config=StrawberryConfig(scalar_map=SCALARS),
        exception_handlers=handlers(),
    )


def print_schema() -> str:
    """The schema as SDL, ending in a line end: what `schema.graphql` holds."""
    return build_schema().as_str() + "\n"
