"""The store on Redis and Valkey."""

from taskq.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
