"""Signals that stop a training between two steps, with a checkpoint.

A training that is reading the data of a step stops at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from onmt.utils.logging import logger
from typing_extensions import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopNow(BaseException):  # like KeyboardInterrupt, which no handler of Exception catches
    """A signal arrived while data were read."""


class StopRequest:
    """A context in which SIGTERM and SIGINT are recorded; a second one ends the process at once.

    Python has no signals in other threads than the main one.

    Attributes:
        number: of the signal, or None.
    """

    number: int | None = None
    _reading = False

    @contextmanager
    def while_reading(self) -> Iterator[None]:
        """Let a signal, also one that was recorded before, raise :class:`StopNow` in the body."""
        self._reading = True
        try:
            if self.number is not None:
                raise StopNow
            yield
        finally:
            self._reading = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._handlers: dict[int, Any] = {}
        for number in SIGNALS if main else ():
            self._handlers[number] = signal.signal(number, self._record)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            self._end(number)
            return
        self.number = number
        logger.info("%s: stopping after this step", signal.Signals(number).name)
        if self._reading:
            raise StopNow

    def _end(self, number: int) -> None:
        os._exit(128 + number)


class PatientRequest(StopRequest):
    """The request in one of several processes, which stop together; their parent can end them."""

    @contextmanager
    def while_reading(self) -> Iterator[None]:
        """Raise nothing, as the others would wait for this process."""
        yield

    def _end(self, number: int) -> None:
        pass


class ForwardedRequest(StopRequest):
    """The request in the parent of several processes, which passes signals on to them."""

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        _signal_children(signal.SIGKILL)
        for child in multiprocessing.active_children():
            child.join()

    def _record(self, number: int, frame: FrameType | None) -> None:
        super()._record(number, frame)
        _signal_children(signal.SIGTERM)

    def _end(self, number: int) -> None:
        _signal_children(signal.SIGKILL)
        super()._end(number)


def _signal_children(number: signal.Signals) -> None:
    for child in multiprocessing.active_children():
        with suppress(ProcessLookupError):
            os.kill(child.pid or 0, number)
