"""Every store that taskq brings keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taskq.store import Store
from taskq.testing.clock import TravelClock
from taskq.testing.conformance import MakeStore, Spoil, StoreConformance
from tests.store.conftest import Place


class TestStores(StoreConformance):
    @pytest.fixture
    def make_store(self, place: Place) -> Iterator[MakeStore]:
        stores: list[Store] = []

        def make(clock: TravelClock, **settings: Any) -> Store:
            stores.append(place.open(clock, **settings))
            return stores[-1]

        yield make
        for store in stores:
            store.close()

    @pytest.fixture
    def spoil(self, place: Place) -> Spoil:
        return place.spoil
