"""What was enqueued, to look at and to make assertions about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, overload

from taskq.codec import Call
from taskq.errors import CodecError
from taskq.job import Moment, NewJob
from taskq.options import moment

if TYPE_CHECKING:
    from taskq.app import TaskQ
    from taskq.registry import AnyTask
    from taskq.tasks import When
    from taskq.testing.clock import TravelClock

SLACK = 1.0
"""Seconds by which a due time may differ from the one that is asserted."""
MOST_SHOWN = 20
LONGEST_VALUE = 60
LAST_SECOND = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()


@dataclass(frozen=True, slots=True)
class EnqueuedJob:
    """One job that was enqueued, with its arguments as a worker would read them."""

    id: str
    task: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    arguments: Mapping[str, Any] | None
    """The arguments by the task's parameters; None if the app does not know the task."""
    queue: str
    priority: int
    enqueued_at: datetime
    due_at: datetime
    tags: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    unreadable: str = ""
    """Why the arguments could not be read back, if so."""

    @classmethod
    def of(cls, app: TaskQ, new: NewJob, id: str, now: float) -> EnqueuedJob:
        """What was just stored under ``id``, at ``now``."""
        task = app.tasks.find(new.task)
        hints = None if task is None else task.hints
        unreadable = ""
        try:
            call = app.codec.decode_call(new.payload, hints, context=new.task)
        except CodecError as error:
            call, unreadable = Call(), str(error)
        due = now if new.due is None else max(new.due.at(now), now)
        return cls(
            id=id,
            task=new.task,
            args=call.args,
            kwargs=call.kwargs,
            arguments=None if task is None or unreadable else _bound(task, call.args, call.kwargs),
            queue=new.queue,
            priority=new.priority,
            enqueued_at=datetime.fromtimestamp(now, UTC),
            due_at=datetime.fromtimestamp(min(due, LAST_SECOND), UTC),
            tags=call.tags,
            headers=call.headers,
            unreadable=unreadable,
        )

    @property
    def wait(self) -> float:
        """Seconds from the enqueue to the due time; 0: it was due at once."""
        return (self.due_at - self.enqueued_at).total_seconds()

    def __str__(self) -> str:
        call = "…" if self.unreadable else _call_text(self.args, self.kwargs)
        queue = "" if self.queue == "default" else f" on {self.queue}"
        wait = f" in {self.wait:.6g} s" if self.wait > 0 else ""
        return f"{self.task}({call}){queue}{wait}"


class Jobs(Sequence[EnqueuedJob]):
    """The jobs that were enqueued inside of a block, oldest first: a sequence with assertions.

    A call that stored nothing, because the unique job or the id was there already, is not among
    them; a job that was replaced is there as what it became. They can be looked at after the
    block, too.

    ``clock`` is the block's clock: ``jobs.clock.travel(60)``.
    """

    def __init__(self, app: TaskQ, clock: TravelClock) -> None:
        self.clock = clock
        self._app = app
        self._jobs: dict[str, EnqueuedJob] = {}

    def add(self, job: EnqueuedJob) -> None:
        """Note a job down; one of the same id is replaced."""
        self._jobs.pop(job.id, None)
        self._jobs[job.id] = job

    def clear(self) -> None:
        """Forget what was enqueued so far; the jobs themselves stay."""
        self._jobs.clear()

    def __len__(self) -> int:
        return len(self._jobs)

    @overload
    def __getitem__(self, index: int) -> EnqueuedJob: ...
    @overload
    def __getitem__(self, index: slice) -> list[EnqueuedJob]: ...
    def __getitem__(self, index: int | slice) -> EnqueuedJob | list[EnqueuedJob]:
        return list(self._jobs.values())[index]

    def __repr__(self) -> str:
        return f"<{_count(len(self))}: {', '.join(map(str, self))}>" if self else "<no jobs>"

    def find(
        self,
        task: AnyTask | str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        at: When | None = None,
    ) -> list[EnqueuedJob]:
        """The jobs that fit. The parameters are those of `assert_enqueued`."""
        wanted = _Wanted(self._app, task, args, kwargs, queue, at)
        return [job for job in self if wanted.fits(job)]

    def assert_enqueued(
        self,
        task: AnyTask | str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        at: When | None = None,
        times: int | None = None,
    ) -> EnqueuedJob:
        """Some job of the task was enqueued; with what else is given, one that fits all of it.

        :param task: a task, or its name.
        :param args, kwargs: the whole call. It does not matter what was passed by position and
            what by name, nor whether a default was written out. Values are compared as they
            arrive after the codec; ``unittest.mock.ANY`` fits any one.
        :param at: when it is due: an aware datetime, or seconds or a timedelta from its
            enqueue (0: at once); a second more or less does not matter.
        :param times: exactly so many jobs fit. None: at least one.
        :returns: the first job that fits.
        :raises AssertionError: its text shows what was enqueued instead.
        :raises TypeError: the task cannot be called with these arguments.
        """
        __tracebackhide__ = True
        if times is not None and times < 1:
            raise ValueError("times takes 1 or more; for none there is assert_not_enqueued")
        wanted = _Wanted(self._app, task, args, kwargs, queue, at)
        found = [job for job in self if wanted.fits(job)]
        if not found or (times is not None and len(found) != times):
            if not found:
                head = f"{wanted} was not enqueued"
            else:
                head = f"{wanted} was enqueued {_times(len(found))}, not {_times(times or 0)}"
            raise AssertionError(self._told(head, wanted))
        return found[0]

    def assert_not_enqueued(
        self,
        task: AnyTask | str,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        at: When | None = None,
    ) -> None:
        """No job that fits was enqueued. The parameters are those of `assert_enqueued`."""
        __tracebackhide__ = True
        wanted = _Wanted(self._app, task, args, kwargs, queue, at)
        if any(wanted.fits(job) for job in self):
            raise AssertionError(self._told(f"{wanted} was enqueued", wanted))

    def assert_nothing_enqueued(self) -> None:
        """No job at all was enqueued."""
        __tracebackhide__ = True
        if self:
            raise AssertionError(self._told("something was enqueued", None))

    def _told(self, head: str, wanted: _Wanted | None) -> str:
        """``head``, and what was enqueued: jobs of the wanted task first, with why they differ."""
        if not self:
            return f"{head}: nothing was"
        jobs = sorted(self, key=lambda job: wanted is not None and job.task != wanted.name)
        lines = [f"{head}. {_count(len(jobs)).capitalize()} in all:"]
        for job in jobs[:MOST_SHOWN]:
            why = "" if wanted is None or job.task != wanted.name else wanted.differences(job)
            lines.append(f"  {job}" + (f"   # {why}" if why else ""))
        if len(jobs) > MOST_SHOWN:
            lines.append(f"  … and {len(jobs) - MOST_SHOWN} more")
        return "\n".join(lines)


