"""What is asked of the object store, and what a caller hears when it does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.registry.errors import ObjectStoreUnavailableError
from app.stores.errors import ObjectsUnavailableError


@contextmanager
def object_store() -> Iterator[None]:
    """A block that asks the store. Raises ObjectStoreUnavailableError."""
    try:
        yield
    except ObjectsUnavailableError as error:
        raise ObjectStoreUnavailableError(str(error)) from error
