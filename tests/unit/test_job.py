"""Job ids: UUIDs of version 7 that sort in the order in which they were made."""

from __future__ import annotations

import os
import threading
import time
import uuid

import pytest

from taskq.job import Moment, State, new_id

MANY = 20_000


def test_an_id_is_a_uuid_of_version_7() -> None:
    for _ in range(1000):
        id = new_id()
        made = uuid.UUID(id)
        assert str(made) == id
        assert made.version == 7
        assert made.variant == uuid.RFC_4122


def test_an_id_holds_its_time() -> None:
    before = time.time_ns() // 1_000_000
    id = uuid.UUID(new_id())
    after = time.time_ns() // 1_000_000
    # Ids made in a burst run ahead of the clock by 1/4096 ms each.
    assert before <= id.int >> 80 <= after + MANY // 4096 + 1


def test_ids_of_one_millisecond_are_unique_and_sorted() -> None:
    ids = [new_id() for _ in range(MANY)]
    assert len({id[:13] for id in ids}) < MANY, "none were made in one millisecond"
    assert len(set(ids)) == MANY
    assert ids == sorted(ids)


def test_ids_of_several_threads_are_unique_and_sorted_in_each() -> None:
    """ENQ-10"""
    made: list[list[str]] = [[] for _ in range(4)]
    start = threading.Barrier(4)

    def make(mine: list[str]) -> None:
        start.wait()
        mine.extend(new_id() for _ in range(MANY // 4))

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({id for mine in made for id in mine}) == MANY


def test_an_id_made_later_sorts_later_over_threads() -> None:
    """What one thread made before it woke another sorts before what that one makes."""
    ids: list[str] = []
    for _ in range(200):
        ids.append(new_id())
        thread = threading.Thread(target=lambda: ids.append(new_id()))
        thread.start()
        thread.join()
    assert ids == sorted(ids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_ids_stay_unique_over_a_fork() -> None:
    """The child goes on from the same state, in the same millisecond, and makes others."""
    new_id()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with os.fdopen(write, "w") as out:
            out.write(" ".join(new_id() for _ in range(500)))
        os._exit(0)
    mine = [new_id() for _ in range(500)]
    os.close(write)
    with os.fdopen(read) as told:
        its = told.read().split()
    os.waitpid(child, 0)
    assert len({*mine, *its}) == 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_other_threads_make_ids_does_not_block_the_child() -> None:
    going = True

    def make() -> None:
        while going:
            new_id()

    thread = threading.Thread(target=make)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                new_id()
                os._exit(0)
            until = time.monotonic() + 10
            while (done := os.waitpid(child, os.WNOHANG)) == (0, 0):
                if time.monotonic() > until:
                    os.kill(child, 9)
                    os.waitpid(child, 0)
                    pytest.fail("the child hangs")
                threading.Event().wait(0.001)
            assert done[1] == 0
    finally:
        going = False
        thread.join()


def test_a_moment_is_an_instant_or_a_duration() -> None:
    assert Moment(5.0).at(100.0) == 105.0
    assert Moment(5.0, absolute=True).at(100.0) == 5.0


def test_states_that_have_ended() -> None:
    ended = {state.value for state in State if state.ended}
    assert ended == {"succeeded", "failed", "cancelled", "expired"}
