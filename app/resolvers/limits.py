"""How much one caller, one peer and all together may ask for: every bound that somebody outside can run into."""

from dataclasses import dataclass

from app.registry.access.rates import Rate, Rates
from app.registry.lanes import WAITING


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken. Sizes are bytes and times seconds; a query is counted with every fragment expanded."""

    # one request
    request_size: int = 1024 * 1024
    query_length: int = 100_000
    query_tokens: int = 2000
    query_depth: int = 15
    fields: int = 400
    root_fields: int = 20
    aliases: int = 50
    directives: int = 50
    cost: int = 50_000
    input_values: int = 10_000
    page_size: int = 100
    errors: int = 10
    operation_seconds: float = 10.0
    # writing
    file_size: int = 2 * 1024**4
    commit_changes: int = 100
    waiting_writers: int = WAITING
    mutations_per_second: int = 500
    mutations_at_once: int = 2500
    presigns_per_second: int = 1000
    presigns_at_once: int = 10_000
    # connections
    head_size: int = 64 * 1024
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    idle_seconds: int = 75
    connections: int = 10_000
    sockets: int = 5000
    caller_sockets: int = 2000
    socket_operations: int = 100

    def rates(self) -> Rates:
        """New buckets, all full."""
        return Rates(
            Rate("mutations", per_second=self.mutations_per_second, at_once=self.mutations_at_once),
            Rate("presigned requests", per_second=self.presigns_per_second, at_once=self.presigns_at_once),
        )


LIMITS = Limits()
"""What the server is shipped with."""
