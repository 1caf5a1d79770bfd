"""Pages as Relay has them. A connection shows a page; its cursors and edges are made when somebody asks for them."""

from typing import Any

import strawberry

from app.resolvers.paging import Page
from app.schema import described


@described.type_
class PageInfo:
    """Where a page stands in its list.

    has_next_page: Whether there is more behind this page.
    has_previous_page: Whether there is something before this page.
    start_cursor: The cursor of the first element; null on an empty page.
    end_cursor: The cursor of the last element, to be given as `after` for the next page; null on an empty page.
    """

    value: strawberry.Private[Page[Any]]
    has_next_page: bool = described.attribute("value.has_next")
    has_previous_page: bool = described.attribute("value.has_previous")
    start_cursor: str | None = described.attribute("value.start")
    end_cursor: str | None = described.attribute("value.end")
