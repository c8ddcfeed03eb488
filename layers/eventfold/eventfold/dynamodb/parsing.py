"""Reading an answer's JSON once.

botocore walks every attribute of every item by its shape, at about 5 us an attribute: most of what a read costs in CPU.
DynamoDB's items arrive as the very structure that botocore builds, so one parse is enough.
botocore's `before-parse` event lets a handler put parts of the answer in place by itself. No page documents it, so
nothing here relies on it: answers go both ways until one holds items. Where both have read the same, the walker gets
an empty body from then on. Where they differ, or the event is gone, botocore parses as ever.

One difference stays, for whoever reads a binary attribute: it is base64 text here, and bytes from botocore.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

OPERATIONS = ("Query", "Scan", "BatchGetItem")
_MARK = "_eventfold"
_OK = 200


class OneParse:
    """Takes the parse of one client's answers over, once it has seen that this gives the same."""

    def __init__(self) -> None:
        self.active: bool | None = None
        """Whether answers are parsed here; None until an answer with items has decided it."""

    @classmethod
    def install(cls, client: DynamoDBClient) -> OneParse:
        """Watch a client's answers."""
        one = cls()
        for operation in OPERATIONS:
            client.meta.events.register(f"before-parse.dynamodb.{operation}", one.before_parse)
            client.meta.events.register(f"after-call.dynamodb.{operation}", one.after_call)
        return one

    def before_parse(
        self, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_kwargs: object
    ) -> None:
        """Put the answer in place, and leave botocore nothing to walk; errors and broken answers stay its own."""
        active = self.active
        if response_dict["status_code"] != _OK or active is False:
            return
        try:
            answer = orjson.loads(response_dict["body"])
        except ValueError:
            return
        if active:
            customized_response_dict.update(answer)
            response_dict["body"] = b"{}"
        else:
            customized_response_dict[_MARK] = answer

    def after_call(self, parsed: dict[str, Any], **_kwargs: object) -> None:
        """Judge an answer: what `before_parse` put in has come out, and is what botocore made of it."""
        answer = parsed.pop(_MARK, None)
        if self.active is None and _holds_items(parsed):
            theirs = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
            self.active = _same(answer, theirs)


def _holds_items(answer: Mapping[str, Any]) -> bool:
    """Return whether an answer has what the two ways could read differently; an empty one is the same in any."""
    return bool(answer.get("Items") or any((answer.get("Responses") or {}).values()))


def _same(ours: object, theirs: object) -> bool:
    """Return whether both ways have read the same; of a binary attribute, the same bytes."""
    match ours, theirs:
        case str(), bytes():
            return base64.b64decode(ours) == theirs
        case dict(), dict():
            return ours.keys() == theirs.keys() and all(_same(ours[name], theirs[name]) for name in ours)
        case list(), list():
            return len(ours) == len(theirs) and all(map(_same, ours, theirs))
        case _:
            return ours == theirs
