"""Batches of training made by another process, while this one keeps a GPU busy.

A thread would gain nothing, as it shares the interpreter's lock with the launches of kernels. And
it would share the random numbers of training, in an order that changes from run to run.
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
from onmt_lattice.opennmt.checkpoint.contents import host_random_state, set_random_state

QUEUE_SIZE = 32  # batches: making a bucket takes as long as training on some of them


def prefetch(stream: Iterable[Any], log_file: str = "") -> Iterator[Any]:
    """Yield the batches of ``stream``, which another process makes until the generator is closed.

    That process starts with the random state of this one.
    """
    context = torch.multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    # By value: otherwise a further process would share the memory of the tensors.
    content = pickle.dumps((stream, host_random_state()))
    process = context.Process(target=_make, args=(content, writer, log_file), daemon=True)
    process.start()
    writer.close()  # then the pipe ends with the other process
    try:
        while True:
            item = reader.recv()
            if isinstance(item, UserError):
                raise item
            yield item
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
    """Make batches and send them, some in advance, while the other end of the pipe is open."""
    ignore_signals()
    init_logger(log_file)
    torch.set_num_threads(1)
    stream, random_state = pickle.loads(content)
    set_random_state(random_state)
    items: queue.Queue[Any] = queue.Queue(QUEUE_SIZE)
    sender = threading.Thread(target=_send, args=(items, writer), daemon=True)
    sender.start()
    try:
        for batch in stream:
            batch.dataset, batch.fields = None, list(batch.fields)  # the originals cannot be sent
            items.put(batch)
    except UserError as error:
        items.put(error)
    items.put(None)
    sender.join()


def _send(items: queue.Queue[Any], writer: Connection) -> None:
    """Send ``items`` until one is None; end this process if the other one has closed the pipe."""
    try:
        for item in iter(items.get, None):
            writer.send(item)
    except ConnectionError:
        os._exit(0)


def ignore_signals() -> None:
    """Ignore signals in this process, which the process that has started it ends."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
