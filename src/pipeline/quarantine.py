"""Run a function over many items in worker processes that may die.

Native image decoders can abort the interpreter, panic, ask for all memory or hang on a damaged file. Here such a file
costs itself and nothing else. Results travel one at a time, so the item at which a worker died is known exactly; it is
tried once more in a fresh process before it is blamed, because a worker can also be killed from outside, or be short of
memory because of what earlier items left behind.
"""

import itertools
import multiprocessing
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, Generic, TypeVar

from pipeline.worker import CRASHED, Limits, receive, serve

Item = TypeVar("Item")
Value = TypeVar("Value")

ATTEMPTS = 2
CHUNK = 8
"""Items that a worker is given at once, so that it need not wait for its next one."""
AHEAD = 4 * CHUNK
"""Results per worker that may wait for an earlier one."""
WAITING = 2**30
"""Bytes of results that may wait for an earlier one, unless one result for each worker is more already."""
MEMORY = 8 * 2**30
"""Bytes that a worker may allocate. Fixed, so that the machine does not decide which files are refused."""


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of one item: a value, or the reason why there is none."""

    item: Item
    value: Value | None
    reason: str | None


def survive(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    workers: int,
    timeout: float = 120.0,
    memory: int = MEMORY,
    preload: Sequence[str] = (),
) -> Iterator[Outcome[Item, Value]]:
    """Yield an outcome for every item, in the items' order.

    Args:
        function: Something that a fresh process can import. It may raise Refused, which becomes the outcome's reason;
            so do a lack of memory and the panic of a decoder in Rust. Anything else that it raises is a defect and is
            raised here. What it prints is lost, because decoders print what they find in files.
        items: What to apply it to; read lazily.
        workers: Processes. One is started for any smaller number, since the function is never run in this process.
        timeout: Seconds that one item may take.
        memory: Bytes that a worker may allocate beyond what it has when it starts. Enforced on Linux only.
        preload: Modules that the function imports late. Workers share one copy, if this is the process's first call.
    """
    limits = Limits(timeout, memory)
    pool: _Pool[Item, Value] = _Pool(function, iter(items), max(1, workers), limits, _needed(function, preload))
    try:
        yield from pool.outcomes()
    finally:
        pool.close()


def _needed(function: Callable[[Any], Any], late: Sequence[str]) -> list[str]:
    """Return the modules that every worker needs: those that the program imports, which each runs again, and others."""
    names = [getattr(getattr(function, "func", function), "__module__", None), *late]
    for value in vars(sys.modules["__main__"]).values():
        names.append(value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None))
    return sorted({name for name in names if isinstance(name, str)} - {"__main__", "builtins"})


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    ready: bool = False
    fresh: bool = True
    flight: deque[int] = field(default_factory=deque)
    deadline: float = float("inf")


class _Pool(Generic[Item, Value]):
    """Workers, the items that they work on, and the outcomes that wait for their turn."""

    def __init__(
        self, function: Callable[[Item], Value], items: Iterator[Item], size: int, limits: Limits, modules: list[str]
    ) -> None:
        self.function, self.items, self.size, self.limits = function, enumerate(items), size, limits
        # Not fork: a copy of a process that has threads can hang. The fork server replaces the dead cheaply.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(modules)
        self.workers: list[_Worker] = []
        self.taken = 0
        self.largest = 0
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
        while self.workers:
            self._dismiss(self.workers[0])

    def _hand_out(self, position: int) -> None:
        """Give every idle worker its next items, and start workers while there is work for them."""
        idle = deque(worker for worker in self.workers if not worker.flight)
        while idle or len(self.workers) < self.size:
            chunk = self._next_chunk(position)
            if not chunk:
                return
            if idle and chunk[0] in self.deaths:
                self._dismiss(idle.popleft())
            worker = idle.popleft() if idle and chunk[0] not in self.deaths else self._start()
            worker.flight.extend(chunk)
            worker.deadline = time.monotonic() + self.limits.timeout
            try:
                worker.connection.send([self.open[index] for index in chunk])
            except (BrokenPipeError, ConnectionResetError):
                self._bury(worker)

    def _next_chunk(self, position: int) -> list[int]:
        if self.again:
            return [self.again.popleft()]
        # How many of the largest results so far may wait; one a worker while nothing is known.
        bearable = WAITING // self.largest if self.largest else self.size
        room = position + max(self.size, min(AHEAD * self.size, bearable)) - self.taken
        chunk = max(1, min(CHUNK, bearable // self.size))
        fresh = dict(itertools.islice(self.items, max(0, min(chunk, room))))
        self.taken += len(fresh)
        self.open |= fresh
        return list(fresh)

    def _start(self) -> _Worker:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=serve, args=(self.function, theirs, self.limits), daemon=True)
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
                message = receive(connection)
            except (EOFError, OSError):
                # It may have hung up without having ended; its exit status says how it did.
                busy[connection].process.join(timeout=1)
                self._bury(busy[connection])
            else:
                self._take(busy[connection], *message)
        if not heard:
            for worker in busy.values():
                if worker.deadline <= time.monotonic():
                    self._bury(worker, self.limits.too_slow, certain=True)

    def _take(self, worker: _Worker, size: int, kind: str, content: Any) -> None:  # noqa: ANN401 - whatever was sent
        worker.deadline = time.monotonic() + self.limits.timeout
        if kind == "ready":
            worker.ready = True
        elif kind == "defect":
            error, trace = content
            error.add_note(trace)
            raise error
        elif kind == "memory":
            self._bury(worker, self.limits.too_large, certain=worker.fresh)
        else:
            worker.fresh = False
            self.largest = max(self.largest, size)
            value, reason = (content, None) if kind == "value" else (None, content)
            self._settle(worker.flight.popleft(), value, reason)

    def _settle(self, index: int, value: Value | None, reason: str | None) -> None:
        self.done[index] = Outcome(self.open.pop(index), value, reason)

    def _dismiss(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.connection.close()
        self.workers.remove(worker)

    def _bury(self, worker: _Worker, reason: str = CRASHED, certain: bool = False) -> None:
        """Remove a worker that died or that is to die, and decide on the item that it was working on."""
        status = worker.process.exitcode
        self._dismiss(worker)
        if status == -signal.SIGALRM:
            reason, certain = self.limits.too_slow, True
        if not worker.ready and not certain:
            raise RuntimeError(f"a worker process could not start (exit code {status})")
        culprit = worker.flight.popleft()
        self.again.extend(worker.flight)
        self.deaths[culprit] = self.deaths.get(culprit, 0) + 1
        if certain or self.deaths[culprit] >= ATTEMPTS:
            self._settle(culprit, None, reason)
        else:
            self.again.append(culprit)
