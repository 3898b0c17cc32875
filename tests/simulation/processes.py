"""Simulated processes: real code that stops at every operation of the store, every wait and every sleep.

Conventions: a process has a thread `main` and may start others (the renewal of the lease). Each is a greenlet, and one
runs at a time, until its next request. What a process does depends only on the answers to its requests and the times
at which it gets them. `Behaviour` remembers it as a tree: code runs only for a history that never occurred before.
"""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import greenlet

from pipeline import storage
from pipeline.output import clock
from pipeline.output.lease import SAFE_FRACTION
from pipeline.storage.errors import StorageError
from tests.simulation.store import SCHEME, START, Contents, Files, Operation, SimulatedStore, perform

MAX_LIVE = 400
"""Processes whose greenlets are kept, because their history may go on."""
LOST, REFUSED = "lost", "refused"
"""Answers that are errors: the request took effect, but the answer was lost for as long as it was repeated; or it took
no effect."""

Program = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What a thread waits for."""

    operation: Operation | None = None
    """An operation of the store; None for anything else."""
    until: float = 0.0
    """Time from which a sleeping thread may go on, in seconds."""
    woken: bool = False
    """Whether it may go on before."""

    def is_ready(self, time: float) -> bool:
        """Whether the thread may go on."""
        return self.operation is not None or self.woken or time >= self.until


@dataclass(eq=False)
class Node:
    """A process after one history."""

    parent: "Node | None"
    step: tuple[str, Any, float] | None
    """Thread, answer and time of the last step."""
    program: Program
    name: str
    pending: dict[str, Request]
    """What its threads wait for; empty when it has ended."""
    outcome: Any = None
    """What it returned, or the exception it ended with."""
    held_until: float = -1.0
    """Until when it takes its lease for granted, in seconds; -1 without a lease."""
    read_clock: bool = True
    """Whether the last step asked for the time."""
    run_id: str = ""
    """Name under which it took a lease; empty before."""
    children: dict[tuple[str, Any, float | None], "Node"] = field(default_factory=dict)


class _Execution:
    """Running code."""

    def __init__(self, program: Program, name: str) -> None:
        self.program, self.name = program, name
        self.time, self.read_clock, self.dead = 0.0, False, False
        self.pending: dict[str, Request] = {"main": Request()}
        self.outcome: Any = None
        self.leases: list[Any] = []
        self.listed: dict[str, str] = {}
        self._greenlets: dict[str, greenlet.greenlet] = {"main": greenlet.greenlet(self._main)}
        self._started: list[tuple[str, Callable[[], None]]] = []
        self._waiting: dict[str, object] = {}
        self._joining: dict[str, str] = {}
        self._number = 0

    def resume(self, thread: str, answer: Any, time: float) -> None:
        """Let a thread run until its next request."""
        self.time, self.read_clock = time, False
        self._switch(thread, answer)
        while self._started and self.pending.get("main"):
            name, target = self._started.pop()
            self._greenlets[name] = greenlet.greenlet(target)
            self._switch(name, None)

    def _switch(self, thread: str, answer: Any) -> None:
        running = self._greenlets[thread]
        _simulation().running = self
        del self.pending[thread]
        self._current = thread
        running.parent = greenlet.getcurrent()
        running.switch(*([answer] if running else []))  # false before its first switch, which takes no answer
        _simulation().running = None
        if running.dead and thread == "main":
            self.pending = {}
        elif running.dead:
            for other, joined in self._joining.items():
                if joined == thread and other in self.pending:
                    self.pending[other] = Request(until=self.pending[other].until, woken=True)

    def _main(self) -> None:
        try:
            self.outcome = self.program()
        except greenlet.GreenletExit:
            raise
        except Exception as error:
            self.outcome = error.with_traceback(None)

    def request(self, request: Request) -> Any:
        """Stop the current thread until an answer comes."""
        if self.dead:
            raise greenlet.GreenletExit
        self.pending[self._current] = request
        return greenlet.getcurrent().parent.switch()

    def ask(self, operation: Operation) -> Any:
        """Return the store's answer to an operation."""
        answer = self.request(Request(operation))
        if answer == LOST:
            raise StorageError(f"{operation}: the store does not answer", "unavailable", True)
        if answer == REFUSED:
            raise StorageError(f"{operation}: the store throttles requests", "throttled", True)
        if operation.kind == "list":
            self.listed.update({name: digest for name, digest, _ in answer})
        return answer

    def start(self, target: Callable[[], None]) -> str:
        """Start a thread; it runs until its first request when the current one stops."""
        name = f"thread-{len(self._greenlets)}"
        self.pending[name] = Request()
        self._started.append((name, target))
        self.leases.append(target.__self__)  # type: ignore[attr-defined]
        return name

    def random_hex(self, num_bytes: int) -> str:
        self._number += 1
        return f"{self.name}{self._number:x}".encode().hex()[-2 * num_bytes :].rjust(2 * num_bytes, "0")

    def wait(self, condition: object, until: float) -> bool:
        thread = self._current
        self._waiting[thread] = condition
        woken = bool(self.request(Request(until=until)))
        del self._waiting[thread]
        return woken

    def notify(self, condition: object) -> None:
        for thread, waits_for in self._waiting.items():
            if waits_for is condition and thread in self.pending:
                self.pending[thread] = Request(until=self.pending[thread].until, woken=True)

    def join(self, thread: str, until: float) -> None:
        if not self._greenlets[thread].dead:
            self._joining[self._current] = thread
            self.request(Request(until=until))
            self._joining.clear()

    def kill(self) -> None:
        """End all threads; no request of theirs is answered any more."""
        self.dead = True
        for thread in self._greenlets.values():
            if thread and not thread.dead:
                thread.parent = greenlet.getcurrent()
                thread.throw(greenlet.GreenletExit)

    def belief(self) -> tuple[float, str]:
        """Return until when the process takes a lease for granted, and the lease's run."""
        held, run_id = -1.0, ""
        for lease in self.leases:
            run_id = lease.run_id
            if not lease._lost and not lease._released and self.pending:
                held = max(held, lease._renewed + SAFE_FRACTION * lease._lease_seconds)
        return held, run_id


