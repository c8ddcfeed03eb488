"""Everything eventfold raises, and what a domain's own errors derive from: `RefusedError`.

EventfoldError
├── InvalidCommitError            refused before any call
│   ├── InvalidStreamNameError
│   ├── VersionOutOfLineError
│   ├── UnstableEventError
│   ├── UnstableStateError
│   └── ItemTooLargeError
├── VersionConflictError          somebody else's commit has that version
├── StreamsMovedError             somebody else was first in some of several streams
├── KeysHeldError                 other streams have some of the keys that a transaction claims
├── TooManyConflictsError         the race was lost at every attempt
├── PreconditionFailedError       the stream is not at the version the caller named
├── IdempotencyKeyReusedError     the key came back with another command
├── UnreadableStreamError         what is stored can't be understood
│   ├── UnknownEventError
│   └── BrokenStreamError
├── TransferError                 what is imported is malformed, or not what the table has
├── RebuildRefusedError           a read model's generations don't allow it now
└── StoreUnavailableError         throttled or out of reach: safe to try again
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventfold.core.commit import Commit


class RefusedError(Exception):
    """A rule of the domain refuses: what the domain's own errors derive from, each with its `kind` and its words.

    `detail` reaches whoever asked. A kind is no protocol's: whoever answers makes of it what its callers know.
    """

    kind: ClassVar[Literal["conflict", "missing", "gone", "malformed"]] = "conflict"
    detail: str = "The rules refuse this."

    def __init_subclass__(
        cls, *, kind: Literal["conflict", "missing", "gone", "malformed"] | None = None, detail: str | None = None
    ) -> None:
        """Take the kind and the words of one refusal; without them it has those of the class that it derives from."""
        super().__init_subclass__()
        cls.kind = kind or cls.kind
        cls.detail = detail or cls.detail

    def __str__(self) -> str:
        """Say what is told."""
        return self.detail


class KeyTakenError(RefusedError, detail="Another one has this key."):
    """A unique key belongs to another aggregate: says which key it is, never its value."""

    def __init__(self, category: str, name: str) -> None:
        super().__init__(category, name)
        self.category = category
        self.name = name
        self.detail = f"Another {category} has this {name.replace('_', ' ')}."


class EventfoldError(Exception):
    """The root: catch it to catch everything the library raises on purpose."""


class InvalidCommitError(EventfoldError):
    """A commit that must not be written. No request was made."""


class InvalidStreamNameError(InvalidCommitError):
    """A stream name is empty, not `category-id`, no Unicode text, or longer than every key made of it may be."""


class VersionOutOfLineError(InvalidCommitError):
    """A commit does not start at the version after the stream's last one."""


class UnstableEventError(InvalidCommitError):
    """An event that would come back different from what was stored."""


class UnstableStateError(InvalidCommitError):
    """A state whose snapshot would come back different from what the replay gives."""


class ItemTooLargeError(InvalidCommitError):
    """A commit or snapshot is over DynamoDB's 400 KB an item."""


class VersionConflictError(EventfoldError):
    """Another commit took this version first.

    `winner` is that commit where the store could name it (DynamoDB returns it with the refusal),
    so that the caller can fold it in without a read.
    """

    def __init__(self, stream: str, version: int, winner: Commit | None) -> None:
        super().__init__(f"stream {stream!r} already has version {version}")
        self.stream = stream
        self.version = version
        self.winner = winner


class StreamsMovedError(EventfoldError):
    """Some of the streams that a transaction writes to or guards have moved, so nothing of it was written.

    `winners` has by stream the commit that came first; None where the store could not name it.
    """

    def __init__(self, winners: Mapping[str, Commit | None]) -> None:
        super().__init__(f"streams that have moved: {', '.join(map(repr, winners))}")
        self.winners = winners


class KeysHeldError(EventfoldError):
    """Other streams have some of the unique keys that a transaction claims, so nothing of it was written.

    `keys` are as they are stored.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(f"keys that other streams have: {', '.join(key.partition('#')[0] for key in keys)}")
        self.keys = keys


class TooManyConflictsError(EventfoldError):
    """Each attempt lost its race against other writers of the same stream."""

    def __init__(self, stream: str, attempts: int) -> None:
        super().__init__(f"stream {stream!r}: lost the race {attempts} times in a row")
        self.stream = stream
        self.attempts = attempts


class PreconditionFailedError(EventfoldError):
    """The caller asked for the command to run at one version, and the stream is at another."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"stream {stream!r} is at version {actual}, not {expected}")
        self.stream = stream
        self.expected = expected
        self.actual = actual


class IdempotencyKeyReusedError(EventfoldError):
    """The idempotency key belongs to a commit that another command made."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"stream {stream!r}: this idempotency key was used for another command")
        self.stream = stream


class UnreadableStreamError(EventfoldError):
    """What the table holds can't be understood. Nothing was changed."""

    def __init__(self, stream: str, version: int, reason: str) -> None:
        super().__init__(f"stream {stream!r}, version {version}: {reason}")
        self.stream = stream
        self.version = version
        self.reason = reason


class UnknownEventError(UnreadableStreamError):
    """An event's type or schema version is not registered, or its data does not fit its model."""


class BrokenStreamError(UnreadableStreamError):
    """Versions are missing or overlap, or an item is not what its key says."""


class TransferError(EventfoldError):
    """An import can't go on. The message names the line, and the stream and version where it has come that far."""


class RebuildRefusedError(EventfoldError):
    """A read model's generations don't allow what was asked for. The message says why, and what to do."""


class StoreUnavailableError(EventfoldError):
    """Throttled or out of reach after the client's own retries. `retry_after` is in seconds."""

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(f"the store can't answer now: {reason}")
        self.reason = reason
        self.retry_after = retry_after
