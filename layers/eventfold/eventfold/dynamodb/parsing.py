"""Reading an answer's JSON once.

botocore walks every attribute of every item by its shape, at about 5 us an attribute: most of what a read costs in CPU.
DynamoDB's items arrive as the very structure that botocore builds, so one parse is enough.
botocore's `before-parse` event lets a handler put parts of the answer in place by itself. No page documents it, so
nothing here relies on it: a client's first answer goes both ways, and only when they agree does the walker get an empty
body from then on. Where they differ, or the event is gone, botocore parses as ever.

One difference stays, for whoever reads a binary attribute: it is base64 text here, and bytes from botocore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

OPERATIONS = ("Query", "Scan", "BatchGetItem")
_MARK = "_eventfold"
_OK = 200


class OneParse:
    """Takes the parse of one client's answers over, once it has seen that this gives the same."""

    def __init__(self) -> None:
        self.active = False
        """Whether answers are parsed here."""
        self._tried = False

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
        if response_dict["status_code"] != _OK or (self._tried and not self.active):
            return
        try:
            answer = orjson.loads(response_dict["body"])
        except ValueError:
            return
        if self.active:
            customized_response_dict.update(answer)
            response_dict["body"] = b"{}"
        else:
            customized_response_dict[_MARK] = answer

    def after_call(self, parsed: dict[str, Any], **_kwargs: object) -> None:
        """Judge the first answer: what `before_parse` put in has come out, and is what botocore made of it."""
        answer = parsed.pop(_MARK, None)
        if not self._tried:
            self._tried = True
            self.active = answer is not None and answer == {k: v for k, v in parsed.items() if k != "ResponseMetadata"}
