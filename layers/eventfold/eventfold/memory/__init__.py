"""The stores in memory: for tests and for trying a domain out. Safe for threads. Imports every port."""

from eventfold.memory.controls import MemoryControlStore
from eventfold.memory.events import MemoryEventStore
from eventfold.memory.read_models import MemoryKeyListing, MemoryParkedStore, MemoryRowStore, MemoryTallyStore

__all__ = [
    "MemoryControlStore",
    "MemoryEventStore",
    "MemoryKeyListing",
    "MemoryParkedStore",
    "MemoryRowStore",
    "MemoryTallyStore",
]
