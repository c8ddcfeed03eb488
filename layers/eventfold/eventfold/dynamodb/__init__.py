"""The DynamoDB adapters: the event store, the read models' rows, and the client under both."""

from eventfold.dynamodb.client import create_client
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.store import DynamoDBEventStore

__all__ = ["DynamoDBEventStore", "DynamoDBRowStore", "create_client"]
