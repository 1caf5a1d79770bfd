"""The registry with one route more, `/stock`: the same schema and context behind Strawberry's own application.

Arguments: the data directory and the port.
"""

import sys
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL

from app.main import create_app
from app.registry.access.identity import Identity
from app.registry.model import Actor
from app.resolvers.context import Context
from app.resolvers.limits import Limits
from app.schema.build import build_schema
from app.settings import Settings

settings = Settings(data_dir=Path(sys.argv[1]), port=int(sys.argv[2]))
app = create_app(settings)


class Stock(GraphQL[Context, None]):
    """Strawberry's application with the registry's context."""

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """A new one for every operation."""
        del request, response
        return Context(
            app.state.registry, Identity(Actor(settings.actor_name, settings.actor_email), frozenset()), Limits()
        )


stock = Stock(build_schema())
app.router.routes += [Route("/stock", stock), WebSocketRoute("/stock", stock)]
uvicorn.run(app, port=settings.port, lifespan="on", log_level="warning", access_log=False)
