"""Raising an exception into a thread that runs a task, and into nothing but the task."""

from __future__ import annotations

import ctypes
import threading
import time

from taskq.errors import Interrupt

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)
_set_async_exc.restype = ctypes.c_int
_clear_async_exc = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)


class Guard:
    """Around one call in the current thread: `interrupt` works from arming until `disarm`.

    The interpreter raises the exception at the thread's next bytecode, so never inside of a
    blocking C call. No locks: an exception that lands between taking and leaving a lock
    would leave it taken for ever; plain attributes and the interpreter's own lock do.
    """

    __slots__ = ("_armed", "_ident", "_sending")

    def __init__(self) -> None:
        self._ident = threading.get_ident()
        self._armed = True
        self._sending = False

    def interrupt(self, error: Interrupt) -> None:
        """Raise an exception of this class in the guarded thread; from another thread."""
        self._sending = True
        if self._armed:
            _set_async_exc(self._ident, type(error))
        self._sending = False

    def disarm(self) -> None:
        """No interrupt lands after this returned; one that is on its way is taken back."""
        while True:
            try:
                self._armed = False
                while self._sending:
                    time.sleep(0)
                _clear_async_exc(self._ident, None)
            except Interrupt:
                continue  # it landed here, where the call is over: its result stands
            return
