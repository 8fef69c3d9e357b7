"""Settings: where they come from, what each takes, and what the errors say."""

from __future__ import annotations

import math
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from taskq.config import Config
from taskq.errors import ConfigError

KEY = "k" * 16


def load(env: dict[str, str] | None = None, /, **given: Any) -> Config:
    return Config.load(given, env or {})


def test_the_defaults() -> None:
    made = load()
    assert made == Config()
    assert made.url == "sqlite:///taskq.db"
    assert (made.lease, made.grace, made.concurrency, made.pickle) == (30.0, 25.0, 10, False)


def test_arguments_beat_the_environment_and_it_the_defaults() -> None:
    env = {"TASKQ_URL": "redis://env", "TASKQ_LEASE": "60", "TASKQ_CONCURRENCY": "4"}
    made = load(env, url="redis://given", lease=90)
    assert (made.url, made.lease, made.concurrency, made.grace) == ("redis://given", 90.0, 4, 25.0)


def test_none_and_empty_variables_count_as_not_given() -> None:
    assert load({"TASKQ_URL": "", "TASKQ_LEASE": ""}, url=None, lease=None) == Config()


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_GRACE", "7")
    assert Config.load({}).grace == 7.0


RIGHT = [
    ("url", "redis://localhost:6379/0", "redis://localhost:6379/0"),
    ("prefix", "shop", "shop"),
    ("defaults", {"max_retry": 3}, {"max_retry": 3}),
    ("defaults", '{"max_retry": 3}', {"max_retry": 3}),
    ("keep_succeeded", 0, 0.0),
    ("keep_failed", timedelta(days=1), 86400.0),
    ("max_ended", "0", 0),
    ("max_size", 1, 1),
    ("sign_key", KEY, (KEY.encode(),)),
    ("sign_key", f"{KEY}, {'o' * 16}", (KEY.encode(), b"o" * 16)),
    ("sign_key", b"\xff" * 16, (b"\xff" * 16,)),
    ("sign_key", [KEY, b"o" * 16], (KEY.encode(), b"o" * 16)),
    ("pickle", True, True),
    ("pickle", "on", True),
    ("pickle", "No", False),
    ("pickle", "0", False),
    ("budget", "0.5", 0.5),
    ("lease", 1, 1.0),
    ("lease", timedelta(minutes=1), 60.0),
    ("grace", 0, 0.0),
    ("unknown_after", 0, 0.0),
    ("concurrency", "10000", 10_000),
    ("concurrency", 1, 1),
    ("async_concurrency", 100_000, 100_000),
    ("processes", " 4 ", 4),
    ("log_level", "debug", "DEBUG"),
    ("log_format", "JSON", "json"),
]

NO_SECONDS: list[Any] = ["x", True, -1, math.nan, math.inf, [1], 1e11]
NO_COUNT: list[Any] = ["x", -1, 1.5, True, "1e3", "٣", math.nan]

WRONG: list[tuple[str, Any]] = [
    *(("url", value) for value in [5, b"redis://"]),
    ("prefix", 5),
    *(("defaults", value) for value in ["{", "[1]", 5, [("a", 1)]]),
    *((name, value) for name in ("keep_succeeded", "keep_failed") for value in NO_SECONDS),
    *((name, value) for name in ("budget", "lease") for value in [*NO_SECONDS, 0]),
    *((name, value) for name in ("grace", "unknown_after") for value in NO_SECONDS),
    ("lease", 0.9),
    ("max_ended", 10**10),
    *(("max_size", value) for value in [*NO_COUNT, 0, 1 << 30]),
    *(("sign_key", value) for value in ["short", "", [], [KEY, "short"], f"{KEY},", 5, [5]]),
    *(("pickle", value) for value in ["maybe", 2, "", []]),
    *(
        (name, value)
        for name in ("concurrency", "async_concurrency", "processes")
        for value in [*NO_COUNT, 0, "0", 10**6]
    ),
    *(("log_level", value) for value in ["LOUD", 10, ""]),
    *(("log_format", value) for value in ["xml", 5]),
]


@pytest.mark.parametrize(("name", "value", "means"), RIGHT, ids=lambda value: repr(value)[:40])
def test_a_right_value_is_taken(name: str, value: Any, means: Any) -> None:
    assert getattr(load(**{name: value}), name) == means
    if isinstance(value, str):
        assert getattr(load({f"TASKQ_{name.upper()}": value}), name) == means


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: repr(value)[:40])
def test_a_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    """RUN-10 among others"""
    with pytest.raises(ConfigError, match=f"^{name} takes"):
        load(**{name: value})


def test_every_setting_has_right_and_wrong_rows() -> None:
    names = {field.name for field in fields(Config)}
    assert {name for name, *_ in RIGHT} == names
    assert {name for name, *_ in WRONG} == names


def test_an_error_says_where_the_value_came_from() -> None:
    with pytest.raises(ConfigError, match=r"TASKQ_LEASE takes .*, not 'soon'"):
        load({"TASKQ_LEASE": "soon"})


def test_the_message_says_what_is_right() -> None:
    """The smallest value that the message allows is taken."""
    with pytest.raises(ConfigError, match=r"lease takes (1 or more|at least 1) seconds"):
        load(lease=0.5)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("concurency", "concurrency"), ("leases", "lease"), ("signkey", "sign_key")],
)
def test_an_unknown_setting_is_refused_with_a_hint(typo: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown setting '{typo}'; did you mean {meant}"):
        load(**{typo: 1})


def test_a_slip_in_a_variable_is_told() -> None:
    with pytest.raises(ConfigError, match="TASKQ_CONCURENCY; did you mean TASKQ_CONCURRENCY"):
        load({"TASKQ_CONCURENCY": "4"})


def test_variables_of_others_are_left_alone() -> None:
    env = {"TASKQ_APP": "shop:app", "TASKQ_DASHBOARD_TOKEN": "x", "HOME": "/", "TASKQ": "1"}
    assert load(env) == Config()


def test_secrets_are_not_shown_in_errors() -> None:
    for name in ("sign_key", "url"):
        with pytest.raises(ConfigError) as raised:
            load(**{name: ["hunter2"]})
        assert "hunter2" not in str(raised.value)


def test_secrets_are_not_shown_by_repr() -> None:
    made = load(url="redis://:hunter2@localhost", sign_key="hunter2-hunter2-hunter2")
    assert "hunter2" not in repr(made)


def test_every_setting_is_documented() -> None:
    for field in fields(Config):
        assert field.metadata["doc"].endswith(".")
        assert field.metadata["takes"]
