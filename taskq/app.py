"""The app: a store, the tasks, and how a call becomes a job."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import sys
import time
import traceback
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar, Unpack, cast, overload

from taskq.codec import Call, Codec
from taskq.config import Config
from taskq.context import add_app, remove_app
from taskq.errors import (
    ConfigError,
    DecodeError,
    Duplicate,
    EncodeError,
    InvalidOption,
)
from taskq.handle import JobHandle
from taskq.inspector import Inspector
from taskq.job import Enqueued, Job, Moment, NewJob, new_id
from taskq.middleware import Middleware
from taskq.options import OPTIONS, DefaultOptions, Options, TaskOptions, overlay
from taskq.registry import AnyTask, Registry, shared
from taskq.store import AsyncStore, Store
from taskq.stores import open_store
from taskq.tasks import CallArgs, Task, TaskDecorator
from taskq.unique import check_by, lock_of

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("taskq")


class TaskQ:
    """Declares tasks, enqueues their calls and looks at their jobs.

    :param url: where the jobs live: ``memory://``, ``sqlite:///path``, ``redis://…``,
        ``rediss://…``, ``unix://…``, ``valkey://…``. None: ``$TASKQ_URL``, else
        ``sqlite:///taskq.db`` in the working folder.
    :param store: a store of one's own instead of a URL.
    :param types: further classes that arguments and results may hold without being named by
        annotations.
    :param settings: see `Config`; each may also come from ``TASKQ_…`` in the environment.
    :raises ConfigError: a setting is unknown or wrong. The store is reached at first use only.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        store: Store | None = None,
        types: Iterable[type] = (),
        defaults: DefaultOptions | None = None,
        **settings: Any,
    ) -> None:
        self.config = Config.load({"url": url, "defaults": defaults, **settings})
        self.codec = Codec(
            max_size=self.config.max_size,
            sign_with=self.config.sign_key,
            pickle=self.config.pickle,
            types=types,
        )
        self.tasks = Registry(shared)
        self.inspector = Inspector(self)
        self.layers: list[Middleware] = []
        """The middleware, outermost first."""
        self._defaults = overlay(Options(), self.config.defaults or {}, "app")
        self._options: weakref.WeakKeyDictionary[AnyTask, Options] = weakref.WeakKeyDictionary()
        self.store_settings: dict[str, Any] | None = None if store is not None else self._settings()
        """What another process needs to open the same store; None for a store of one's own."""
        self.store: Store = self._open() if store is None else store
        """The store. Making it does not reach out; its methods do, and raise StoreUnavailable."""
        add_app(self)

    # -- declaring ----------------------------------------------------------------------
    @overload
    def task(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Task[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R, R]: ...
    @overload
    def task(self, /, **options: Unpack[TaskOptions]) -> TaskDecorator: ...
    def task(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Makes a task of a function: ``@app.task`` or ``@app.task(queue="mail", …)``.

        :raises InvalidOption: an option is unknown or wrong.
        :raises TaskAlreadyRegistered: another function has that name.
        """
        checked = overlay(self._defaults, options, "task")
        if fn is None:
            return functools.partial(self._declare, options)
        del checked
        return self._declare(options, fn)

    def _declare(self, options: Mapping[str, Any], fn: Callable[..., Any]) -> AnyTask:
        task: AnyTask = Task(fn, options, self)
        check_by(task.name, task.signature, self.options_of(task))
        self.tasks.add(task)
        return task

    def options_of(self, task: AnyTask) -> Options:
        """A task's options in this app: its own over the app's defaults."""
        options = self._options.get(task)
        if options is None:
            options = overlay(self._defaults, task.given, "task")
            self._options[task] = options
        return options

    def middleware(self, layer: Middleware) -> Middleware:
        """Adds a context manager around every run; a decorator, too. See `taskq.middleware`."""
        self.layers.append(layer)
        return layer

    # -- enqueuing ----------------------------------------------------------------------
    def enqueue(self, task: AnyTask | str, /, *args: Any, **kwargs: Any) -> JobHandle[Any]:
        """Enqueue a task in this app: for tasks declared without one, or by name.

        :param task: a task, or the name of one; a name that is not registered here is enqueued
            with the app's default options, for a worker that knows it.
        """
        if isinstance(task, str):
            found = self.tasks.find(task)
            if found is None:
                return self._finish_one(
                    self._defaults,
                    self.store.enqueue([self._job(task, None, self._defaults, args, kwargs, None)]),
                )
            task = found
        if not isinstance(task, Task):
            raise InvalidOption(
                f"{task!r:.80} is not a task; make it one with @app.task, or give a task's name"
            )
        return self.submit(task, self.options_of(task), args, kwargs, None)

    def submit(
        self,
        task: AnyTask,
        options: Options,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        due: Moment | None,
    ) -> JobHandle[Any]:
        """Check, encode and store one call; what ``delay`` and its kin do."""
        task.check(*args, **kwargs)
        job = self._job(task.name, task, options, args, kwargs, due)
        return self._finish_one(options, self.store.enqueue((job,)))

    async def asubmit(
        self,
        task: AnyTask,
        options: Options,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        due: Moment | None,
    ) -> JobHandle[Any]:
        """`submit` for asyncio."""
        task.check(*args, **kwargs)
        job = self._job(task.name, task, options, args, kwargs, due)
        return self._finish_one(options, await self.async_store().enqueue((job,)))

    def submit_many(
        self, task: AnyTask, options: Options, calls: Iterable[CallArgs]
    ) -> list[JobHandle[Any]]:
        """Check and encode all calls, then store them in a few round trips."""
        jobs = self._jobs(task, options, calls)
        return self._finish_many(options, self.store.enqueue(jobs) if jobs else [])

    async def asubmit_many(
        self, task: AnyTask, options: Options, calls: Iterable[CallArgs]
    ) -> list[JobHandle[Any]]:
        """`submit_many` for asyncio."""
        jobs = self._jobs(task, options, calls)
        return self._finish_many(options, await self.async_store().enqueue(jobs) if jobs else [])

    def _jobs(self, task: AnyTask, options: Options, calls: Iterable[CallArgs]) -> list[NewJob]:
        if options.job_id is not None:
            raise InvalidOption("job_id names one job; a batch cannot have it")
        jobs = []
        for number, call in enumerate(calls):
            if isinstance(call, Mapping):
                args, kwargs = (), dict(call)
            elif isinstance(call, str | bytes) or not isinstance(call, Sequence):
                raise InvalidOption(
                    f"delay_many takes a tuple of arguments, or a mapping, for each call; "
                    f"call {number} is {call!r:.80}"
                )
            else:
                args, kwargs = tuple(call), {}
            try:
                task.check(*args, **kwargs)
                jobs.append(self._job(task.name, task, options, args, kwargs, None))
            except EncodeError as error:
                raise EncodeError(f"call {number}: {error}", f"[{number}].{error.path}") from None
            except TypeError as error:
                raise TypeError(f"call {number}: {error}") from None
        return jobs

    def _job(
        self,
        name: str,
        task: AnyTask | None,
        options: Options,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        due: Moment | None,
    ) -> NewJob:
        call = Call(args, dict(kwargs), dict(options.headers), options.tags, dict(options.travels))
        payload = self.codec.encode_call(call, None if task is None else task.hints, context=name)
        config = self.config
        keep = options.keep
        return NewJob(
            id=options.job_id or new_id(),
            task=name,
            payload=payload,
            queue=options.queue,
            lane="thread" if task is None else task.lane,
            priority=options.priority,
            due=None if due is None or (due.seconds <= 0 and not due.absolute) else due,
            expires=options.expires,
            deadline=options.deadline,
            keep=config.keep_succeeded if keep is None else keep,
            keep_failed=config.keep_failed if keep is None else keep,
            lock=None
            if task is None or options.unique is None
            else lock_of(name, task.signature, task.hints, options, self.codec, args, kwargs),
        )

    def _finish_one(self, options: Options, answers: Sequence[Enqueued]) -> JobHandle[Any]:
        return self._finish_many(options, answers)[0]

    def _finish_many(self, options: Options, answers: Sequence[Enqueued]) -> list[JobHandle[Any]]:
        keep = options.keep != 0
        handles: list[JobHandle[Any]] = []
        for id, status in answers:
            if status == "busy":
                raise Duplicate(
                    f"job {id} has the same unique key and is running, so it cannot be replaced",
                    id,
                )
            if status == "duplicate" and options.on_duplicate == "raise":
                raise Duplicate(f"job {id} has the same unique key and has not ended", id)
            handles.append(JobHandle(self, id, status in ("created", "replaced"), keep=keep))
        return handles

    # -- looking -----------------------------------------------------------------------
    def job(self, id: str) -> JobHandle[Any]:
        """The handle of any job, by its id; whether there is one shows at the first question.

        :raises InvalidOption: that can be no id.
        """
        OPTIONS["job_id"].check("an id", id)
        return JobHandle(self, id)

    def read_result(self, job: Job) -> Any:
        """A succeeded job's result."""
        if job.result is None:
            return None
        task = self.tasks.find(job.task)
        return self.codec.decode(
            job.result,
            Any if task is None else task.hints.result,
            where="result",
            context=job.task,
        )

    def read_call(self, job: Job) -> Call:
        """A job's arguments, tags and headers. :raises DecodeError: they cannot be read."""
        task = self.tasks.find(job.task)
        if task is not None:
            return self.codec.decode_call(job.payload, task.hints, context=job.task)
        try:
            return self.codec.decode_call(job.payload, None, context=job.task)
        except DecodeError:
            # The task is not known here, so its classes are not either: what was sent, as it is.
            raw = self.codec.raw_call(job.payload, context=job.task)
            return Call(tuple(raw.get("a", ())), raw.get("k", {}))

    def read_value(self, data: bytes) -> Any:
        return self.codec.decode(data)

    # -- store -----------------------------------------------------------------------
    def _settings(self) -> dict[str, Any]:
        config = self.config
        given: dict[str, Any] = {"max_ended": config.max_ended}
        if not config.url.startswith("memory:"):
            given["budget"] = config.budget
        if config.prefix is not None:
            given["prefix"] = config.prefix
        return {"url": config.url, "given": given}

    def _open(self) -> Store:
        settings = self._settings()
        return open_store(settings["url"], **settings["given"])

    def async_store(self) -> AsyncStore:
        """The store's verbs for asyncio: its own, or the sync ones in a thread."""
        aio: AsyncStore | None = getattr(self.store, "aio", None)
        return _InThread(self.store) if aio is None else aio

    def close(self) -> None:
        """Release the store's connections. The app may be used again afterwards."""
        self.store.close()

    async def aclose(self) -> None:
        """Release the connections that the running event loop has to the store."""
        aio: AsyncStore | None = getattr(self.store, "aio", None)
        if aio is not None:
            await aio.close()

    def forget(self) -> None:
        """Close, and no longer be the app that tasks declared without one find."""
        remove_app(self)
        self.close()

    # -- worker ---------------------------------------------------------------------
    def worker(self, **settings: Any) -> AbstractContextManager[Any]:
        """A worker inside this process: ``with app.worker(): …``.

        Threads of this process run the jobs; leaving the block stops it gracefully. For
        development, tests and ``memory://``; in production run ``taskq worker``, whose
        processes survive a task that hangs or dies.

        :param settings: ``queues``, ``exclude``, ``concurrency``, ``async_concurrency``,
            ``strict``, ``burst``, ``grace``; see `taskq.worker.worker.Worker`.
        """
        # By name: the worker is a floor above, and knows the app; the app need not know it.
        worker = importlib.import_module("taskq.worker.worker").Worker(self, **settings)
        return cast("AbstractContextManager[Any]", worker)

    def __repr__(self) -> str:
        return f"<TaskQ {self.store.url}>"


class _InThread:
    """The async verbs of a store that has none: the sync ones, in a thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def _run(self, call: Callable[..., R], *args: Any) -> R:
        asyncio = importlib.import_module("asyncio")  # 60 ms and 8 MB: only for those who use it
        done: R = await asyncio.to_thread(call, *args)
        return done

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        return await self._run(self._store.enqueue, jobs)

    async def get(self, ids: Sequence[str]) -> list[Job | None]:
        return await self._run(self._store.get, ids)

    async def wait(self, ids: Sequence[str], timeout: float) -> list[Job | None]:
        # Looks again and again rather than holding a thread for as long as it waits: asyncio
        # has a handful of them, and what is waited for may need one.
        asyncio = importlib.import_module("asyncio")
        until = time.monotonic() + timeout
        pause = 0.005
        while True:
            jobs = await self.get(ids)
            left = until - time.monotonic()
            if left <= 0 or not jobs or any(job is None or job.state.ended for job in jobs):
                return jobs
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, 0.1)

    async def cancel(self, ids: Sequence[str]) -> Any:
        return await self._run(self._store.cancel, ids)

    async def close(self) -> None:
        await self._run(self._store.close)


@overload
def task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R, Coroutine[Any, Any, R]]: ...
@overload
def task(fn: Callable[P, R], /) -> Task[P, R, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> TaskDecorator: ...
def task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Declares a task without an app, for libraries and frameworks: ``@task`` or ``@task(…)``.

    At each call it belongs to the app of the job that is running, else to the framework's
    current app, else to the only app there is.

    :raises InvalidOption: an option is unknown or wrong.
    """
    overlay(Options(), options, "task")
    if fn is None:
        return functools.partial(_declare_shared, options)
    return _declare_shared(options, fn)


def _declare_shared(options: Mapping[str, Any], fn: Callable[..., Any]) -> AnyTask:
    made: AnyTask = Task(fn, options)
    check_by(made.name, made.signature, overlay(Options(), options, "task"))
    shared.add(made)
    return made


def load_app(spec: str) -> TaskQ:
    """The app that ``module:name`` means; ``module`` alone means its only app.

    A name may be dotted, and may be a function without parameters that gives the app. The
    working folder is importable.

    :raises ConfigError: it does not import (with the module's own traceback), or is no app.
    """
    module_name, _, path = spec.partition(":")
    if not module_name:
        raise ConfigError(f"an app is named as module:name, such as shop.tasks:app, not {spec!r}")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module: Any = importlib.import_module(module_name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | ConfigError):
            raise  # an app that could not be made says itself what is wrong
        if isinstance(error, ModuleNotFoundError) and error.name == module_name.split(".")[0]:
            raise ConfigError(
                f"there is no module {module_name!r} in {here} or on the path"
            ) from None
        raise ConfigError(
            f"the module {module_name} does not import:\n\n{_own_traceback(error)}"
        ) from error
    if not path:
        apps = {id(v): v for v in vars(module).values() if isinstance(v, TaskQ)}
        if len(apps) != 1:
            count = "no app" if not apps else f"{len(apps)} apps"
            raise ConfigError(f"{module_name} has {count}; name one, as {module_name}:app")
        return next(iter(apps.values()))
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{module_name} has no {path!r}")
        found = getattr(found, part)
    if not isinstance(found, TaskQ | Task) and callable(found):
        try:
            found = found()
        except Exception as error:
            raise ConfigError(f"{spec} does not give an app:\n\n{_own_traceback(error)}") from error
    if not isinstance(found, TaskQ):
        raise ConfigError(f"{spec} is not a TaskQ app but {type(found).__name__}")
    return found


def _own_traceback(error: BaseException) -> str:
    """The traceback without the frames of the import machinery and of this file."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    lines = traceback.format_list(frames) + traceback.format_exception_only(error)
    return "Traceback (most recent call last):\n" + "".join(lines)
