"""Getting in, losing the server, and what is said about it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from taskq.errors import SchemaError, StoreError, StoreUnavailable
from taskq.job import Lock, Moment, NewJob, Note, Outcome, State
from taskq.stores.redis import RedisStore
from tests.store.redis.conftest import MakeStore, lease_of, new
from tests.support.servers import Certificates, Front, RedisServer, free_port

PATIENCE = 20.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own."""
    with RedisServer() as server:
        yield server


# -- getting in ---------------------------------------------------------------------------
ACL = (
    "user default off",
    "user mail on >s@cr:t/%# ~{taskq}:* &{taskq}:* +@all -@dangerous",
    "user nobody on nopass ~{taskq}:* &{taskq}:* +@all -@dangerous",
    "user reader on >pw ~{taskq}:* +@read +@connection",
    "user elsewhere on >pw ~{other}:* &* +@all",
)


def test_a_user_who_may_do_nothing_dangerous_can_do_everything_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with RedisServer(*ACL) as server:
        for credentials in ("mail:s%40cr%3At%2F%25%23@", "nobody@"):
            store = RedisStore(f"redis://{credentials}127.0.0.1:{server.port}/0")
            store.ping()
            store.enqueue([new("a"), new("b")])
            lease = lease_of(store)
            (claim,) = store.claim(lease, 1, ["default"], {"thread": 1}, 0.05).claims
            with ThreadPoolExecutor() as pool:
                waiting = pool.submit(store.wait, ["a"], PATIENCE)
                while not waiting.done():
                    store.note(lease, claim, Note(progress=b"1"))
                    store.cancel(["a"])
                    store.finish(lease, [Outcome(claim, State.SUCCEEDED)])
                (job,) = waiting.result()
            assert job is not None
            assert job.state is State.SUCCEEDED
            assert len(store.stats()) == 1
            store.delete(["a", "b"])
            store.prune()
            store.end(lease)
            store.close()
    # It may not ask for the configuration, so nothing is said about it.
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("credentials", "told"),
    [
        ("mail:hunter2@", "refused the user name or the password"),
        (":hunter2@", "refused the user name or the password"),
        ("", "asks for a password"),
        ("reader:pw@", "may not do what taskq needs"),
        ("elsewhere:pw@", "may not do what taskq needs"),
    ],
)
def test_who_may_not_get_in_is_told_at_once_and_without_the_password(
    credentials: str, told: str
) -> None:
    with RedisServer(*ACL) as server:
        store = RedisStore(f"redis://{credentials}127.0.0.1:{server.port}/0", budget=PATIENCE)
        start = time.monotonic()
        with pytest.raises(StoreError, match=told) as caught:
            store.enqueue([new("a")])
        assert not isinstance(caught.value, StoreUnavailable)
        assert time.monotonic() - start < PATIENCE / 2
        assert "hunter2" not in f"{caught.value!r}{caught.value.__cause__!r}"
        store.close()


def test_a_password_alone(server: RedisServer) -> None:
    with RedisServer("requirepass s%:@/ecret") as locked:
        store = RedisStore(f"redis://:s%25%3A%40%2Fecret@127.0.0.1:{locked.port}")
        assert store.enqueue([new("a")])[0].status == "created"
        store.close()


def test_a_unix_socket_and_a_database(server: RedisServer) -> None:
    store = RedisStore(f"unix://{server.socket_path}?db=3&client_name=web")
    store.enqueue([new("a")])
    with redis.Redis(port=server.port, db=3) as raw:
        assert raw.hexists("{taskq}:meta", "a")
        assert "web" in {client["name"] for client in raw.client_list()}
    store.close()


def test_a_database_that_is_not_there(server: RedisServer) -> None:
    store = RedisStore(f"redis://127.0.0.1:{server.port}/99")
    with pytest.raises(StoreError, match="DB index"):
        store.ping()


