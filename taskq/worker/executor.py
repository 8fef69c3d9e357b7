"""From a claim to its outcome: decode, judge, run, decide. No I/O to the store.

The same three steps serve both lanes: `prepare`, then the lane calls the function, then
`conclude`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from taskq.codec import Call
from taskq.context import JobContext, running_job
from taskq.errors import (
    Cancel,
    CancelRequested,
    CodecError,
    Control,
    DeadlineExceeded,
    DecodeError,
    EncodeError,
    LeaseLost,
    Retry,
    Snooze,
    TaskNotFound,
    TimedOut,
    WorkerStopping,
)
from taskq.failure import failure_of
from taskq.job import Claim, Note, Outcome, State
from taskq.log import job_fields
from taskq.middleware import Middleware
from taskq.options import Options, arrived
from taskq.retry import decide
from taskq.worker.run import Run

if TYPE_CHECKING:
    from taskq.app import TaskQ

logger = logging.getLogger("taskq.worker")

_PLAIN = Options()


class Notes:
    """A running job's words: the worker's side of ``JobContext``."""

    __slots__ = ("_executor", "_run")

    def __init__(self, executor: Executor, run: Run) -> None:
        self._executor = executor
        self._run = run

    def progress(self, value: dict[str, Any]) -> None:
        data = self._executor.app.codec.encode(value, where="progress")
        run = self._run
        with run.lock:
            note = run.note = run.note or Note()
            note.progress = data
        self._executor.on_note(run)

    def log(self, line: str) -> None:
        run = self._run
        with run.lock:
            note = run.note = run.note or Note()
            note.log = [*note.log, str(line).encode("utf-8", "replace")]
        self._executor.on_note(run)

    def checkpoint(self, value: object) -> None:
        data = self._executor.app.codec.encode(value, where="checkpoint")
        self._write(Note(checkpoint=data))
        self._run.claim.checkpoint = data

    def load_checkpoint(self) -> Any:
        data = self._run.claim.checkpoint
        return None if data is None else self._executor.app.codec.decode(data)

    def update(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._write(Note(payload=self._executor.payload(self._run, args, kwargs)))

    def cancelled(self) -> bool:
        return self._run.cancel_requested

    def _write(self, note: Note) -> None:
        run = self._run
        if not self._executor.app.store.note(run.lease, run.claim, note):
            raise LeaseLost(f"job {run.claim.id} is no longer held by this worker")


class Executor:
    """Turns claims into outcomes for one app.

    :param on_note: told of a run that said something which is to be written soon.
    """

    def __init__(self, app: TaskQ, on_note: Callable[[Run], None]) -> None:
        self.app = app
        self.on_note = on_note

    def prepare(self, run: Run) -> Outcome | None:
        """Make a run ready to be called; or, if it is not to be called, what became of it."""
        claim = run.claim
        now = run.now()
        if claim.expires_at is not None and now >= claim.expires_at:
            return Outcome(claim, State.EXPIRED, attempts=claim.attempts, started=False)
        try:
            task = self.app.tasks.find(claim.task)
            if task is None:
                raise TaskNotFound(f"no task {claim.task!r} is registered in this worker")
            run.task = task
            if claim.deadline is not None and now >= claim.deadline:
                raise DeadlineExceeded("the deadline passed before the attempt could start")
            call = self.app.codec.decode_call(claim.payload, task.hints, context=claim.task)
            options = arrived(self.app.options_of(task), call.options)
            try:
                task.check(*call.args, **call.kwargs)
            except TypeError as error:
                raise DecodeError(f"the arguments do not fit the task: {error}") from None
        except (TaskNotFound, DeadlineExceeded, CodecError, ValueError, TypeError) as error:
            wrong = error
            if not isinstance(error, TaskNotFound | DeadlineExceeded | DecodeError):
                wrong = DecodeError(f"the stored call cannot be used: {error}")
            return self.conclude(run, error=wrong, started=False, ours=True)
        run.options, run.args, run.kwargs = options, call.args, call.kwargs
        run.context = JobContext(
            app=self.app,
            id=claim.id,
            task=task.name,
            queue=claim.queue,
            attempt=claim.attempts + 1,
            priority=claim.priority,
            args=call.args,
            kwargs=call.kwargs,
            headers=call.headers,
            tags=call.tags,
            enqueued_at=claim.enqueued_at,
            deadline=claim.deadline,
            options=options,
            notebook=Notes(self, run),
        )
        run.started = time.monotonic()
        if options.timeout is not None:
            run.cut_at = run.started + options.timeout
        if claim.deadline is not None:
            left = run.started + (claim.deadline - now)
            run.cut_at = left if run.cut_at is None else min(run.cut_at, left)
        return None

    def why_cut(self, run: Run) -> TimedOut | DeadlineExceeded:
        """What to interrupt a run with whose time is up."""
        timeout = run.options.timeout if run.options is not None else None
        if timeout is not None and time.monotonic() - run.started >= timeout:
            return TimedOut(f"the attempt took longer than its timeout of {timeout:g} s")
        return DeadlineExceeded("the deadline passed while the attempt ran")

    def around(self, run: Run) -> AbstractContextManager[Any]:
        """Enters the run's surroundings: `current_job` and log fields now, middleware by the
        context manager it gives. In a context of the run's own, which nobody has to tidy."""
        context = run.context
        assert context is not None
        claim = run.claim
        running_job.set(context)
        job_fields.set(
            {
                "job_id": claim.id,
                "task": context.task,
                "queue": claim.queue,
                "attempt": context.attempt,
            }
        )
        layers = self.app.layers
        return _Onion(layers, context) if layers else nullcontext()

    def conclude(
        self,
        run: Run,
        value: Any = None,
        error: BaseException | None = None,
        *,
        started: bool = True,
        ours: bool = False,
    ) -> Outcome:
        """What becomes of a claim whose call returned ``value`` or raised ``error``.

        :param ours: the error did not come out of the task's function.
        """
        claim, task = run.claim, run.task
        if run.cut is not None and error is not None and not isinstance(error, Control):
            # However the interrupt came out of the task (a library may have wrapped it).
            error, ours = run.cut, True
        result: bytes | None = None
        payload: bytes | None = None
        priority: int | None = None
        try:
            if error is None:
                hint = Any if task is None else task.hints.result
                try:
                    result = self.app.codec.encode(
                        value, hint, where="the result", context=claim.task
                    )
                except EncodeError as wrong:
                    error, ours = wrong, True
            elif isinstance(error, Retry | Snooze):
                priority = error.priority
                if error.args_ is not None or error.kwargs_ is not None:
                    payload = self.payload(run, error.args_ or (), error.kwargs_ or {})
        except Exception as wrong:  # noqa: BLE001  # what a task gave back is the job's failure
            error, priority = wrong, None
        options = run.options
        if options is None:
            options = _PLAIN if task is None else self.app.options_of(task)
        if error is not None and not ours:
            _cut_own_frames(error)
        now = run.now()
        decision = decide(
            options, claim, error, now, ours=ours, unknown_after=self.app.config.unknown_after
        )
        record: bytes | None = None
        if error is not None and self._recorded(error, decision.state, claim):
            # A number rises only for a run that counts.
            attempt = max(decision.attempts, 1)
            record = failure_of(error, attempt, now, decision.reason).to_bytes()
        self._log(run, decision.state, decision.delay, decision.reason, error)
        return Outcome(
            claim,
            decision.state,
            delay=decision.delay,
            attempts=decision.attempts,
            deaths=decision.deaths,
            started=started,
            result=result,
            error=record,
            priority=priority,
            payload=payload,
        )

    def give_up(self, run: Run) -> Outcome:
        """The outcome of a run that could not be concluded, because what it raised forbids it."""
        logger.exception("the run could not be concluded", extra=_extra(run))
        return self.conclude(run, error=RuntimeError("the run could not be concluded"))

    def payload(self, run: Run, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """A job's arguments changed by its task; headers, tags and options stay."""
        task, context, options = run.task, run.context, run.options
        assert task is not None
        assert context is not None
        assert options is not None
        task.check(*args, **kwargs)
        call = Call(
            tuple(args), dict(kwargs), dict(context.headers), context.tags, self._travels(run)
        )
        return self.app.codec.encode_call(call, task.hints, context=run.claim.task)

    def _travels(self, run: Run) -> dict[str, Any]:
        task = run.task
        assert task is not None
        claim = run.claim
        return dict(
            self.app.codec.decode_call(claim.payload, task.hints, context=claim.task).options
        )

    @staticmethod
    def _recorded(error: BaseException, state: State, claim: Claim) -> bool:
        if isinstance(error, TaskNotFound):
            return state is State.FAILED or claim.claims <= 1
        if isinstance(error, CancelRequested):
            return False
        return state in (State.FAILED, State.RETRYING) or isinstance(error, Cancel)

    @staticmethod
    def _log(
        run: Run, state: State, delay: float, reason: str, error: BaseException | None
    ) -> None:
        if error is None:
            if logger.isEnabledFor(logging.DEBUG):
                seconds = time.monotonic() - run.started
                logger.debug("succeeded in %.3f s", seconds, extra=_extra(run))
            return
        extra = _extra(run)
        if state is State.FAILED:
            told = None if isinstance(error, Control) else error
            logger.error(
                "failed for good (%s): %s", reason, _short(error), exc_info=told, extra=extra
            )
        elif isinstance(error, Snooze):
            logger.info("snoozed for %.3g s", delay, extra=extra)
        elif state is State.RETRYING:
            logger.warning("will be tried again in %.3g s: %s", delay, _short(error), extra=extra)
        elif isinstance(error, WorkerStopping):
            logger.warning("given back, the worker stops", extra=extra)
        else:
            logger.info("%s: %s", state, failure_of(error, 0, 0.0).message, extra=extra)


class _Onion:
    """The middleware around one run."""

    # Not a generator: contextlib sets the traceback of an exception that passes one, and an
    # exception that forbids that (a frozen dataclass) would come out as another.

    def __init__(self, layers: Sequence[Middleware], context: JobContext) -> None:
        self._layers = layers
        self._context = context
        self._stack = ExitStack()

    def __enter__(self) -> None:
        try:
            for layer in self._layers:
                self._stack.enter_context(layer(self._context))
        except BaseException:
            if not self._stack.__exit__(*sys.exc_info()):
                raise

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)


def _cut_own_frames(error: BaseException) -> None:
    """A task's traceback begins in the task, not in the worker that called it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(
        "taskq.worker."
    ):
        trace = trace.tb_next
    if trace is not None:
        BaseException.with_traceback(error, trace)


def _extra(run: Run) -> dict[str, object]:
    claim = run.claim
    return {
        "job_id": claim.id,
        "task": claim.task,
        "queue": claim.queue,
        "attempt": claim.attempts + 1,
    }


def _short(error: BaseException) -> str:
    failure = failure_of(error, 0, 0.0)
    return f"{failure.type}: {failure.message:.300}"
