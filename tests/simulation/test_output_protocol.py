"""The output protocol under every interruption: the code of runs, compactions, reviews and readers in simulated time.

- Two processes: the first is interrupted before each of its steps; a reader beside a writer in every interleaving.
- Four processes: random schedules with faults of the store, crashes and pauses.
- Each deliberate mistake of `mistakes.py` is found, and shrunk to a script that replays.
- Schedules that broke an invariant before the protocol was mended.

A failure prints a script. `explorer(...).replay(choices_of("a*13; b*2; ..."))` runs it again.
"""

import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.simulation import actors, mistakes
from tests.simulation.actors import Catalogues
from tests.simulation.exploration import Explored, Explorer, choices_of, script
from tests.simulation.processes import Behaviour
from tests.simulation.store import Files

START_SECONDS = 1_000.0
SCHEDULES = int(os.environ.get("MUSCAPS_SCHEDULES", "100000"))
"""Random schedules of `make drills`."""
WRITERS = [
    ("run", "run"),
    ("compact", "run"),
    ("compact", "compact"),
    ("typed", "compact"),
    ("review", "compact"),
    ("review", "other_review"),
]
FOUR = [
    ("run", "compact", "review", "read_ids"),
    ("run", "typed", "compact", "read_rows"),
    ("run", "run", "compact", "compact"),
]


class Simulation:
    """A store with a finished run, and the processes that may follow."""

    def __init__(self, folder: Path, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._catalogues = catalogues = Catalogues(folder).write()
        self.programs: dict[str, Callable[[], Any]] = {
            "run": functools.partial(actors.caption, catalogues),
            "typed": functools.partial(actors.caption, catalogues, "typed"),
            "compact": actors.merge,
            "review": functools.partial(actors.review, catalogues, "first"),
            "other_review": functools.partial(actors.review, catalogues, "second"),
            "read_ids": actors.read_ids,
            "read_rows": actors.read_rows,
        }
        self.files: Files = actors.begin(behaviour, catalogues)

    def explorer(self, names: Sequence[str]) -> Explorer:
        """Return an explorer of some processes, called a, b, ... in this order."""
        finishing = functools.partial(actors.finish, self._catalogues)
        programs = [self.programs[name] for name in names]
        return Explorer(self.behaviour, self.files, programs, finishing, START_SECONDS)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    behaviour = Behaviour()
    with behaviour.active():
        yield Simulation(tmp_path_factory.mktemp("simulation"), behaviour)


def assert_holds(explorer: Explorer, explored: Explored) -> None:
    if explored.failure is not None:
        shrunk = explorer.shrunk(explored.failure)
        pytest.fail(f"{shrunk.reason}\nschedule {shrunk.num_schedules}: {script(shrunk)}")


@pytest.mark.parametrize("names", WRITERS, ids="-".join)
def test_a_writer_may_be_interrupted_before_any_step(simulation: Simulation, names: tuple[str, str]) -> None:
    explorer = simulation.explorer(names)
    explored = explorer.interruptions()
    assert_holds(explorer, explored)
    assert explored.longest >= 15


@pytest.mark.parametrize("reader", ["read_ids", "read_rows"])
def test_a_reader_beside_a_compaction_sees_every_row_once(simulation: Simulation, reader: str) -> None:
    explorer = simulation.explorer(["compact", reader])
    explored = explorer.exhaustive(faults=0, waits=0)
    assert_holds(explorer, explored)
    assert explored.schedules > 1_000


@pytest.mark.parametrize("names", FOUR[:1], ids="-".join)
def test_four_processes_keep_every_row_in_some_random_schedules(simulation: Simulation, names: Sequence[str]) -> None:
    explorer = simulation.explorer(names)
    explored = explorer.random(25, seed=1, faults=2, waits=3)
    assert_holds(explorer, explored)
    assert explored.schedules == 25


@pytest.mark.slow
@pytest.mark.drills
@pytest.mark.parametrize("names", FOUR, ids="-".join)
def test_four_processes_keep_every_row_in_many_random_schedules(
    simulation: Simulation, names: Sequence[str], note_result: Callable[[str], None]
) -> None:
    explorer = simulation.explorer(names)
    explored = explorer.random(SCHEDULES // len(FOUR) + 1, seed=2, faults=2, waits=3)
    assert_holds(explorer, explored)
    note_result(f"{explored.schedules:,} schedules, {explored.steps:,} steps, {explored.faults:,} faults")


@pytest.mark.slow
@pytest.mark.drills
@pytest.mark.parametrize(("faults", "waits"), [(1, 0), (0, 1)], ids=["fault", "pause"])
@pytest.mark.parametrize("names", WRITERS, ids="-".join)
def test_two_writers_in_every_interleaving_with_a_fault_or_a_pause(
    names: Sequence[str], faults: int, waits: int, tmp_path: Path, note_result: Callable[[str], None]
) -> None:
    behaviour = Behaviour()  # one per pair, so that memory is given back
    with behaviour.active():
        explorer = Simulation(tmp_path, behaviour).explorer(names)
        explored = explorer.exhaustive(faults=faults, waits=waits)
        assert_holds(explorer, explored)
    note_result(f"{explored.schedules:,} schedules, {explored.states:,} states, {explored.longest} steps at most")


def interrupted(explorer: Explorer) -> Explored:
    return explorer.interruptions()


def interleaved(explorer: Explorer) -> Explored:
    return explorer.exhaustive(faults=0, waits=0)


@pytest.mark.parametrize(
    ("mistake", "names", "explore", "reason"),
    [
        (mistakes.lease_without_its_check, ("compact", "run"), interrupted, "vanished"),
        (mistakes.renewal_ignores_a_lost_lease, ("run", "run"), interrupted, "both take the lease for granted"),
        (mistakes.late_files_count, ("run", "run"), interrupted, "is visible twice"),
        (mistakes.commit_in_two_writes, ("run", "read_ids"), interleaved, "is visible twice"),
        (mistakes.compaction_deletes_first, ("compact", "run"), interrupted, "vanished"),
        (mistakes.compaction_without_journal, ("compact", "run"), interrupted, "is visible twice"),
        (mistakes.journal_read_once, ("compact", "read_ids"), interleaved, "read track b twice"),
        (mistakes.plan_before_the_lease, ("run", "run"), interrupted, "is visible twice"),
        (mistakes.reviews_overwritten, ("review", "other_review"), interrupted, "vanished"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_deliberate_mistake_is_found_and_its_script_replays(
    mistake: mistakes.Mistake,
    names: tuple[str, str],
    explore: Callable[[Explorer], Explored],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    note_result: Callable[[str], None],
) -> None:
    behaviour = Behaviour()
    with behaviour.active():
        simulation = Simulation(tmp_path, behaviour)
        mistake(monkeypatch)
        explorer = simulation.explorer(names)
        failure = explore(explorer).failure
        assert failure is not None
        assert reason in failure.reason
        assert reason in explorer.replay(choices_of(script(failure)))
        note_result(f"found after {failure.num_schedules} schedules")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("compact", "read_ids"), "a*13; b*2; a*3; b*4"),
        (("run", "run"), "a*32; wait 61; b*999; wait 20; b*999"),
        (("compact", "run"), "a*19; wait 61; b*999; wait 20; b*999"),
    ],
)
def test_a_schedule_that_broke_the_protocol_once_keeps_every_row(
    simulation: Simulation, names: Sequence[str], text: str
) -> None:
    assert simulation.explorer(names).replay(choices_of(text)) == ""
