"""What every field's method may ask of its operation."""

import strawberry

from app.resolvers.context import Context

Info = strawberry.Info[Context, None]