def test_tls_with_an_authority_of_ones_own(server: RedisServer, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with Front(server.port, certificates) as front:
        url = f"rediss://127.0.0.1:{front.port}/0"
        store = RedisStore(f"{url}?ssl_ca_certs={certificates.ca}")
        store.enqueue([new(f"j{n}", payload=b"x" * 1000) for n in range(1000)])
        lease = lease_of(store)
        claims = store.claim(lease, 1, ["default"], {"thread": 1000}, 1.0).claims
        assert len(claims) == 1000
        assert store.claim(lease, 2, ["default"], {"thread": 1}, 0.05).claims == []
        store.close()
        trusting = RedisStore(f"{url}?ssl_cert_reqs=none")
        assert trusting.get(["j1"])[0] is not None
        trusting.close()
        with pytest.raises(StoreError, match=r"not trusted.*ssl_ca_certs="):
            RedisStore(url).ping()
        plain = RedisStore(f"redis://127.0.0.1:{front.port}/0", budget=0.3)
        with pytest.raises(StoreUnavailable):
            plain.ping()


def test_what_is_not_a_redis_server_is_said_to_be_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        store = RedisStore(f"redis://127.0.0.1:{listener.getsockname()[1]}", budget=0.1)
        with pytest.raises(StoreUnavailable):
            store.ping()
        thread.join()


# -- losing it ------------------------------------------------------------------------------
def test_no_server_is_told_within_the_budget_with_the_ids() -> None:
    store = RedisStore(f"redis://127.0.0.1:{free_port()}", budget=0.3)
    for jobs in ([new("a")], [new("a"), new("b", priority=3)]):
        start = time.monotonic()
        with pytest.raises(StoreUnavailable, match="may have been stored") as caught:
            store.enqueue(jobs)
        assert 0.05 < time.monotonic() - start < 2.0
        assert caught.value.ids == tuple(job.id for job in jobs)


def test_a_server_that_does_not_answer_is_given_up_within_the_budget(server: RedisServer) -> None:
    store = RedisStore(server.url, budget=0.5)
    store.enqueue([new("a")])
    server.pause()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match="no answer in time") as caught:
        store.enqueue([new("b")])
    assert time.monotonic() - start < 3.0
    assert caught.value.ids == ("b",)
    server.resume()
    # It may have been stored, or not; either way the same id is stored once.
    assert store.enqueue([new("b")])[0].status in ("created", "exists")
    assert store.enqueue([new("b")])[0].status == "exists"
    store.close()


def test_a_large_batch_that_breaks_off_names_what_is_not_known_to_be_stored(
    server: RedisServer,
) -> None:
    jobs = [new(f"j{n}") for n in range(5000)]
    with Front(server.port) as front:
        store = RedisStore(f"redis://127.0.0.1:{front.port}", budget=0.2)
        store.ping()
        watch = RedisStore(server.url)

        def swallow_soon() -> None:
            while watch.get(["j600"]) == [None]:
                pass
            front.swallow()

        thread = threading.Thread(target=swallow_soon)
        thread.start()

        def enqueue_again_and_again() -> None:
            for _ in range(1000):
                store.enqueue(jobs)

        with pytest.raises(StoreUnavailable) as caught:
            enqueue_again_and_again()
        thread.join()
        known = {job.id for job in jobs} - set(caught.value.ids)
        assert all(watch.get(sorted(known)))
        front.swallow(False)
        store.enqueue([job for job in jobs if job.id in caught.value.ids])
        assert all(watch.get([job.id for job in jobs]))
        (stats,) = watch.stats()
        assert stats.counts[State.READY] == len(jobs)
        store.close()
        watch.close()


def test_a_restarted_server_is_found_again_by_calls_and_claims() -> None:
    with RedisServer("appendonly yes", "appendfsync always") as server:
        store = RedisStore(server.url, budget=PATIENCE)
        store.enqueue([new("a")])
        lease = lease_of(store)
        server.kill()
        server.start()
        assert [c.id for c in store.claim(lease, 1, ["default"], {"thread": 1}).claims] == ["a"]
        server.kill()
        with ThreadPoolExecutor() as pool:
            claim = pool.submit(store.claim, lease, 2, ["default"], {"thread": 1}, 1.0)
            enqueue = pool.submit(store.enqueue, [new("b")])
            server.start()
            assert enqueue.result()[0].status == "created"
            found = claim.result().claims
        found = found or store.claim(lease, 2, ["default"], {"thread": 1}, PATIENCE).claims
        assert [claim.id for claim in found] == ["b"]
        store.close()


