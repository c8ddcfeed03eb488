"""What requests cost: counted at the client, exact on any machine."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass
class Meter:
    """Requests by operation, and capacity units as DynamoDB reports them.

    Capacity is what a store really charges only on AWS and on DynamoDB Local; moto always says 1.
    """

    requests: list[str] = field(default_factory=list)
    units: dict[str, float] = field(default_factory=dict)
    """The capacity by operation."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def capacity(self) -> float:
        """The capacity of all operations."""
        return sum(self.units.values())

    @classmethod
    @contextmanager
    def on(cls, client: DynamoDBClient) -> Iterator[Meter]:
        """Count what the client does within the block."""
        meter = cls()
        events = client.meta.events
        events.register("before-parameter-build.dynamodb", _ask_for_capacity)
        events.register("after-call.dynamodb", meter._count)
        try:
            yield meter
        finally:
            events.unregister("before-parameter-build.dynamodb", _ask_for_capacity)
            events.unregister("after-call.dynamodb", meter._count)

    def _count(self, model: Any, parsed: dict[str, Any], **_: object) -> None:
        consumed = parsed.get("ConsumedCapacity", [])
        with self._lock:
            self.requests.append(model.name)
            for one in consumed if isinstance(consumed, list) else [consumed]:
                self.units[model.name] = self.units.get(model.name, 0) + one["CapacityUnits"]


def _ask_for_capacity(params: dict[str, Any], **_: object) -> None:
    params.setdefault("ReturnConsumedCapacity", "TOTAL")
