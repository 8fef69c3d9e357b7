"""The URL of a Redis store: what is understood, what is refused, and that it keeps a secret."""

from __future__ import annotations

import pytest

from taskq.errors import ConfigError
from taskq.stores.redis import RedisStore
from taskq.stores.redis.url import Address, parse


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", Address()),
        ("redis://localhost", Address()),
        ("redis://example.org:7000/3", Address(host="example.org", port=7000, db=3)),
        ("valkey://example.org", Address(host="example.org")),
        ("valkeys://example.org", Address(host="example.org", tls=True)),
        ("rediss://example.org/1", Address(host="example.org", db=1, tls=True)),
        ("redis://[::1]:7000", Address(host="::1", port=7000)),
        ("redis://:secret@h", Address(host="h", password="secret")),
        ("redis://me@h", Address(host="h", user="me")),
        ("redis://me:s%40%3A%2F%25%23@h", Address(host="h", user="me", password="s@:/%#")),
        ("redis://m%3Ae:x@h", Address(host="h", user="m:e", password="x")),
        ("redis://h?db=4", Address(host="h", db=4)),
        ("unix:///run/my%20redis.sock?db=2", Address(path="/run/my redis.sock", db=2)),
        ("unix://me:pw@/run/r.sock", Address(path="/run/r.sock", user="me", password="pw")),
        (
            "redis://h?prefix=app&socket_timeout=1.5&socket_connect_timeout=3&client_name=web",
            Address(
                host="h",
                prefix="app",
                socket_timeout=1.5,
                socket_connect_timeout=3.0,
                client_name="web",
            ),
        ),
        (
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem"
            "&ssl_cert_reqs=none&ssl_check_hostname=false",
            Address(
                host="h",
                tls=True,
                ssl_ca_certs="/ca.pem",
                ssl_certfile="/c.pem",
                ssl_keyfile="/k.pem",
                ssl_cert_reqs="none",
                ssl_check_hostname=False,
            ),
        ),
    ],
)
def test_what_a_url_means(url: str, expected: Address) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://h", "begins with redis://"),
        ("redis://h:port", "not a number"),
        ("redis://:a/b@h", "percent-encoded"),
        ("redis://h:70000", "0 to 65535"),
        ("redis://:a#b@h", "%23"),
        ("redis://h/zero", "whole number"),
        ("redis://h/-1", "whole number"),
        ("redis://h/1?db=2", "twice"),
        ("redis://h?colour=red", "no option 'colour'"),
        ("redis://h?socket_timeout=soon", "seconds above 0"),
        ("redis://h?socket_timeout=0", "seconds above 0"),
        ("redis://h?socket_timeout=nan", "seconds above 0"),
        ("rediss://h?ssl_cert_reqs=maybe", "none, optional or required"),
        ("rediss://h?ssl_check_hostname=maybe", "true or false"),
        ("unix://", "absolute path"),
        ("unix://run/redis.sock", "absolute path"),
        ("redis://[::1", "cannot be read"),
    ],
)
def test_a_wrong_url_is_refused_with_what_would_be_right(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:hunter2@h:70000",
        "redis://me:hunter2@h/zero",
        "redis://me:hunter2@h?colour=red",
        "http://me:hunter2@h",
        "redis://me:hunter2/@h",
        "redis://me:hunter2#@h",
    ],
)
def test_no_error_shows_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(url)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:hunter2@h:1/2", "redis://me@h:1/2"),
        ("rediss://:hunter2@[::1]", "rediss://[::1]:6379/0"),
        ("unix://m%40e:hunter2@/run/r.sock?db=1", "unix://m%40e@/run/r.sock?db=1"),
    ],
)
def test_what_is_shown_has_no_password(url: str, shown: str) -> None:
    store = RedisStore(url)
    assert store.url == shown
    assert "hunter2" not in repr(store)
    assert "hunter2" not in repr(parse(url))


@pytest.mark.parametrize("prefix", ["", "{a}", "a}b", "a\nb"])
def test_a_prefix_that_cannot_be_part_of_a_key_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        RedisStore("redis://localhost", prefix=prefix)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_ended"):
        RedisStore("redis://localhost", max_ended=-1)
    with pytest.raises(ConfigError, match="budget"):
        RedisStore("redis://localhost", budget=0)
    with pytest.raises(ConfigError, match="not both"):
        RedisStore("redis://localhost", client=object())


def test_tls_files_that_are_not_there_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match="ssl_ca_certs"):
        RedisStore("rediss://localhost?ssl_ca_certs=/nowhere/ca.pem")
