"""DynamoDB behind the library's ports: the event store; what read models are kept in is in modules of its own."""

from eventfold.dynamodb.client import create_client
from eventfold.dynamodb.store import DynamoDBEventStore

__all__ = ["DynamoDBEventStore", "create_client"]
