"""Traces over OTLP: a span for every request, and below it one for each exchange with a store.

Spans say what the log says: never a document, a variable, a query string, nor the text of an error. Imported only where
traces are wanted; the environment, OTEL_*, says where they go and how many.
"""

import asyncio
from threading import Thread
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from app import __version__
from app.http.record import LONGEST_NAME, route_of
from app.registry.trail import Trail, current
from app.stores.timings import Span

NAMED = (b"traceparent", b"tracestate")
FAULT = 500
FLUSH_SECONDS = 2.0


class Spans:
    """Begins and ends spans, and sends them in the background. What the collector does not take is lost."""

    def __init__(self) -> None:
        resource = Resource({"service.name": "ml-registry", "service.version": __version__})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("ml_registry", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, trail: Trail, scope: Scope | None) -> None:
        """A request comes in, maybe as part of a trace of its caller's; without a scope, an operation on a socket."""
        if scope is None:
            name, context, more = "OPERATION", set_span_in_context(trail.span) if trail.span else None, {}
        else:
            method, route = scope.get("method", "WEBSOCKET"), route_of(scope["path"])
            name, context = f"{method} {route}", self._of_caller(scope)
            more = {"http.request.method": method, "http.route": route}
        attributes = {"ml_registry.request_id": trail.id, **more}
        trail.span = self._tracer.start_span(name, context=context, kind=SpanKind.SERVER, attributes=attributes)

    def end(self, trail: Trail, status: int) -> None:
        """It was answered; 0 is no status."""
        span = trail.span
        if about := trail.about:
            span.update_name(f"{about.kind} {about.name[:LONGEST_NAME]}".rstrip())
            span.set_attribute("graphql.operation.type", about.kind)
            span.set_attribute("graphql.operation.name", about.name[:LONGEST_NAME])
            span.set_attribute("ml_registry.document", about.document)
        if status:
            span.set_attribute("http.response.status_code", status)
        if trail.code:
            span.set_attribute("error.type", trail.code)
        if status >= FAULT or trail.code == "INTERNAL":
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def exchange(self, store: str, operation: str) -> Span | None:
        """A store is asked for something; None where that is for no request."""
        parent = current().span
        if parent is None or not parent.is_recording():
            return None
        attributes = {"ml_registry.store": store, "ml_registry.operation": operation}
        context = set_span_in_context(parent)
        span = self._tracer.start_span(f"{store} {operation}", context, SpanKind.CLIENT, attributes)

        def end(error: BaseException | None) -> None:
            if error is not None:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
            span.end()

        return end

    async def close(self) -> None:
        """Send what is left, but do not wait for a collector that does not answer."""
        sending = Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, FLUSH_SECONDS)

    def _of_caller(self, scope: Scope) -> Any:
        carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in NAMED}
        return self._propagator.extract(carrier) if carrier else None
