"""The memory store: jobs live in this process and go with it."""

from taskq.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
