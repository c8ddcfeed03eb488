"""Unique keys: what one aggregate of a kind has, and no other of it may have at the same time.

    ACCOUNTS = Decider(..., unique=(Unique("number", of=lambda account: account.number),))

A key is claimed, moved and released by the transaction that writes the events which change it. A claim keeps no value:
it is a keyed hash (HMAC, RFC 2104), so that who reads the claims learns nothing without the key of the hash.

WARNING: category, name, folding and the form of what is hashed are the stored format. Another one asks for
`eventfold claims build`.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import BaseModel

from eventfold.core.errors import KeyTakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from eventfold.core.decider import Decider

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
MIN_SECRET_BYTES = 16
"""Of the hash's key. A shorter one can be guessed, and with it every value."""


def exact(text: str) -> str:
    """Fold nothing: two texts are the same if each character is."""
    return text


def caseless(text: str) -> str:
    """Fold case and what looks alike, so that ADA and ada, é and e with an accent behind it, are one.

    Unicode's "compatibility caseless match": https://www.unicode.org/versions/latest/core-spec/chapter-3/#G34145
    """
    return _nfkc(_nfkc(unicodedata.normalize("NFD", text).casefold()).casefold())


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


@dataclass(frozen=True)
class Unique[S: BaseModel]:
    """A rule: no two aggregates of one kind have the same key.

    `of` returns a state's key: text, several texts together, or None while it has none, as when it has ended. `fold`
    says which texts are the same, each by itself: `exact` or `caseless`.

    Raises:
        ValueError: the name is not made of letters, digits and underscores.
    """

    name: str
    of: Callable[[S], str | tuple[str, ...] | None]
    fold: Callable[[str], str] = exact

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a unique key's name is made of letters, digits and underscores, not {self.name!r}")

    def folded(self, value: str | tuple[str, ...]) -> str:
        """Return what all values have in common that are the same."""
        return json.dumps([self.fold(part) for part in ((value,) if isinstance(value, str) else value)])


class Claim(NamedTuple):
    """A key, as it is stored, and the stream that has it."""

    key: str
    stream: str


class KeyMove(NamedTuple):
    """A key that changes hands: to `to`, or to nobody. It is free, or one of `held_by` has it.

    Where another stream has it, a claim is refused, and a release has nothing to do.
    """

    key: str
    to: str | None
    held_by: tuple[str, ...]


class ClaimStore(Protocol):
    """Where claims are kept. `EventStore.append_together` alone changes them."""

    def holders(self, keys: Iterable[str]) -> dict[str, str]:
        """Return which stream has each of these keys; none that nobody has. One request for each 100, consistent."""
        ...

    def listed(self) -> Iterator[Sequence[Claim]]:
        """Yield every claim, page by page. One that changes meanwhile may be seen as before, or as after."""
        ...


class Change(NamedTuple):
    """What happens to one aggregate: its state before, and after."""

    decider: Decider[Any, Any, Any]
    stream: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Keys:
    """Turns keys into claims. `secret` returns the key of the hash, and is asked once, when there is a key to hash."""

    secret: Callable[[], bytes] = field(repr=False)

    def of(self, decider: Decider[Any, Any, Any], state: Any) -> set[str]:
        """Return the keys that a state has, as they are stored."""
        return set(map(self._hashed, _folded_in(decider, state)))

    def stored(self, category: str, rule: Unique[Any], value: str | tuple[str, ...]) -> str:
        """Return a key as it is stored: `category.name#hash`."""
        return self._hashed(_Folded(f"{category}.{rule.name}", rule.folded(value)))

    def moves(self, changes: Iterable[Change]) -> tuple[KeyMove, ...]:
        """Return what changes hands where these changes are written together.

        Raises:
            KeyTakenError: two of them come to the same key.
        """
        claimed: dict[str, str] = {}
        released: defaultdict[str, list[str]] = defaultdict(list)
        for decider, stream, before, after in changes:
            # Compared before they are hashed: what changes no key asks for no secret.
            had, has = _folded_in(decider, before), _folded_in(decider, after)
            for key in map(self._hashed, had - has):
                released[key].append(stream)
            for key in map(self._hashed, has - had):
                if key in claimed:
                    raise taken(key)
                claimed[key] = stream
        return (
            *(KeyMove(key, to, (to, *released.pop(key, ()))) for key, to in claimed.items()),
            *(KeyMove(key, None, tuple(by)) for key, by in released.items()),
        )

    def _hashed(self, folded: _Folded) -> str:
        hashed = hmac.digest(self._secret, "\n".join(folded).encode(), "sha256")
        return f"{folded.name}#{base64.urlsafe_b64encode(hashed).decode().rstrip('=')}"

    @cached_property
    def _secret(self) -> bytes:
        secret = self.secret()
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError(f"the key of the claims' hash has at least {MIN_SECRET_BYTES} bytes, not {len(secret)}")
        return secret


class _Folded(NamedTuple):
    """A key before it is hashed: `category.name`, and what all values have in common that are the same."""

    name: str
    value: str


def _folded_in(decider: Decider[Any, Any, Any], state: Any) -> set[_Folded]:
    found = ((rule, rule.of(state)) for rule in decider.unique)
    return {
        _Folded(f"{decider.category}.{rule.name}", rule.folded(value)) for rule, value in found if value is not None
    }


def rule_of(key: str) -> tuple[str, str]:
    """Return the category and the name in a key as it is stored."""
    category, _, name = key.partition("#")[0].rpartition(".")
    return category, name


def taken(key: str) -> KeyTakenError:
    """Return the refusal of a key that another aggregate has."""
    return KeyTakenError(*rule_of(key))
