"""The worker: claims jobs, runs them, writes what became of them."""

from taskq.worker.worker import Worker

__all__ = ["Worker"]
