"""Batches of training that a process of its own makes while a GPU is kept busy by this one.

In a thread nothing would be won: both need the interpreter's lock, this one for every kernel that
it launches. And batches draw from the random numbers of their process, which a thread would share
with training, at times that nothing determines.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import torch
from onmt.utils.logging import init_logger

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint import host_random_state, set_random_state

AHEAD = 32  # batches: a bucket takes as long to make as some of them take to train on


def prefetch(stream: Iterable[Any], log_file: str = "") -> Iterator[Any]:
    """Yield the batches of ``stream``, which another process makes until the generator is closed.

    Its random numbers begin as those of this process are when it starts.
    """
    context = torch.multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    # By value, as tensors would otherwise be sent by another process that shares memory.
    content = pickle.dumps((stream, host_random_state()))
    process = context.Process(target=_make, args=(content, writer, log_file), daemon=True)
    process.start()
    writer.close()  # so that the end of the other process ends the pipe
    try:
        while True:
            made = reader.recv()
            if isinstance(made, UserError):
                raise made
            yield made
    except (EOFError, ConnectionError) as error:
        process.join()
        raise UserError(
            f"the process that makes batches has ended with status {process.exitcode}; was it "
            f"killed, or is the memory full?"
        ) from error
    finally:
        process.kill()
        process.join()
        reader.close()


def _make(content: bytes, writer: Connection, log_file: str) -> None:
    """Make batches and send them, a few ahead, as long as the other end of the pipe is open."""
    leave_signals_to_others()
    init_logger(log_file)
    torch.set_num_threads(1)
    stream, random_state = pickle.loads(content)
    set_random_state(random_state)
    made: queue.Queue[Any] = queue.Queue(AHEAD)
    sender = threading.Thread(target=_send, args=(made, writer), daemon=True)
    sender.start()
    try:
        for batch in stream:
            batch.dataset, batch.fields = None, list(batch.fields)  # which cannot be sent
            made.put(batch)
    except UserError as error:
        made.put(error)
    made.put(None)
    sender.join()


def _send(made: queue.Queue[Any], writer: Connection) -> None:
    """Send what is ``made`` up to a None; end this process if nobody takes it any more."""
    try:
        for item in iter(made.get, None):
            writer.send(item)
    except ConnectionError:
        os._exit(0)


def leave_signals_to_others() -> None:
    """Let this process go on until the one that has started it ends it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
