"""An early stop: its reasons, signals and deadline."""

import os
import signal
import threading
import time
from collections import Counter

import pytest

from pipeline.captioning import drain as draining
from pipeline.captioning.drain import MIN_ERROR_SAMPLE, Drain


def test_a_run_without_a_reason_does_not_stop() -> None:
    drain = Drain()
    assert (drain.is_requested, drain.begin(), drain.is_over) == (False, False, False)


def test_the_first_reason_counts() -> None:
    drain = Drain()
    drain.request("first")
    drain.request("second", too_many_failures=True)
    assert (drain.reason, drain.too_many_failures) == ("first", False)


def test_a_drain_begins_once_and_is_over_after_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "DRAIN_SECONDS", 0.05)
    drain = Drain()
    drain.request("enough")
    assert [drain.begin(), drain.begin()] == [True, False]
    assert not drain.is_over
    time.sleep(0.06)
    assert drain.is_over


@pytest.mark.parametrize(("elapsed", "limit", "stops"), [(5.0, None, False), (5.0, 6.0, False), (6.1, 6.0, True)])
def test_the_time_limit_stops_a_run(elapsed: float, limit: float | None, stops: bool) -> None:
    drain = Drain()
    drain.check_runtime(elapsed, limit)
    assert drain.is_requested == stops


@pytest.mark.parametrize(
    ("failed", "attempted", "limit", "stops"),
    [
        (MIN_ERROR_SAMPLE - 1, MIN_ERROR_SAMPLE - 1, 0.2, False),  # too few to judge
        (MIN_ERROR_SAMPLE // 5, MIN_ERROR_SAMPLE, 0.2, False),
        (MIN_ERROR_SAMPLE // 5 + 1, MIN_ERROR_SAMPLE, 0.2, True),
        (MIN_ERROR_SAMPLE, MIN_ERROR_SAMPLE, 1.0, False),
    ],
)
def test_too_many_failures_stop_a_run(failed: int, attempted: int, limit: float, stops: bool) -> None:
    drain = Drain()
    drain.check_failures(failed, attempted, limit, Counter({"fetch/not_found": failed}))
    assert drain.too_many_failures == stops


def test_the_reason_names_the_most_common_failures() -> None:
    drain = Drain()
    drain.check_failures(80, 100, 0.2, Counter({"fetch/not_found": 70, "decode/not_audio": 10}))
    assert drain.reason == ("errors: 80 of 100 tracks failed, more than 20% (fetch/not_found 70, decode/not_audio 10)")


def test_a_signal_requests_a_drain_and_a_second_one_ends_it_at_once() -> None:
    drain = Drain()
    with drain.on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        assert drain.reason == "received SIGTERM"
        assert drain.begin()
        assert not drain.is_over
        os.kill(os.getpid(), signal.SIGINT)
        assert drain.is_over


def test_a_signal_while_ray_starts_ends_the_run_at_once() -> None:
    drain = Drain()
    drain.is_starting = True
    with pytest.raises(SystemExit), drain.on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert drain.reason == "received SIGTERM"


def test_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Drain().on_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_than_the_main_one_handles_no_signals() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def use() -> None:
        with Drain().on_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_wait_ends_when_a_stop_is_requested() -> None:
    drain = Drain()
    threading.Timer(0.1, drain.request, ["enough"]).start()
    started = time.monotonic()
    drain.wait(30)
    assert time.monotonic() - started < 5
