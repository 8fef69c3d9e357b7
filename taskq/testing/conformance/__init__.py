"""The conformance kit: whether a store keeps the contract of `taskq.store`.

Anyone with a store of their own can run it, under pytest::

    import pytest
    from taskq.testing.conformance import StoreConformance

    pytest.register_assert_rewrite("taskq.testing.conformance")   # in conftest.py

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def make_store(self, tmp_path):
            stores = []

            def make(clock, **settings):
                stores.append(MyStore(tmp_path / "jobs", clock=clock, **settings))
                return stores[-1]

            yield make
            for store in stores:
                store.close()

``make_store(clock, **settings)`` is called once or more in a test. The first call gives a
store without jobs; a further one another client of the same jobs (asked for only if the
store is ``shared``). Its time is that of ``clock``, a `taskq.testing.clock.TravelClock`,
which stands still until a test moves it; waits are in real time. The one setting asked for
is ``max_ended``.

For a store whose records others could damage also give a fixture ``spoil``: a function that
damages the stored job of an id, and returns the raw bytes that the store has to keep of it.
"""

from taskq.testing.conformance.claiming import Claiming, Waiting
from taskq.testing.conformance.concurrency import Aio, Threads
from taskq.testing.conformance.enqueueing import Enqueueing
from taskq.testing.conformance.finishing import Finishing, Notes, WaitingForTheEnd
from taskq.testing.conformance.leases import Leases
from taskq.testing.conformance.malformed import Malformed, Spoil
from taskq.testing.conformance.reading import Life, Reading
from taskq.testing.conformance.tools import MakeStore
from taskq.testing.conformance.uniqueness import Uniqueness
from taskq.testing.conformance.upkeep import Promoting, Pruning, SharedLocks

__all__ = ["MakeStore", "Spoil", "StoreConformance"]


class StoreConformance(
    Enqueueing,
    Uniqueness,
    Leases,
    Claiming,
    Waiting,
    Finishing,
    Notes,
    WaitingForTheEnd,
    Promoting,
    Pruning,
    SharedLocks,
    Reading,
    Malformed,
    Life,
    Threads,
    Aio,
):
    """Every promise of the contract, each as a test. A subclass gives ``make_store``."""
