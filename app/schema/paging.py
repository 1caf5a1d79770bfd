"""Pages as Relay has them."""

from collections.abc import Callable
from typing import Any, TypeVar

from app.resolvers.paging import Page
from app.schema import described

T = TypeVar("T")
C = TypeVar("C")


@described.type_
class PageInfo:
    """Where a page stands in its list.

    has_next_page: Whether there is more behind this page.
    has_previous_page: Whether there is something before this page.
    start_cursor: The cursor of the first element; null on an empty page.
    end_cursor: The cursor of the last element, to be given as `after` for the next page; null on an empty page.
    """

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


def connection(of: Callable[..., C], edge: Callable[..., Any], page: Page[T], view: Callable[[T], Any]) -> C:
    """A page as the connection type `of`, with each value shown by `view`."""
    return of(**_parts(edge, page, view))


def counted(of: Callable[..., C], edge: Callable[..., Any], page: Page[T], view: Callable[[T], Any]) -> C:
    """The same for a connection type that says how long the whole list is."""
    return of(**_parts(edge, page, view), total_count=page.total)


def _parts(edge: Callable[..., Any], page: Page[T], view: Callable[[T], Any]) -> dict[str, Any]:
    edges = [edge(cursor=one.cursor, node=view(one.node)) for one in page.edges]
    info = PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return {"edges": edges, "nodes": [one.node for one in edges], "page_info": info}
