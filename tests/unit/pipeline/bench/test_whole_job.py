"""The whole job compared with its ceiling."""

from pipeline.bench.whole_job import JobRun, job_result
from pipeline.captioning import RunSummary


def test_decoding_during_startup_counts_as_work_of_the_job():
    parts = {
        "decode": {"real_time_factor": 1000.0},
        "features": {"real_time_factor": 500.0},
        "search": {"tracks_per_second": 10.0},
    }
    summary = RunSummary(
        run_id="r",
        output="out",
        status="done",
        captioned=50,
        audio_seconds=10_000.0,
        stage_seconds={"decode": 20.0, "feature": 40.0},
        peak_memory_bytes={},
    )
    run = JobRun(summary=summary, startup_seconds=9.0, seconds=36.0, early_audio_seconds=4_000.0, gpu_utilization=None)
    job = job_result(run, parts, on_gpu=False)
    assert (job["seconds"], job["ceiling_seconds"], job["efficiency"]) == (40.0, 35.0, 0.875)
    assert job["real_time_factor"] == 250.0
    assert job["startup_decode_seconds"] == 4.0
