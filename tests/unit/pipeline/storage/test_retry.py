"""The retry policy: what is tried again, for how long, and what is raised in the end."""

import pytest

from pipeline.storage import retry
from pipeline.storage.errors import StorageError
from pipeline.storage.retry import retried


class Operation:
    """Fails with each of the given errors in turn, then returns "done"."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def busy() -> StorageError:
    return StorageError("s3://b/x: the store throttles requests", "throttled", True)


def explain(error: Exception, uri: str) -> StorageError | None:
    return StorageError(f"{uri}: broken", "unavailable", True) if isinstance(error, OSError) else None


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; none takes time."""
    made: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", made.append)
    return made


def test_retryable_errors_are_tried_again() -> None:
    operation = Operation(busy(), ConnectionResetError(), busy())
    assert retried("s3://b/x", operation, explain) == "done"
    assert operation.calls == 4


def test_final_errors_are_raised_at_once() -> None:
    operation = Operation(StorageError("s3://b/x: there is no such file", "not_found"))
    with pytest.raises(StorageError, match="no such file"):
        retried("s3://b/x", operation, explain)
    assert operation.calls == 1


def test_a_changed_file_is_not_tried_again() -> None:
    operation = Operation(StorageError("s3://b/x: changed while it was read", "changed", True))
    with pytest.raises(StorageError, match="changed"):
        retried("s3://b/x", operation, explain)
    assert operation.calls == 1


def test_errors_that_are_not_about_storage_pass_through() -> None:
    operation = Operation(KeyError("a mistake of ours"))
    with pytest.raises(KeyError):
        retried("s3://b/x", operation, explain)
    assert operation.calls == 1


def test_pauses_are_random_and_grow_to_a_limit(pauses: list[float]) -> None:
    retried("s3://b/x", Operation(*(busy() for _ in range(200))), explain)
    assert max(pauses[:1]) <= retry.FIRST_PAUSE_SECONDS
    assert all(pause <= retry.LONGEST_PAUSE_SECONDS for pause in pauses)
    assert len(set(pauses)) > 190


def test_trying_ends_after_the_configured_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSCAPS_RETRY_SECONDS", "0.05")
    operation = Operation(*(busy() for _ in range(100)))
    with pytest.raises(StorageError, match="throttles requests") as caught:
        retried("s3://b/x", operation, explain)
    assert caught.value.retryable
    assert operation.calls < 100
