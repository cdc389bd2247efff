"""Signals that ask a training to stop: it does so between two steps, with a checkpoint.

While it reads the data of a step it is between two steps, and stops at once.
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


class StopNow(BaseException):  # as KeyboardInterrupt, which nothing on the way takes for its own
    """A signal that has come while data were read."""


class StopRequest:
    """While it is entered, SIGTERM and SIGINT are noted; the second one ends the process at once.

    In another thread than the main one, where Python has no signals, nothing is ever asked for.

    Attributes:
        number: of the signal that asked to stop, or None.
    """

    number: int | None = None
    _reading = False

    @contextmanager
    def while_reading(self) -> Iterator[None]:
        """Let a signal raise :class:`StopNow` in the body, or at its beginning if it has come."""
        self._reading = True
        try:
            if self.number is not None:
                raise StopNow
            yield
        finally:
            self._reading = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._before: dict[int, Any] = {}
        for number in SIGNALS if main else ():
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
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
    """That of one of several processes, which stop together: the one that started them ends it."""

    @contextmanager
    def while_reading(self) -> Iterator[None]:
        """Do nothing, as the others would wait for this process."""
        yield

    def _end(self, number: int) -> None:
        pass


class PassedOn(StopRequest):
    """That of the process that has started the others: they are asked to stop, or all are ended."""

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        _signal_children(signal.SIGKILL)
        for child in multiprocessing.active_children():
            child.join()

    def _note(self, number: int, frame: FrameType | None) -> None:
        super()._note(number, frame)
        _signal_children(signal.SIGTERM)

    def _end(self, number: int) -> None:
        _signal_children(signal.SIGKILL)
        super()._end(number)


def _signal_children(number: signal.Signals) -> None:
    for child in multiprocessing.active_children():
        with suppress(ProcessLookupError):
            os.kill(child.pid or 0, number)
