"""What a store can refuse. Adapters translate their library's exceptions into these and no others."""

from typing import Literal, TypeAlias


class StoreError(Exception):
    """The base of everything a store raises on purpose."""


class RepositoryNotFoundError(StoreError):
    """There is no repository of that name."""


class RepositoryExistsError(StoreError):
    """A repository of that name is already there."""


class CommitNotFoundError(StoreError):
    """The repository holds no commit of that id."""


class BlobNotFoundError(StoreError):
    """The repository holds no blob of that id."""


class BlobTooLargeError(StoreError):
    """The blob is larger than the caller is willing to read; `size` is in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the blob has {size} bytes")
        self.size = size


class RefMovedError(StoreError):
    """The branch is not at the expected commit: somebody else moved, created or deleted it first."""


class RefConflictError(StoreError):
    """The branch cannot be created: it exists, or `a` and `a/b` would have to exist together."""


class PathConflictError(StoreError):
    """A file cannot be written there: a folder, link or submodule stands at its path, or a file or link above it."""


class RepositoryBusyError(StoreError):
    """Another process holds the branch's lock right now; trying again may succeed."""


class RepositoryCorruptError(StoreError):
    """The repository is there and cannot be read; the message says what was found."""


class PackRefusedError(StoreError):
    """What was pushed cannot be kept: it is broken, incomplete or too much. The message says what was found."""


class ServiceBusyError(StoreError):
    """As many are being served as may be at a time, and none of them was done for a while."""


class RemoteUrlError(StoreError):
    """The URL names no repository elsewhere that may be reached from here. The message repeats no secret of it."""


class RemoteUnavailableError(StoreError):
    """The Git server elsewhere did not answer. What was to be written may have arrived where the message says so."""


class RemoteRefusedError(StoreError):
    """The Git server elsewhere answered and refused. `reason` is why, in its words, in one line or several."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class CacheUnavailableError(StoreError):
    """The cache did not answer in time, or not sensibly. Never fatal: Git has the answer."""


class QueueUnavailableError(StoreError):
    """The queue accepted nothing, or what it accepted is not known. Never fatal: Git has what there is to send."""


class KeysUnavailableError(StoreError):
    """The keys of an issuer cannot be had: it does not answer, or not with what an issuer has to say."""


class ObjectsUnavailableError(StoreError):
    """The object store did not answer, or not with what it was asked for. Trying again may succeed."""


class PartsGoneError(StoreError):
    """The object store knows the upload in parts no more, and has nothing of what was sent."""


class BytesDifferError(StoreError):
    """The bytes sent in parts have another sha-256 than they were announced with: `sha256`. They are deleted."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"the parts together have the sha-256 {sha256}")
        self.sha256 = sha256


LinkCode: TypeAlias = Literal[
    "ALREADY_STORED",
    "DIGEST_MISMATCH",
    "HEADER_MISMATCH",
    "LINK_EXPIRED",
    "LINK_INVALID",
    "LINK_MALFORMED",
    "OBJECT_NOT_FOUND",
    "SIZE_MISMATCH",
    "STORAGE_FULL",
    "UPLOAD_STALLED",
]
"""Why a link is refused."""


class LinkRefusedError(StoreError):
    """A signed link was altered, has expired or does not fit what was sent. `status` is the HTTP answer."""

    def __init__(self, status: int, code: LinkCode, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
