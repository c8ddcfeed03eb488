"""Claims of unique keys, and the states that they have to follow from: compared both ways, and made equal.

A claim changes with the commit that changes its key, so the two differ only where events came by another way: from
before the key was one, by an import, or by a restore. Writers may go on meanwhile: what is written here stands behind a
guard on its stream, and what looks wrong is looked at again until the stream has stood still in between.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

from eventfold.core.commit import Head, category_of
from eventfold.core.errors import KeysHeldError, StreamsMovedError
from eventfold.core.unique import Claim, KeyMove, rule_of
from eventfold.operations.scanning import by_stream
from eventfold.operations.verify.finding import CLAIMS, Finding
from eventfold.operations.verify.streams import StreamCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from eventfold.core.decider import Decider
    from eventfold.core.unique import ClaimStore, Keys
    from eventfold.operations.scanning import ScanPage
    from eventfold.operations.verify.read_models import VerifiableStore

    type Deciders = Mapping[str, Decider[Any, Any, Any]]

_TOGETHER = 100
"""Streams whose keys are asked for together."""
_BUCKETS = 4096


class Keyed(NamedTuple):
    """A stream's end, and the keys that its state has there."""

    head: Head
    keys: set[str]


@dataclass(frozen=True)
class ClaimBooks:
    """Streams and claims, as they are now."""

    store: VerifiableStore
    claims: ClaimStore
    keys: Keys
    deciders: Deciders

    def has_keys(self, stream: str) -> bool:
        """Whether aggregates of this kind have unique keys."""
        decider = self.deciders.get(category_of(stream))
        return decider is not None and bool(decider.unique)

    def keys_of(self, check: StreamCheck) -> set[str] | None:
        """Return the keys of a stream that was replayed; None where it could not be."""
        decider = self.deciders.get(category_of(check.stream))
        return self.keys.of(decider, check.state) if decider and not check.broken else None

    def now(self, stream: str) -> Keyed | None:
        """Replay a stream; None where it can't be."""
        check = StreamCheck(stream, self.deciders).take_all(self.store.items(stream))
        keys = self.keys_of(check)
        return Keyed(Head(stream, check.version), keys) if keys is not None else None

    def standing[T](self, stream: str, wrong: Callable[[set[str]], T]) -> tuple[Keyed, T] | None:
        """Return a stream, and what is wrong with its keys: looked at again until it has stood still, if anything is.

        None where it can't be replayed.
        """
        while (before := self.now(stream)) is not None:
            if not (found := wrong(before.keys)):
                return before, found
            after = self.now(stream)
            if after is not None and after.head == before.head:
                return before, found
        return None

    def stale(self, claim: Claim) -> Head | None:
        """Return the end at which a stream claims a key that it does not have; None where it does, or nobody knows."""
        found = self.standing(
            claim.stream,
            lambda keys: claim.key not in keys and self.claims.holders([claim.key]).get(claim.key) == claim.stream,
        )
        return found[0].head if found and found[1] else None

    def lacking(self, stream: str, keys: set[str]) -> dict[str, str | None]:
        """Return which of these keys a stream has not claimed, with who has."""
        held = self.claims.holders(keys)
        return {key: held.get(key) for key in keys if held.get(key) != stream}


class Sums(Counter[int]):
    """Sums over claims, in buckets: sets of claims that have the same sums are the same, but for a chance of 2^-64."""

    def note(self, claim: Claim) -> None:
        """Add a claim."""
        bucket, hashed = _place(claim)
        self[bucket] = (self[bucket] + hashed) % 2**64

    def merge(self, other: Sums) -> None:
        """Add the claims of another part."""
        for bucket, hashed in other.items():
            self[bucket] = (self[bucket] + hashed) % 2**64


def suspects(claims: ClaimStore, expected: Sums) -> Iterator[Claim]:
    """Yield the claims among which are those that nobody's state asks for: few, where most are as they should be."""
    found = Sums()
    for page in claims.listed():
        for claim in page:
            found.note(claim)
    wrong = {bucket for bucket in {*found, *expected} if found[bucket] != expected[bucket]}
    if wrong:
        for page in claims.listed():
            yield from (claim for claim in page if _place(claim)[0] in wrong)


def _place(claim: Claim) -> tuple[int, int]:
    digest = hashlib.sha256("\n".join(claim).encode()).digest()
    return int.from_bytes(digest[:2]) % _BUCKETS, int.from_bytes(digest[2:10])