def test_connections_that_were_cut_are_replaced_in_silence(server: RedisServer) -> None:
    with Front(server.port) as front:
        store = RedisStore(f"redis://127.0.0.1:{front.port}")
        for n in range(5):
            assert store.enqueue([new(f"j{n}")])[0].status in ("created", "exists")
            front.cut()
        lease = lease_of(store)
        front.cut()
        assert len(store.claim(lease, 1, ["default"], {"thread": 9}, 0.1).claims) == 5
        store.close()


def test_a_claim_whose_reply_was_lost_gives_the_same_jobs(server: RedisServer) -> None:
    with Front(server.port) as front:
        store = RedisStore(f"redis://127.0.0.1:{front.port}", budget=0.3)
        store.enqueue([new("a"), new("b")])
        lease = lease_of(store)
        front.swallow()
        with pytest.raises(StoreUnavailable):
            store.claim(lease, 1, ["default"], {"thread": 1})
        front.swallow(False)
        claims = store.claim(lease, 1, ["default"], {"thread": 1}).claims
        assert [(claim.id, claim.claims) for claim in claims] == [("a", 1)]
        store.close()


def test_a_wait_survives_a_cut(server: RedisServer) -> None:
    with Front(server.port) as front, ThreadPoolExecutor() as pool:
        store = RedisStore(f"redis://127.0.0.1:{front.port}")
        other = RedisStore(server.url)
        store.enqueue([new("a")])
        waiting = pool.submit(store.wait, ["a"], PATIENCE)
        with redis.Redis(port=server.port) as raw:
            while not raw.pubsub_channels("{taskq}:done:*"):
                pass
            front.cut()
            while not raw.pubsub_channels("{taskq}:done:*"):
                pass
        other.cancel(["a"])
        (job,) = waiting.result(PATIENCE)
        assert job is not None
        assert job.state is State.CANCELLED
        store.close()
        other.close()


def test_a_server_that_forgot_the_scripts_is_given_them_again(
    store: RedisStore, raw: redis.Redis
) -> None:
    lease = lease_of(store)
    for n in range(3):
        raw.script_flush()
        store.enqueue([new(f"j{n}")])
        raw.script_flush()
        (claim,) = store.claim(lease, n + 1, ["default"], {"thread": 1}, 1.0).claims
        raw.script_flush()
        assert store.claim(lease, n + 2, ["default"], {"thread": 1}, 0.02).claims == []
        assert claim.id == f"j{n}"


# -- memory, replicas, versions ------------------------------------------------------------------
def test_full_memory_refuses_new_jobs_and_lets_the_others_end(server: RedisServer) -> None:
    store = RedisStore(server.url)
    store.enqueue([new(f"j{n}", lock=Lock(f"k{n}")) for n in range(20)])
    store.enqueue([new("later", due=Moment(0.01)), new("high", priority=5)])
    dead, lease = lease_of(store), lease_of(store)
    taken = store.claim(dead, 1, ["default"], {"thread": 5}).claims
    with redis.Redis(port=server.port) as raw:
        raw.config_set("maxmemory", 1)
        for job in (new("more"), new("more", priority=1)):
            with pytest.raises(StoreUnavailable, match="out of memory") as caught:
                store.enqueue([job])
            assert caught.value.ids == ("more",)
        # What is there goes on, to its end.
        assert store.renew(dead, [claim.id for claim in taken]) == []
        assert store.finish(dead, [Outcome(taken[0], State.SUCCEEDED, result=b"r")]) == ["done"]
        again = Outcome(taken[1], State.RETRYING, delay=9.0, error=b"e")
        assert store.finish(dead, [again]) == ["done"]
        store.end(dead)
        assert len(store.reclaim(lease, 1, [dead], 10)) == 3
        claims = store.claim(lease, 2, ["default"], {"thread": 4}).claims
        assert len(claims) == 4
        back = [Outcome(claim, State.READY) for claim in claims]
        assert store.finish(lease, back) == ["done"] * 4
        assert store.cancel(["j19", claims[0].id, taken[2].id]) == ["cancelled"] * 2 + ["asked"]
        number = 3
        while not (moved := store.promote().moved):
            store.claim(lease, number, ["none"], {"thread": 1}, 0.02)
        assert moved == 1
        assert store.delete(["j18"]) == ["deleted"]
        assert store.get(["more"]) == [None]
        raw.config_set("maxmemory", 0)
    assert store.enqueue([new("more")])[0].status == "created"
    (stats,) = store.stats()
    total = sum(stats.counts.values())
    assert total == len(store.browse(limit=100).jobs)
    store.close()


