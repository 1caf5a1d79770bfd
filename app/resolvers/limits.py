"""How much a caller may ask for at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for. Counts of a query are taken with every fragment expanded; `file_size` is bytes."""

    page_size: int = 100
    file_size: int = 2 * 1024**4
    commit_changes: int = 100
    query_depth: int = 15
    query_tokens: int = 2000
    aliases: int = 50
    root_fields: int = 20
    directives: int = 50
    fields: int = 500
    cost: int = 50_000
