"""One cold start: run by a new process, without site-packages, on the built layers. Prints its CPU seconds so far.

`handler` imports the command function and handles POST /users; `boto3` is the least that any function on DynamoDB
does: import boto3, make a client, put one item.
"""
# ruff: noqa: PLC0415 - what is imported, and when, is what is measured

from __future__ import annotations

import sys
import time


class Context:
    """The part of Lambda's context that handlers read."""

    function_name = "function"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:function"
    aws_request_id = "00000000-0000-0000-0000-000000000001"

    def get_remaining_time_in_millis(self) -> int:
        """Return a whole timeout."""
        return 29_000


def handler(payload: str) -> None:
    """Handle the first request of a new function process."""
    import importlib

    lambda_handler = importlib.import_module("handler").lambda_handler
    import json
    from pathlib import Path

    answer = lambda_handler(json.loads(Path(payload).read_text()), Context())
    if answer["statusCode"] != 201:  # noqa: PLR2004 - created
        raise SystemExit(str(answer))


def boto3(table: str) -> None:
    """Put one item."""
    import boto3

    item = {"stream": {"S": "user-1"}, "version": {"N": "1"}, "events": {"S": "[]"}}
    boto3.client("dynamodb").put_item(TableName=table, Item=item)


if __name__ == "__main__":
    kind, argument, *paths = sys.argv[1:]
    sys.path[:0] = paths
    {"handler": handler, "boto3": boto3}[kind](argument)
    sys.stderr.write(f"{time.process_time()}\n")
