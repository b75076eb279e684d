"""Run a function over many items in worker processes that may die.

Native image decoders can abort the interpreter, be killed for memory or hang on a damaged file. Here such a file costs
itself and nothing else. Results travel one at a time, so the item at which a worker died is known exactly; it is tried
once more in a fresh process before it is blamed, because a worker can also be killed from outside.
"""

import itertools
import multiprocessing
import pickle
import resource
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from pipeline.errors import Refused

Item = TypeVar("Item")
Value = TypeVar("Value")

CRASHED = "the decoder crashed on this file"
ATTEMPTS = 2
CHUNK = 8
"""Items that a worker is given at once, so that it need not wait for its next one."""
AHEAD = 4 * CHUNK
"""Results per worker that may wait for an earlier one: a bound on memory."""


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of one item: a value, or the reason why there is none."""

    item: Item
    value: Value | None
    reason: str | None


def survive(
    function: Callable[[Item], Value], items: Iterable[Item], workers: int, timeout: float = 120.0
) -> Iterator[Outcome[Item, Value]]:
    """Yield an outcome for every item, in the items' order.

    Args:
        function: Something that a fresh process can import. It may raise Refused, which becomes the outcome's reason.
            Anything else that it raises is a defect and is raised here.
        items: What to apply it to; read lazily.
        workers: Processes. One is started for any smaller number, since the function is never run in this process.
        timeout: Seconds that one item may take.
    """
    pool: _Pool[Item, Value] = _Pool(function, iter(items), max(1, workers), timeout)
    try:
        yield from pool.outcomes()
    finally:
        pool.close()


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    ready: bool = False
    flight: deque[int] = field(default_factory=deque)
    deadline: float = float("inf")


class _Pool(Generic[Item, Value]):
    """Workers, the items that they work on, and the outcomes that wait for their turn."""

    def __init__(self, function: Callable[[Item], Value], items: Iterator[Item], workers: int, timeout: float) -> None:
        self.function, self.items, self.timeout, self.size = function, enumerate(items), timeout, workers
        self.workers: list[_Worker] = []
        self.taken = 0
        self.open: dict[int, Item] = {}
        self.again: deque[int] = deque()
        self.deaths: dict[int, int] = {}
        self.done: dict[int, Outcome[Item, Value]] = {}

    def outcomes(self) -> Iterator[Outcome[Item, Value]]:
        for position in itertools.count():
            while position not in self.done:
                self._hand_out(position)
                if any(worker.flight for worker in self.workers):
                    self._listen()
                elif not self.again:
                    return
            yield self.done.pop(position)

    def close(self) -> None:
        for worker in self.workers:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()

    def _hand_out(self, position: int) -> None:
        """Give every idle worker its next items, and start workers while there is work for them."""
        idle = deque(worker for worker in self.workers if not worker.flight)
        while idle or len(self.workers) < self.size:
            chunk = self._next_chunk(position)
            if not chunk:
                return
            worker = idle.popleft() if idle else self._start()
            worker.flight.extend(chunk)
            worker.deadline = time.monotonic() + self.timeout
            try:
                worker.connection.send([self.open[index] for index in chunk])
            except (BrokenPipeError, ConnectionResetError):
                self._bury(worker)

    def _next_chunk(self, position: int) -> list[int]:
        if self.again:
            return [self.again.popleft()]
        room = position + AHEAD * self.size - self.taken
        fresh = dict(itertools.islice(self.items, max(0, min(CHUNK, room))))
        self.taken += len(fresh)
        self.open |= fresh
        return list(fresh)

    def _start(self) -> _Worker:
        # Not fork: a copy of a process that has threads can hang. The fork server replaces the dead cheaply.
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(self.function, theirs), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self.workers.append(worker)
        return worker

    def _listen(self) -> None:
        """Take what workers have to say, or kill those that have been silent for too long."""
        busy = {worker.connection: worker for worker in self.workers if worker.flight}
        patience = min(worker.deadline for worker in busy.values()) - time.monotonic()
        heard: list[Any] = wait(list(busy), timeout=max(0.0, patience))
        for connection in heard:
            try:
                message = connection.recv()
            except (EOFError, OSError):
                self._bury(busy[connection])
            else:
                self._take(busy[connection], *message)
        if not heard:
            for worker in busy.values():
                if worker.deadline <= time.monotonic():
                    self._bury(worker, f"reading it took more than {self.timeout:g} seconds")

    def _take(self, worker: _Worker, kind: str, content: Any) -> None:  # noqa: ANN401 - whatever was sent
        worker.deadline = time.monotonic() + self.timeout
        if kind == "ready":
            worker.ready = True
        elif kind == "defect":
            raise content
        else:
            value, reason = (content, None) if kind == "value" else (None, content)
            self._settle(worker.flight.popleft(), value, reason)

    def _settle(self, index: int, value: Value | None, reason: str | None) -> None:
        self.done[index] = Outcome(self.open.pop(index), value, reason)

    def _bury(self, worker: _Worker, reason: str | None = None) -> None:
        """Remove a worker that died or that is to die, and decide on the item that it was working on."""
        worker.process.kill()
        worker.process.join()
        worker.connection.close()
        self.workers.remove(worker)
        if not worker.ready and reason is None:
            raise RuntimeError(f"a worker process could not start (exit code {worker.process.exitcode})")
        culprit = worker.flight.popleft()
        self.again.extend(worker.flight)
        self.deaths[culprit] = self.deaths.get(culprit, 0) + 1
        if reason is None and self.deaths[culprit] < ATTEMPTS:
            self.again.append(culprit)
        else:
            self._settle(culprit, None, reason or CRASHED)


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    """Answer items until the parent hangs up. Runs in the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A core dump would write a patient's image to the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        connection.send(("ready", None))
        while True:
            for item in connection.recv():
                _reply(connection, _answer(function, item))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _answer(function: Callable[[Any], Any], item: Any) -> tuple[str, Any]:  # noqa: ANN401 - any item, any value
    try:
        return "value", function(item)
    except Refused as refused:
        return "refused", str(refused)
    except BaseException as error:
        return "defect", _portable(error)


def _reply(connection: Connection, answer: tuple[str, Any]) -> None:
    try:
        connection.send(answer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        connection.send(("defect", _portable(error)))


def _portable(error: BaseException) -> BaseException:
    """Return an exception that survives the way between processes, with the worker's traceback as a note."""
    trace = "".join(traceback.format_exception(error))
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301 - made one line above
    except Exception:
        copy = RuntimeError(f"{type(error).__name__} in a worker process")
    copy.add_note(trace)
    return copy