@dataclass
class ClaimCheck:
    """Checks that the keys which states have are claimed by their streams; `sums` has those of every stream seen."""

    books: ClaimBooks
    sums: Sums = field(default_factory=Sums)
    _seen: dict[str, set[str]] = field(default_factory=dict)

    def see(self, check: StreamCheck) -> None:
        """Take a stream that was replayed."""
        if self.books.has_keys(check.stream) and (keys := self.books.keys_of(check)) is not None:
            self._seen[check.stream] = keys

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the streams seen since the last time."""
        for stream, keys in self.differing():
            for key, other in keys.items():
                yield _unclaimed(stream, key, other)

    def differing(self) -> Iterator[tuple[str, dict[str, str | None]]]:
        """Yield the streams seen since the last time that lack a claim, with who has it."""
        seen, self._seen = self._seen, {}
        held = self.books.claims.holders([key for keys in seen.values() for key in keys])
        for stream, scanned in seen.items():
            keys, wrong = scanned, dict[str, str | None]()
            if any(held.get(key) != stream for key in keys):
                # A scan may have seen the stream before its last commit.
                found = self.books.standing(stream, partial(self.books.lacking, stream))
                keys, wrong = (found[0].keys, found[1]) if found else (set[str](), wrong)
            for key in keys:
                self.sums.note(Claim(key, stream))
            if wrong:
                yield stream, wrong


def stale_claims(books: ClaimBooks, expected: Sums) -> Iterator[Finding]:
    """Yield the claims of keys that their streams do not have."""
    for claim in suspects(books.claims, expected):
        if books.stale(claim) is not None:
            yield Finding(
                claim.stream, None, f"has claimed a key that it does not have: {rule_of(claim.key)[1]}", CLAIMS
            )


@dataclass
class ClaimBuild:
    """Claims what states have, and releases what they have not. `tell` hears of what can't be claimed, and why."""

    books: ClaimBooks
    tell: Callable[[Finding], None]
    streams: int = 0
    keys: int = 0
    claimed: int = 0
    released: int = 0
    duplicates: int = 0
    unreadable: int = 0

    def run(self, pages: Iterable[ScanPage]) -> None:
        """Go through all streams, then through all claims.

        Raises:
            StoreUnavailableError: throttled or out of reach; run it again.
        """
        check = ClaimCheck(self.books)
        for some in batched(self._replayed(pages), _TOGETHER, strict=False):
            for one in some:
                check.see(one)
            for stream, _ in check.differing():
                self._claim(stream)
            self.streams += len(some)
        for claim in suspects(self.books.claims, check.sums):
            self._release(claim)
        self.keys = sum(map(len, self.books.claims.listed()))

    def _replayed(self, pages: Iterable[ScanPage]) -> Iterator[StreamCheck]:
        for stream, items in by_stream(pages):
            if not self.books.has_keys(stream):
                continue
            check = StreamCheck(stream, self.books.deciders).take_all(items)
            if check.broken:  # Or seen in part.
                check = StreamCheck(stream, self.books.deciders).take_all(self.books.store.items(stream))
            if check.broken:
                self.unreadable += 1
                self.tell(Finding(stream, None, "can't be replayed, so what keys it has is not known", CLAIMS))
            else:
                yield check

    def _claim(self, stream: str) -> None:
        while (now := self.books.now(stream)) is not None:
            held = self.books.claims.holders(now.keys)
            others = {key: by for key, by in held.items() if by != stream and not self._release(Claim(key, by))}
            missing = [key for key in now.keys if held.get(key) != stream and key not in others]
            if missing and not self._written(now.head, [KeyMove(key, stream, (stream,)) for key in missing]):
                continue
            self.claimed += len(missing)
            for key, by in others.items():
                self.duplicates += 1
                self.tell(_unclaimed(stream, key, by))
            return

    def _release(self, claim: Claim) -> bool:
        """Release a claim if its stream does not have the key; return whether it is free now."""
        while (head := self.books.stale(claim)) is not None:
            if self._written(head, [KeyMove(claim.key, None, (claim.stream,))]):
                self.released += 1
                return True
        return False

    def _written(self, head: Head, moves: list[KeyMove]) -> bool:
        """Change claims while a stream stands where it was seen; False if it has moved, or another one was quicker."""
        try:
            self.books.store.append_together([], guards=[head], moves=moves)
        except (StreamsMovedError, KeysHeldError):
            return False
        return True


def _unclaimed(stream: str, key: str, other: str | None) -> Finding:
    what = f"another stream, {other}, has claimed" if other else "nobody has claimed"
    return Finding(stream, None, f"{what} a key that it has: {rule_of(key)[1]}", CLAIMS)
