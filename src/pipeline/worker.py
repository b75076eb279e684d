"""The worker's side of `pipeline.quarantine`: answer items within limits, and send what becomes of them."""

import os
import pickle
import re
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pipeline.errors import Refused

CRASHED = "the decoder crashed on this file"


@dataclass(frozen=True)
class Limits:
    """What one item may cost: seconds, and bytes of memory."""

    timeout: float
    memory: int

    @property
    def too_slow(self) -> str:
        """The reason of an item that took more time."""
        return f"reading it took more than {self.timeout:g} seconds"

    @property
    def too_large(self) -> str:
        """The reason of an item that asked for more memory."""
        return f"it needs more than {self.memory / 2**30:.3g} GiB of memory"


def serve(function: Callable[[Any], Any], connection: Connection, limits: Limits) -> None:
    """Answer items until the parent hangs up. Runs in the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A core dump would write a patient's image to the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _be_silent()
    _limit_memory(limits.memory)
    try:
        send(connection, "ready", None)
        while True:
            for item in connection.recv():
                # Should the parent be killed, nobody else would end a decoder that hangs.
                signal.setitimer(signal.ITIMER_REAL, 2 * limits.timeout)
                answer = _answer(function, item)
                signal.setitimer(signal.ITIMER_REAL, 0)
                _reply(connection, answer)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        send(connection, "defect", _portable(error))


def _be_silent() -> None:
    """Drop what this process prints, native code included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _limit_memory(memory: int) -> None:
    """Let this process allocate so many bytes more; a larger request fails, before the machine is short of memory."""
    if sys.platform != "linux":
        return
    # Not the address space: what threads and libraries reserve there without using it grows with the machine's cores.
    found = re.search(r"^VmData:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    held = int(found[1]) * 1024 if found else 0
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = held + memory if hard == resource.RLIM_INFINITY else min(held + memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _answer(function: Callable[[Any], Any], item: Any) -> tuple[str, Any]:  # noqa: ANN401 - any item, any value
    try:
        return "value", function(item)
    except Refused as refused:
        return "refused", str(refused)
    except MemoryError:
        return "memory", None
    except BaseException as error:
        # What Rust panics with is no Exception, and is defined in no module that could be imported.
        panic = type(error).__name__ == "PanicException"
        return ("refused", CRASHED) if panic else ("defect", _portable(error))


def _reply(connection: Connection, answer: tuple[str, Any]) -> None:
    try:
        send(connection, *answer)
    except MemoryError:
        send(connection, "memory", None)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        send(connection, "defect", _portable(error))


def send(connection: Connection, kind: str, content: Any) -> None:  # noqa: ANN401 - any value
    """Send a message whose arrays are not copied: a long cine has hundreds of megabytes."""
    buffers: list[pickle.PickleBuffer] = []
    message = pickle.dumps((kind, content), protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    connection.send((message, [view.nbytes for view in views]))
    for view in views:
        while view:
            view = view[os.write(connection.fileno(), view) :]


def receive(connection: Connection) -> tuple[int, str, Any]:
    """Return a message's size in bytes, its kind and its content."""
    message, sizes = connection.recv()
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        view = memoryview(buffer)
        while view:
            count = os.readv(connection.fileno(), [view])
            if not count:
                raise EOFError
            view = view[count:]
    kind, content = pickle.loads(message, buffers=buffers)  # noqa: S301 - from a worker of our own
    return len(message) + sum(sizes), kind, content


def _portable(error: BaseException) -> tuple[BaseException, str]:
    """Return an exception that survives the way between processes, and the worker's traceback."""
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301 - made in this line
    except Exception:
        copy = RuntimeError(f"{type(error).__name__} in a worker process")
    return copy, "".join(traceback.format_exception(error))
