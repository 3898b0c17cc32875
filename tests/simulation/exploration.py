"""Schedules: which process does the next step and what goes wrong; all of them within bounds, or random ones.

A choice is one of: `a` (the main thread of process a does its next step), `a.1` (its renewal thread), `a!lost`,
`a!refused`, `a!twice` (the same with a fault), `a!crash` (it never runs again), `wait N` (N seconds pass while nobody
does anything).

Conventions: two histories that lead to the same files, the same histories of all processes and the same time are
continued once. Whatever follows is the same for both.
"""

import contextlib
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.simulation.invariants import BrokenError, Invariants, is_late
from tests.simulation.processes import LOST, REFUSED, Behaviour, Node, Program
from tests.simulation.store import WRITES, Files, perform

LONG_WAIT = 61.0
"""Seconds after which a lease may be taken over."""
SHORT_WAIT = 20.0
"""Seconds in which a heartbeat is due, but no lease runs out."""
READ_FAULTS, WRITE_FAULTS = ("refused",), ("refused", "lost", "twice")
PAUSES = (
    "a!crash; wait 61; b*999; wait 20; b*999",
    "wait 61; b*999; wait 20; b*999",
    "wait 61; b*4; wait 20; b*6; a.1*3; b*999",
)
"""What may happen while the first process stands still: it never goes on; another one does all of its work; its renewal
goes on while the other one begins."""


