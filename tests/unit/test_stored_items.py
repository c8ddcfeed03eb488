"""What lies in the tables, name by name: tables that exist hold it for ever."""

from __future__ import annotations

from eventfold.core.commit import Commit, CommitPlace, Copy
from eventfold.core.unique import KeyMove
from eventfold.dynamodb.items import commit_to_item, item_to_commit_or_snapshot, read_whole
from eventfold.dynamodb.transactions import move_action
from eventfold.testing.commits import AT

COMMIT = Commit(
    "account-1",
    3,
    ({"type": "Deposited", "v": 1, "data": {"cents": 5}},),
    "key",
    AT,
    {"actor": "ada"},
    "digest",
    snapshot_due=True,
    siblings=(CommitPlace("account-2", 7),),
    copies=(Copy(3, "account-2", 8),),
)
ITEM = {
    "stream": {"S": "account-1"},
    "version": {"N": "3"},
    "events": {"S": '[{"type":"Deposited","v":1,"data":{"cents":5}}]'},
    "commit": {"S": "key"},
    "at": {"N": "1767323045678"},
    "meta": {"S": '{"actor":"ada"}'},
    "digest": {"S": "digest"},
    "snapshot_due": {"BOOL": True},
    "siblings": {"S": '[["account-2",7]]'},
    "copies": {"S": '[[3,"account-2",8]]'},
}


def test_a_commit_is_stored_under_these_names_and_read_from_them() -> None:
    assert commit_to_item(COMMIT) == ITEM
    assert read_whole(ITEM) == COMMIT


def test_a_commit_of_before_there_were_transactions_stands_alone() -> None:
    old = item_to_commit_or_snapshot({name: ITEM[name] for name in ("stream", "version", "events", "commit", "at")})
    assert isinstance(old, Commit)
    assert (old.siblings, old.copies, old.meta, old.digest, old.snapshot_due) == ((), (), {}, "", False)


def test_a_claim_is_stored_under_these_names() -> None:
    claimed = move_action("claims", KeyMove("user.email#hash", "user-1", ("user-1", "user-2")))
    assert claimed["Put"] == {
        "TableName": "claims",
        "Item": {"key": {"S": "user.email#hash"}, "stream": {"S": "user-1"}},
        "ConditionExpression": "attribute_not_exists(#key) OR #stream IN (:h0, :h1)",
        "ExpressionAttributeNames": {"#key": "key", "#stream": "stream"},
        "ExpressionAttributeValues": {":h0": {"S": "user-1"}, ":h1": {"S": "user-2"}},
    }
    released = move_action("claims", KeyMove("user.email#hash", None, ("user-1",)))
    assert released["Delete"]["Key"] == {"key": {"S": "user.email#hash"}}
