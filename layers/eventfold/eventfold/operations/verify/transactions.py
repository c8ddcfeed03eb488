"""Checking that of what was written together, all or none, all is there: after a restore or an import, say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventfold.core.commit import CommitPlace
from eventfold.operations.verify.finding import EVENTS, Finding

if TYPE_CHECKING:
    from eventfold.core.commit import Commit
    from eventfold.operations.scanning import ScannableStore

_TOGETHER = 100
"""As many as one request asks for."""


class TransactionCheck:
    """Asks for the siblings of the commits that it sees."""

    def __init__(self, store: ScannableStore) -> None:
        self._store = store
        self._asked: dict[tuple[CommitPlace, CommitPlace], str] = {}
        self._found: list[Finding] = []

    def see(self, commit: Commit) -> None:
        """Take a commit; look for the siblings of some, once there are enough."""
        for sibling in commit.siblings:
            self._asked[CommitPlace(commit.stream, commit.version), sibling] = commit.id
        if len(self._asked) >= _TOGETHER:
            self._look()

    def findings(self) -> list[Finding]:
        """Return what is missing of the commits seen since the last time."""
        self._look()
        found, self._found = self._found, []
        return found

    def _look(self) -> None:
        ids = self._store.commit_ids({sibling for _, sibling in self._asked})
        for (mine, sibling), id_ in self._asked.items():
            if ids.get(sibling) != id_:
                wrong = "another commit" if sibling in ids else "missing"
                what = f"was written together with version {sibling.version} of {sibling.stream}, which is {wrong}"
                self._found.append(Finding(mine.stream, mine.version, what, EVENTS))
        self._asked = {}
