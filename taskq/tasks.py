"""A task: a decorated function, and the ways to call it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    overload,
)

from taskq.codec import Hints
from taskq.context import current_app
from taskq.errors import InvalidOption
from taskq.handle import JobHandle
from taskq.job import Lane, Moment
from taskq.options import CallOptions, Options, moment, overlay

if TYPE_CHECKING:
    from weakref import WeakKeyDictionary

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")

When = datetime | timedelta | float
"""A time to run at: an aware datetime, or a duration (timedelta or seconds) from now."""

CallArgs = Sequence[Any] | Mapping[str, Any]
"""One call of ``delay_many``: a tuple of positional arguments, or a mapping of keyword ones."""


class Producer(Protocol):
    """What a task needs of its app."""

    def options_of(self, task: Task[..., Any, Any]) -> Options: ...
    def submit(
        self,
        task: Task[..., Any, Any],
        options: Options,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        due: Moment | None,
    ) -> JobHandle[Any]: ...
    async def asubmit(
        self,
        task: Task[..., Any, Any],
        options: Options,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        due: Moment | None,
    ) -> JobHandle[Any]: ...
    def submit_many(
        self, task: Task[..., Any, Any], options: Options, calls: Iterable[CallArgs]
    ) -> list[JobHandle[Any]]: ...
    async def asubmit_many(
        self, task: Task[..., Any, Any], options: Options, calls: Iterable[CallArgs]
    ) -> list[JobHandle[Any]]: ...


class Enqueuing(Generic[P, R]):
    """The ways to enqueue, shared by a task and by ``task.using(…)``."""

    __slots__ = ()

    def _resolve(self) -> tuple[Producer, Task[..., Any, Any], Options]:
        raise NotImplementedError

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Enqueue a call; a worker runs it as soon as it can.

        :raises TypeError: the arguments do not fit the function.
        :raises EncodeError: an argument cannot travel; ``path`` says which.
        :raises Duplicate: with ``on_duplicate="raise"``.
        :raises StoreUnavailable: not stored within the time budget, as far as is known.
        """
        app, task, options = self._resolve()
        return app.submit(task, options, args, kwargs, None)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """`delay` for asyncio."""
        app, task, options = self._resolve()
        return await app.asubmit(task, options, args, kwargs, None)

    def apply_at(self, when: When, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Enqueue a call that becomes due at a time.

        :param when: an aware datetime, or a timedelta or seconds from now, by the store's
            clock. The past means now.
        :raises InvalidOption: a naive datetime, NaN, infinity. Otherwise as `delay`.
        """
        due = moment("apply_at(when)", when)
        app, task, options = self._resolve()
        return app.submit(task, options, args, kwargs, due)

    async def aapply_at(self, when: When, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """`apply_at` for asyncio."""
        due = moment("apply_at(when)", when)
        app, task, options = self._resolve()
        return await app.asubmit(task, options, args, kwargs, due)

    def apply_async(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        countdown: float | None = None,
        eta: datetime | None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> JobHandle[R]:
        """`delay` in Celery's shape, for those who move.

        :param countdown: seconds from now. :param eta: an aware datetime.
        :param task_id: an id of one's own, as the option ``job_id``.
        """
        app, task, resolved, due = self._celery(countdown, eta, task_id, options)
        return app.submit(task, resolved, tuple(args), kwargs or {}, due)

    async def aapply_async(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        countdown: float | None = None,
        eta: datetime | None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> JobHandle[R]:
        """`apply_async` for asyncio."""
        app, task, resolved, due = self._celery(countdown, eta, task_id, options)
        return await app.asubmit(task, resolved, tuple(args), kwargs or {}, due)

    def _celery(
        self,
        countdown: float | None,
        eta: datetime | None,
        task_id: str | None,
        given: CallOptions,
    ) -> tuple[Producer, Task[..., Any, Any], Options, Moment | None]:
        if countdown is not None and eta is not None:
            raise InvalidOption("apply_async takes countdown or eta, not both")
        due = None
        if countdown is not None:
            due = moment("countdown", countdown)
        elif eta is not None:
            due = moment("eta", eta)
        if task_id is not None:
            given = {**given, "job_id": task_id}
        app, task, options = self._resolve()
        return app, task, overlay(options, given, "call"), due

    def delay_many(self, calls: Iterable[CallArgs]) -> list[JobHandle[R]]:
        """Enqueue many calls in a few round trips; their handles in the same order.

        :param calls: a tuple of positional arguments, or a mapping of keyword ones, for each.
        :raises: as `delay`; all calls are checked before the first one is sent, and the error
            names the call. After StoreUnavailable, ``ids`` are those not known to be stored.
        """
        app, task, options = self._resolve()
        return app.submit_many(task, options, calls)

    async def adelay_many(self, calls: Iterable[CallArgs]) -> list[JobHandle[R]]:
        """`delay_many` for asyncio."""
        app, task, options = self._resolve()
        return await app.asubmit_many(task, options, calls)


class Call(Enqueuing[P, R]):
    """A task with options for this call; from ``task.using(…)``."""

    __slots__ = ("_given", "_task")

    def __init__(self, task: Task[P, R, Any], given: CallOptions) -> None:
        overlay(_PLAIN, given, "call")  # what is wrong is told where it was written
        self._task = task
        self._given = given

    def _resolve(self) -> tuple[Producer, Task[..., Any, Any], Options]:
        app, task, options = self._task._resolve()
        return app, task, overlay(options, self._given, "call")

    def using(self, **options: Unpack[CallOptions]) -> Call[P, R]:
        """Further options over these."""
        return Call(self._task, {**self._given, **options})

    def __repr__(self) -> str:
        return f"<Call of {self._task.name} using {self._given}>"


_PLAIN = Options()


class Task(Enqueuing[P, R], Generic[P, R, C]):
    """A decorated function. Called, it runs here and now; ``delay`` and its kin enqueue it.

    ``R`` is its result, ``C`` what a direct call gives (a coroutine for ``async def``).
    """

    def __init__(
        self, fn: Callable[P, C], given: Mapping[str, Any], app: Producer | None = None
    ) -> None:
        odd = isinstance(fn, type | staticmethod | classmethod | Task)
        if odd or not callable(fn) or not hasattr(fn, "__qualname__"):
            raise InvalidOption(f"@task takes a function, not {fn!r:.80}")
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise InvalidOption(f"@task takes a function, and {fn.__qualname__} is a generator")
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.given = dict(given)
        self.app = app
        self.name: str = overlay(_PLAIN, given, "task").name or task_name(fn)
        self.lane: Lane = "loop" if inspect.iscoroutinefunction(fn) else "thread"
        self.signature = inspect.signature(fn)
        self.check = _checker(fn, self.signature)
        """Raises TypeError, as a call would, if arguments do not fit; runs nothing."""
        self._options: WeakKeyDictionary[Any, Options] | None = None

    @functools.cached_property
    def hints(self) -> Hints:
        """The types of the parameters and of the result."""
        return Hints.of(self.fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        return self.fn(*args, **kwargs)

    def using(self, **options: Unpack[CallOptions]) -> Call[P, R]:
        """This task with options for a call: ``task.using(priority=10).delay(7)``.

        :raises InvalidOption: an option is unknown, wrong, or not one of a call.
        """
        return Call(self, options)

    def _resolve(self) -> tuple[Producer, Task[..., Any, Any], Options]:
        app: Producer = self.app if self.app is not None else current_app()
        return app, self, app.options_of(self)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


def task_name(fn: Callable[..., Any]) -> str:
    """Module and qualified name, also for a function of the file that is being run."""
    module = fn.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        file = getattr(main, "__file__", None)
        if spec is not None:
            module = spec.name.removesuffix(".__main__")
        elif file:
            module = Path(file).stem
    return f"{module}.{fn.__qualname__}"


def _checker(fn: Callable[..., Any], signature: inspect.Signature) -> Callable[..., None]:
    """A function of the same parameters that does nothing.

    Calling it is the interpreter's own, fast way to check arguments; ``Signature.bind``
    takes some ten times as long.
    """
    parts: list[str] = []
    last = None
    for parameter in signature.parameters.values():
        kind = parameter.kind
        if last is inspect.Parameter.POSITIONAL_ONLY and kind is not last:
            parts.append("/")
        if kind is inspect.Parameter.KEYWORD_ONLY and last not in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.KEYWORD_ONLY,
        ):
            parts.append("*")
        star = "**" if kind is inspect.Parameter.VAR_KEYWORD else ""
        star = "*" if kind is inspect.Parameter.VAR_POSITIONAL else star
        default = "" if parameter.default is inspect.Parameter.empty else "=None"
        parts.append(f"{star}{parameter.name}{default}")
        last = kind
    if last is inspect.Parameter.POSITIONAL_ONLY:
        parts.append("/")
    made: dict[str, Any] = {}
    # The text holds nothing but the function's own parameter names, which are identifiers.
    exec(f"def check({', '.join(parts)}): pass", {}, made)  # noqa: S102
    check: Callable[..., None] = made["check"]
    check.__name__ = fn.__name__
    check.__qualname__ = fn.__qualname__
    return check


class TaskDecorator(Protocol):
    """What ``@task(…)`` gives: it makes a task of a function."""

    @overload
    def __call__(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Task[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R, R]: ...
