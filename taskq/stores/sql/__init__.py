"""The SQL store, and its SQLite dialect."""

from taskq.stores.sql.dialects import Dialect, SQLite
from taskq.stores.sql.store import SqlStore
from taskq.stores.sql.url import sqlite_store

__all__ = ["Dialect", "SQLite", "SqlStore", "sqlite_store"]