class _Clock:
    """Time, randomness and threads of the running process."""

    def now(self) -> datetime:
        if sys._getframe(2).f_globals["__name__"] != "pipeline.output.lease":
            return START  # names and rows do not depend on the moment, so that fewer histories are different
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        running = _simulation().running
        if running is None:
            return 0.0
        running.read_clock = True
        return running.time

    def sleep(self, seconds: float) -> None:
        running = _running()
        running.read_clock = True
        running.request(Request(until=running.time + seconds))

    def random_hex(self, num_bytes: int) -> str:
        return _running().random_hex(num_bytes)

    def condition(self) -> "_Condition":
        return _Condition()

    def thread(self, target: Callable[[], None], name: str) -> "_Thread":
        return _Thread(target)


class _Condition:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...

    def wait(self, timeout: float | None = None) -> bool:
        running = _running()
        running.read_clock = True
        return running.wait(self, running.time + (timeout or 0.0))

    def notify_all(self) -> None:
        _running().notify(self)


class _Thread:
    def __init__(self, target: Callable[[], None]) -> None:
        self._target, self._name = target, ""

    def start(self) -> None:
        self._name = _running().start(self._target)

    def join(self, timeout: float | None = None) -> None:
        running = _running()
        running.read_clock = True
        running.join(self._name, running.time + (timeout or 0.0))


class Behaviour:
    """What processes do, as far as it was needed."""

    def __init__(self, *, page: int = 1000) -> None:
        self.page = page
        self.contents = Contents()
        self.running: _Execution | None = None
        self.direct: Files | None = None
        """Files that are read while no process runs."""
        self.num_executed = 0
        """Steps for which code ran."""
        self._live: OrderedDict[int, tuple[Node, _Execution]] = OrderedDict()
        self._main_thread = threading.get_ident()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Install the simulated store and clock."""
        global _active
        before, active_before = storage._STORES[SCHEME], _active
        storage._STORES[SCHEME] = SimulatedStore(self.contents, self._ask, self.page)  # type: ignore[assignment]
        _active = self
        try:
            with clock.use(_Clock()):
                yield
        finally:
            self.end_all()
            storage._STORES[SCHEME] = before
            _active = active_before

    def root(self, program: Program, name: str) -> Node:
        """Return a process that has not started."""
        return Node(parent=None, step=None, program=program, name=name, pending={"main": Request()})

    def after(self, node: Node, thread: str, answer: Any, time: float) -> Node:
        """Return the process after one more step."""
        known = node.children.get((thread, answer, None)) or node.children.get((thread, answer, time))
        if known is not None:
            return known
        execution = self._execution(node)
        execution.resume(thread, answer, time)
        self.num_executed += 1
        held_until, run_id = execution.belief()
        child = Node(
            parent=node,
            step=(thread, answer, time),
            program=node.program,
            name=node.name,
            pending=dict(execution.pending),
            outcome=execution.outcome,
            held_until=held_until,
            read_clock=execution.read_clock,
            run_id=run_id,
        )
        node.children[thread, answer, time if execution.read_clock else None] = child
        if child.pending:
            self._live[id(child)] = child, execution
            if len(self._live) > MAX_LIVE:
                self._live.popitem(last=False)[1][1].kill()
        else:
            execution.kill()
        return child

    def end_all(self) -> None:
        """End the greenlets that are kept."""
        while self._live:
            self._live.popitem()[1][1].kill()

    def _execution(self, node: Node) -> _Execution:
        """Return running code at a node, which then belongs to the caller."""
        kept = self._live.pop(id(node), None)
        if kept is not None:
            return kept[1]
        steps = []
        above: Node | None = node
        while above is not None and above.step is not None:
            steps.append(above.step)
            above = above.parent
        execution = _Execution(node.program, node.name)
        for step in reversed(steps):
            execution.resume(*step)
        return execution

    def _ask(self, operation: Operation) -> Any:
        if self.running is None:
            assert self.direct is not None
            return perform(self.direct, operation, 0.0, page=self.page)[1]
        if threading.get_ident() != self._main_thread:  # a pool that reads the footers of files just listed
            return self.running.listed.get(operation.name)
        return self.running.ask(operation)


_active: Behaviour | None = None


def _simulation() -> Behaviour:
    assert _active is not None
    return _active


def _running() -> _Execution:
    running = _simulation().running
    assert running is not None
    return running
