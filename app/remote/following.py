"""Events through lost connections and restarted servers: each time from just behind the last."""

import random
import time
from collections.abc import Generator
from typing import Any

from app.remote import reading
from app.remote.client import Client, UnreachableError
from app.remote.screen import note
from app.remote.shapes import Happening

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


def follow(client: Client, wanted: dict[str, Any], after: str | None) -> Generator[Happening, None, None]:
    """Events from just after a cursor, or from now on, without an end; each once and in order.

    An event counts as handled when the next is asked for. Raises RemoteError when the server refuses, a cursor it does
    not know for one, and NoServerError when no registry answers at first.
    """
    connected, lost, pause = False, False, FIRST_PAUSE
    while True:
        try:
            with reading.events(client, wanted, after) as events:
                if lost:
                    note("Connected again.")
                connected, lost, pause = True, False, FIRST_PAUSE
                for event in events:
                    yield event
                    after = event.cursor
        except UnreachableError as error:
            if not connected:
                raise
            if not lost:
                note(f"{error} Trying again until it is back.")
            lost = True
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  so that not all come back at once, which is no secret
        pause = min(2 * pause, LONGEST_PAUSE)
