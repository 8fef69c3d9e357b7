"""What all tests share: the servers they need, started by themselves."""

from tests.support.fixtures import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]