@dataclass(frozen=True, slots=True)
class State:
    """One moment of a simulation."""

    files: Files
    nodes: tuple[Node | None, ...]
    """Every process; None after a crash."""
    repeating: frozenset[tuple[int, str]]
    """Threads that got no answer and repeat their request."""
    time: float
    holder: str
    """Run that has the lease, by the store."""
    began: tuple[frozenset[str] | None, ...]
    """Tracks that were there when each process began; None before."""
    late: frozenset[str]
    """Files that a run without the lease wrote."""
    faults: int
    waits: int

    @property
    def key(self) -> Any:
        """What decides how it goes on."""
        nodes = tuple(map(id, self.nodes))
        return (
            self.files.key, nodes, self.repeating, self.time, self.began, self.late, self.faults, self.waits
        )  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A schedule that breaks an invariant."""

    choices: tuple[str, ...]
    reason: str
    num_schedules: int
    """Schedules until it was found."""


@dataclass
class Explored:
    """What was explored."""

    schedules: int = 0
    states: int = 0
    steps: int = 0
    longest: int = 0
    faults: int = 0
    failure: Failure | None = None


class Explorer:
    """Explores the schedules of some processes over one store."""

    def __init__(
        self, behaviour: Behaviour, files: Files, programs: Sequence[Program], finishing: Program, start: float
    ) -> None:
        """Prepare.

        Args:
            behaviour: What the processes do, shared between explorers of the same code.
            files: The store at the beginning.
            programs: One per process; the processes are called a, b, ...
            finishing: The undisturbed run afterwards.
            start: Time at the beginning, in seconds.
        """
        self._behaviour = behaviour
        self.invariants = Invariants(behaviour, finishing)
        nodes = tuple(behaviour.root(program, name) for program, name in zip(programs, "abcdefgh", strict=False))
        none: tuple[None, ...] = (None,) * len(nodes)
        self.start = State(files, nodes, frozenset(), start, "", none, frozenset(), 0, 0)

    def choices(self, state: State, *, faults: int, waits: int, reduced: bool = False) -> list[str]:
        """Return what may come next; the first choice goes on with the process that is ready and comes first.

        Args:
            state: The present moment.
            faults: Faults and crashes of a whole schedule.
            waits: Pauses of a whole schedule that nobody needs.
            reduced: Whether a renewal begins only where its process has just asked for the time or waits, and ends
                before its process goes on. Elsewhere the process does not notice the difference.
        """
        found: list[str] = []
        unlucky: list[str] = []
        for number, node in enumerate(state.nodes):
            if node is None or not node.pending:
                continue
            name = "abcdefgh"[number]
            began = state.began[number] is not None
            renews = reduced and any(
                thread != "main" and request.operation is not None and request.operation.kind != "replace"
                for thread, request in node.pending.items()
            )
            for thread, request in node.pending.items():
                if not request.is_ready(state.time):
                    continue
                if renews and thread == "main":
                    continue
                if reduced and thread != "main" and request.operation is None and not node.read_clock:
                    main = node.pending["main"]
                    if main.operation is not None:
                        continue
                choice = name if thread == "main" else f"{name}.{thread.rpartition('-')[2]}"
                found.append(choice)
                if request.operation is not None and state.faults < faults and (number, thread) not in state.repeating:
                    kinds = WRITE_FAULTS if request.operation.kind in WRITES else READ_FAULTS
                    unlucky.extend(f"{choice}!{kind}" for kind in kinds)
            if began and state.faults < faults:
                unlucky.append(f"{name}!crash")
        timers = [wake for wake in self._timers(state) if wake > state.time]
        if not found:
            if not timers:
                return []
            needed = SHORT_WAIT if min(timers) - state.time <= SHORT_WAIT else LONG_WAIT
            return [*unlucky, f"wait {needed:g}"] if unlucky else [f"wait {needed:g}"]
        pauses = [f"wait {LONG_WAIT:g}", f"wait {SHORT_WAIT:g}"] if state.waits < waits else []
        return [*found, *unlucky, *pauses]

    def _timers(self, state: State) -> Iterator[float]:
        for node in state.nodes:
            if node is not None:
                yield from (request.until for request in node.pending.values() if request.operation is None)

    def step(self, state: State, choice: str) -> State:
        """Return the state after a choice.

        Raises:
            BrokenError: An invariant does not hold.
            LookupError: The choice is not possible.
        """
        if choice.startswith("wait "):
            return self._checked(replace(state, time=state.time + float(choice[5:]), waits=state.waits + 1))
        who, _, fault = choice.partition("!")
        number = "abcdefgh".index(who[0])
        node = state.nodes[number]
        if node is None:
            raise LookupError(choice)
        if fault == "crash":
            nodes = _with(state.nodes, number, None)
            return replace(state, nodes=nodes, faults=state.faults + 1)
        thread = "main" if len(who) == 1 else f"thread-{who[2:]}"
        request = node.pending.get(thread)
        if request is None or not request.is_ready(state.time):
            raise LookupError(choice)
        files, answer, late, repeating = state.files, request.woken, state.late, state.repeating
        began = state.began
        if began[number] is None:
            began = _with(began, number, self.invariants.captioned(files, late))
        if request.operation is not None:
            repeated = (number, thread) in repeating
            answer: Any = REFUSED
            if fault != "refused":
                files, answer = perform(
                    files, request.operation, state.time, page=self._behaviour.page, repeated=repeated
                )
                if files is not state.files and is_late(request.operation, node.run_id, state.holder):
                    late = late | {request.operation.name}
            repeating = repeating - {(number, thread)}
            if fault == "lost":
                answer = LOST
            elif fault == "twice":
                repeating = repeating | {(number, thread)}
        after = node if fault == "twice" else self._behaviour.after(node, thread, answer, state.time)
        holder = state.holder
        if files is not state.files and request.operation and request.operation.name == "output/lease.json":
            holder = self._holder(files)
        following = State(
            files, _with(state.nodes, number, after), repeating, state.time, holder, began, late,
            state.faults + bool(fault), state.waits,
        )  # fmt: skip
        if files is not state.files:
            self.invariants.check_change(state.files, files, late)
        if not after.pending:
            seen = began[number]
            assert seen is not None
            lost = bool(after.run_id) and after.run_id != holder
            self.invariants.check_outcome(after, seen, following.faults, lost or following.waits > 0)
        return self._checked(following)

    def _holder(self, files: Files) -> str:
        entry = files.entries.get("output/lease.json")
        return "" if entry is None else str(json.loads(self._behaviour.contents[entry[0]]).get("run_id", ""))

    def _checked(self, state: State) -> State:
        believers = [node.name for node in state.nodes if node is not None and node.held_until >= state.time]
        if len(believers) > 1:
            raise BrokenError(f"{' and '.join(believers)} both take the lease for granted")
        return state

    def exhaustive(self, *, faults: int, waits: int, max_schedules: int | None = None) -> Explored:
        """Explore all schedules with at most so many faults and voluntary pauses.

        A schedule is counted when it ends, or when it meets a state that another schedule has reached.
        """
        explored = Explored()
        seen = {self.start.key}
        stack: list[tuple[State, Any, int]] = [(self.start, None, 0)]
        while stack:
            state, path, depth = stack.pop()
            explored.states += 1
            choices = self.choices(state, faults=faults, waits=waits, reduced=True)
            explored.longest = max(explored.longest, depth)
            if not choices:
                explored.schedules += 1
            for choice in reversed(choices):
                explored.steps += 1
                try:
                    following = self.step(state, choice)
                    if not self.choices(following, faults=0, waits=0):
                        self.invariants.check_end(following.files)
                except BrokenError as error:
                    explored.failure = Failure(_path((choice, path)), str(error), explored.schedules + 1)
                    return explored
                key = following.key
                if key in seen:
                    explored.schedules += 1
                    continue
                seen.add(key)
                stack.append((following, (choice, path), depth + 1))
            if max_schedules is not None and explored.schedules >= max_schedules:
                break
        return explored

    def random(self, schedules: int, *, seed: int, faults: int, waits: int) -> Explored:
        """Explore random schedules; a process usually does several steps before another one has its turn."""
        explored = Explored()
        for number in range(schedules):
            rng = random.Random(f"{seed}/{number}")
            chosen: list[str] = []
            state = self.start
            switch, trouble = rng.choice((0.02, 0.1, 0.4)), rng.choice((0.01, 0.03))
            current = ""
            try:
                while True:
                    choices = self.choices(state, faults=0, waits=0)
                    if not choices:
                        break
                    choice = current if current in choices and rng.random() > switch else rng.choice(choices)
                    current = choice
                    if rng.random() < trouble:
                        rare = self.choices(state, faults=faults, waits=waits)[len(choices) :]
                        choice = rng.choice(rare) if rare else choice
                    chosen.append(choice)
                    state = self.step(state, choice)
                self.invariants.check_end(state.files)
            except BrokenError as error:
                explored.failure = Failure(tuple(chosen), str(error), number + 1)
                explored.schedules += 1
                return explored
            explored.schedules += 1
            explored.steps += len(chosen)
            explored.faults += state.faults
            explored.longest = max(explored.longest, len(chosen))
        return explored

    def interruptions(self, turns: Sequence[str] = PAUSES) -> Explored:
        """Interrupt the first process before each of its steps, by a crash or for longer than its lease.

        Every other process then runs to its end, or does some steps only, before the first one goes on.

        Args:
            turns: Scripts of what happens while the first process stands still.
        """
        explored = Explored()
        state, position = self.start, 0
        while True:
            for turn in turns:
                explored.schedules += 1
                choices = ["a"] * position + choices_of(turn)
                if reason := self.replay(choices):
                    explored.failure = Failure(tuple(choices), reason, explored.schedules)
                    return explored
            position += 1
            try:
                state = self.step(state, "a")
            except LookupError:
                explored.longest = position - 1
                return explored

    def replay(self, choices: Sequence[str]) -> str:
        """Run a schedule, then all processes to their ends; return the broken invariant, or nothing.

        Choices that are not possible are left out.
        """
        state = self.start
        try:
            for choice in choices:
                with contextlib.suppress(LookupError):
                    state = self.step(state, choice)
            while rest := self.choices(state, faults=0, waits=0):
                state = self.step(state, rest[0])
            self.invariants.check_end(state.files)
        except BrokenError as error:
            return str(error)
        return ""

    def shrunk(self, failure: Failure) -> Failure:
        """Return a shorter schedule that breaks an invariant: choices are left out while one is broken."""
        choices = list(failure.choices)
        reason = self.replay(choices) or failure.reason
        size = max(1, len(choices) // 2)
        while True:
            start, removed = 0, False
            while start < len(choices):
                shorter = choices[:start] + choices[start + size :]
                if found := self.replay(shorter):
                    choices, reason, removed = shorter, found, True
                else:
                    start += size
            if size == 1 and not removed:
                return Failure(tuple(choices), reason, failure.num_schedules)
            size = max(1, size // 2)


def script(failure: Failure) -> str:
    """Return a schedule as text: `a*3` for three steps of a."""
    parts = []
    for choice, group in itertools.groupby(failure.choices):
        count = len(list(group))
        parts.append(choice if count == 1 else f"{choice}*{count}")
    return "; ".join(parts)


def choices_of(text: str) -> list[str]:
    """Return the choices of a script."""
    found: list[str] = []
    for part in text.replace("\n", " ").split(";"):
        choice, _, count = part.strip().partition("*")
        if choice:
            found.extend([choice] * int(count or 1))
    return found


def _path(linked: Any) -> tuple[str, ...]:
    found = []
    while linked is not None:
        found.append(linked[0])
        linked = linked[1]
    return tuple(reversed(found))


def _with(values: tuple[Any, ...], number: int, value: Any) -> tuple[Any, ...]:
    return (*values[:number], value, *values[number + 1 :])
