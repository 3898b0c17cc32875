"""A plain Ray Data script that captions a folder: what a user would write without muscaps' pipeline.

    python plain_ray_data.py FOLDER OUTPUT EFFORT

Read the list of files, decode, caption in actors, write Parquet. It uses muscaps' library for decoding and model, so
that only the engine differs. `peers.py` kills it and starts it again.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2]))


class Caption:
    """Decodes and captions a batch of tracks."""

    def __init__(self, effort: str) -> None:
        import torch

        from muscaps import Captioner
        from pipeline.output.effort import EFFORT_CHUNKS

        torch.set_num_threads(1)
        self._captioner, self._chunks = Captioner.load(), EFFORT_CHUNKS[effort]
        self._only_needed = effort != "thorough"

    def __call__(self, batch: pa.Table) -> pa.Table:
        from muscaps.audio import decode_audio

        tracks = [
            decode_audio(
                path,
                chunk_samples=self._captioner.chunk_samples,
                max_chunks=self._chunks,
                only_needed=self._only_needed,
            ).pcm
            for path in batch["path"].to_pylist()
        ]
        return batch.append_column("caption", [[one.text for one in self._captioner.caption(tracks)]])


def main() -> None:
    import ray
    import ray.data

    folder, output, effort = sys.argv[1:]
    cores = len(os.sched_getaffinity(0))
    here = str(Path(__file__).parents[2])
    ray.init(address="local", num_cpus=cores + 1, logging_level="error", runtime_env={"env_vars": {"PYTHONPATH": here}})
    files: list[dict[str, Any]] = [{"path": str(path)} for path in sorted(Path(folder).glob("*.mp3"))]
    dataset = ray.data.from_items(files).map_batches(
        Caption,
        batch_size=8,
        batch_format="pyarrow",
        fn_constructor_args=(effort,),
        compute=ray.data.ActorPoolStrategy(size=cores),
    )
    dataset.write_parquet(output)


if __name__ == "__main__":
    main()
