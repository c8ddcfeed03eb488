"""One cold start: run by a new process, without site-packages, on the built layers. Prints its CPU seconds so far.

`handler` imports a function and handles one event, of a stream that no start before it had; `boto3` is the least that
any function on DynamoDB does: import boto3, make a client, put one item.
"""
# ruff: noqa: PLC0415 - what is imported, and when, is what is measured

from __future__ import annotations

import sys
import time

ID = "0b0f6a3e-5d5c-4b53-9d34-6f1f0a4d2c11"
"""The user in the payloads."""
OK, CREATED, NOT_FOUND = 200, 201, 404


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
    """Handle the first event of a new function process."""
    import importlib

    lambda_handler = importlib.import_module("handler").lambda_handler
    import json
    import os
    from pathlib import Path

    event = Path(payload).read_text().replace(ID, f"{os.getpid():08}-{time.time_ns()}")
    answer = lambda_handler(json.loads(event), Context())
    if answer.get("statusCode", OK) not in {CREATED, NOT_FOUND, OK} or answer.get("batchItemFailures"):
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