class _Wanted:
    """What an assertion asks for."""

    def __init__(
        self,
        app: TaskQ,
        task: AnyTask | str,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        queue: str | None,
        at: When | None,
    ) -> None:
        known = app.tasks.find(task) if isinstance(task, str) else task
        self.name = task if isinstance(task, str) else task.name
        self._queue = queue
        self._at: Moment | None = None if at is None else moment("at", at)
        self._call: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._task = known
        if args is not None or kwargs is not None:
            if isinstance(args, str | bytes):
                raise TypeError(f"args takes a tuple of arguments, such as ({args!r},)")
            self._call = tuple(args or ()), dict(kwargs or {})
            if known is not None:
                known.check(*self._call[0], **self._call[1])

    def fits(self, job: EnqueuedJob) -> bool:
        return job.task == self.name and not self.differences(job)

    def differences(self, job: EnqueuedJob) -> str:
        """In what a job of the same task differs; empty: in nothing."""
        found = []
        if self._call is not None:
            found += self._arguments_differ(job)
        if self._queue is not None and job.queue != self._queue:
            found.append(f"on {job.queue}, not {self._queue}")
        if self._at is not None:
            base = 0.0 if self._at.absolute else job.enqueued_at.timestamp()
            late = job.due_at.timestamp() - max(
                self._at.seconds + base, job.enqueued_at.timestamp()
            )
            if abs(late) > SLACK:
                found.append(f"due {abs(late):.6g} s too {'late' if late > 0 else 'early'}")
        return ", ".join(found)

    def _arguments_differ(self, job: EnqueuedJob) -> list[str]:
        assert self._call is not None
        if job.unreadable:
            return [f"its arguments cannot be read: {job.unreadable}"]
        args, kwargs = self._call
        if self._task is None:
            return [] if (job.args, job.kwargs) == (args, kwargs) else ["other arguments"]
        wanted = _bound(self._task, args, kwargs)
        there = _bound(self._task, job.args, job.kwargs)
        return [
            f"{name} is {_short(there[name])}, not {_short(wanted[name])}"
            for name in wanted
            if wanted[name] != there[name]
        ]

    def __str__(self) -> str:
        text = self.name
        if self._call is not None:
            text += f"({_call_text(*self._call)})"
        if self._queue is not None:
            text += f" on {self._queue}"
        if self._at is not None:
            when = self._at.seconds
            if self._at.absolute:
                text += f" at {datetime.fromtimestamp(min(when, LAST_SECOND), UTC).isoformat()}"
            else:
                text += f" in {when:.6g} s" if when > 0 else " due at once"
        return text


def _bound(task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments by parameter, defaults included."""
    bound = task.signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _call_text(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    return ", ".join([*map(_short, args), *(f"{name}={_short(v)}" for name, v in kwargs.items())])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _count(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _times(number: int) -> str:
    return "once" if number == 1 else "twice" if number == 2 else f"{number} times"
