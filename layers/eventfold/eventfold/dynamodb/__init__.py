"""The DynamoDB adapters: the event store, what read models are kept in, parked streams, and the client under all."""

from eventfold.dynamodb.client import create_client
from eventfold.dynamodb.controls import DynamoDBControlStore
from eventfold.dynamodb.parked import DynamoDBParkedStore
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.store import DynamoDBEventStore
from eventfold.dynamodb.tallies import DynamoDBTallyStore

__all__ = [
    "DynamoDBControlStore",
    "DynamoDBEventStore",
    "DynamoDBParkedStore",
    "DynamoDBRowStore",
    "DynamoDBTallyStore",
    "create_client",
]
