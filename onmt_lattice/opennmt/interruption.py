"""Signals that ask a training to stop: it does so between two steps, with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from onmt.utils.logging import logger
from typing_extensions import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """While it is entered, SIGTERM and SIGINT are noted; the second one ends the process at once.

    In another thread than the main one, where Python has no signals, nothing is ever asked for.

    Attributes:
        number: of the signal that asked to stop, or None.
    """

    number: int | None = None

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
            os._exit(128 + number)
        self.number = number
        logger.info("%s: stopping after this step", signal.Signals(number).name)
