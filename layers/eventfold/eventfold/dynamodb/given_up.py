"""The bucket that Lambda leaves batches in which it gave up on: the on-failure destination of the stream's mappings.

An object is an invocation record, and its `payload` the event that the function was called with. They lie under
`aws/lambda/MAPPING/SHARD/YYYY/MM/DD/`: https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, Json, ValidationError

from eventfold.dynamodb.client import code_of, create_s3_client, passing_errors_named
from eventfold.dynamodb.streams import stream_of
from eventfold.read_models.given_up import GivenUp

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "aws/lambda/"


class _Event(BaseModel):
    Records: list[dict[str, Any]]


class _InvocationRecord(BaseModel):
    payload: Json[_Event] | _Event


class FailuresBucket:
    """The batches in a bucket. A request for each 1,000 names, one to read a batch, and one to forget it."""

    def __init__(self, bucket: str, endpoint_url: str | None = None) -> None:
        self._bucket = bucket
        self._s3 = create_s3_client(endpoint_url)

    def names(self) -> Iterator[str]:
        """See `GivenUpStore.names`."""
        with passing_errors_named():
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=_PREFIX):
                yield from (one["Key"] for one in page.get("Contents", []))

    def read(self, name: str) -> GivenUp | None:
        """See `GivenUpStore.read`. A batch is held in memory: 6 MB of records at the most, written as JSON."""
        try:
            with passing_errors_named():
                body = self._s3.get_object(Bucket=self._bucket, Key=name)["Body"].read()
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise
        try:
            records = _InvocationRecord.model_validate_json(body).payload.Records
        except ValidationError:
            return GivenUp(name, (), "it is no batch of stream records")
        streams = [stream_of(record) for record in records]
        nameless = streams.count(None)
        why = f"{nameless} of {len(streams)} records name no stream" if nameless else None
        return GivenUp(name, tuple(dict.fromkeys(one for one in streams if one is not None)), why)

    def forget(self, name: str) -> None:
        """See `GivenUpStore.forget`."""
        with passing_errors_named():
            self._s3.delete_object(Bucket=self._bucket, Key=name)