def test_a_replica_takes_no_jobs_and_says_so(server: RedisServer) -> None:
    with RedisServer(f"replicaof 127.0.0.1 {server.port}") as replica:
        store = RedisStore(replica.url, budget=0.3)
        with pytest.raises(StoreUnavailable, match="replica") as caught:
            store.enqueue([new("a")])
        assert caught.value.ids == ("a",)
        with redis.Redis(port=replica.port) as raw:
            raw.replicaof("NO", "ONE")
        assert store.enqueue([new("a")])[0].status == "created"
        store.close()


def test_a_policy_that_deletes_jobs_is_warned_about(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStore(server.url)
    store.ping()
    assert not caplog.records
    with redis.Redis(port=server.port) as raw:
        raw.config_set("maxmemory-policy", "allkeys-lru")
    store.ping()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("taskq.store", "WARNING")
    assert "allkeys-lru" in record.getMessage()
    store.close()


def test_a_layout_of_another_version_is_refused(
    store: RedisStore, raw: redis.Redis, key: Callable[[str], str]
) -> None:
    store.ping()
    raw.set(key("layout"), "2")
    with pytest.raises(SchemaError, match="'2'"):
        store.ping()


# -- processes and threads --------------------------------------------------------------------
def test_after_a_fork_the_child_makes_connections_of_its_own(store: RedisStore) -> None:
    store.enqueue([new("before")])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = store.get(["before"])[0]
            store.enqueue([new(f"child{n}") for n in range(50)])
            os.write(writing, b"ok" if found is not None else b"no")
        finally:
            os._exit(0)
    os.close(writing)
    for n in range(200):
        (job,) = store.get(["before"])
        assert job is not None
        assert job.id == "before", n
    assert os.read(reading, 10) == b"ok"
    os.close(reading)
    os.waitpid(child, 0)
    assert None not in store.get([f"child{n}" for n in range(50)])


def test_many_threads_use_few_connections_afterwards(make_store: MakeStore, redis_url: str) -> None:
    store = make_store(f"{redis_url}?client_name=many-threads")

    def enqueue(thread: int) -> list[str]:
        jobs = [NewJob(f"{thread}.{n}", "t", b"") for n in range(50)]
        return [store.enqueue([job])[0].status for job in jobs]

    with ThreadPoolExecutor(30) as pool:
        statuses = [status for part in pool.map(enqueue, range(30)) for status in part]
    assert statuses == ["created"] * 1500
    with redis.Redis.from_url(store.url) as raw:
        ours = [each for each in raw.client_list() if each["name"] == "many-threads"]
    assert len(ours) <= 8


def test_redis_py_is_not_imported_for_sync_use(redis_url: str, prefix: str) -> None:
    code = f"""
import sys
from taskq.job import NewJob, WorkerInfo
from taskq.stores.redis import RedisStore
store = RedisStore({redis_url!r}, prefix={prefix!r})
store.ping()
store.enqueue([NewJob("a", "t", b"")])
lease = store.open(WorkerInfo("h", 1), 30)
assert store.claim(lease, 1, ["default"], {{"thread": 1}}, 0.1).claims
print(sorted({{"redis", "asyncio"}} & set(sys.modules)))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"
