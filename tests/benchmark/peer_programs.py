"""Programs that `peers.py` times, each in a process of its own on one core; imports nothing of muscaps at the top.

    python peer_programs.py NAME FILE...

prints the seconds of the first track, which include imports and start-up, the median seconds and processor seconds of
the others, and the peak memory, as JSON. Programs of other packages run under an interpreter that has them.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

Program = Callable[[str], Any]
"""Processes one audio file."""


def librosa_mel() -> Program:
    """Load a track at 16 kHz and compute 96 mel bands."""
    import librosa

    def program(path: str) -> Any:
        samples, rate = librosa.load(path, sr=16_000)
        return librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=512, n_mels=96))

    return program


def essentia_extractor() -> Program:
    """Compute Essentia's music descriptors: loudness, rhythm, key, spectral statistics; no tags."""
    import essentia
    import essentia.standard

    essentia.log.infoActive = essentia.log.warningActive = False
    return essentia.standard.MusicExtractor()


def musicnn_tensorflow() -> Program:
    """Tag a track with the published package: 50 tags of every 3 s."""
    from musicnn.extractor import extractor

    return lambda path: extractor(path, model="MTT_musicnn", extract_features=False)


def musicnn_plain_torch() -> Program:
    """Run the published network on every 3 s of a track, layer by layer in torch, with the bundled weights."""
    import numpy as np
    import torch

    from muscaps import load_audio
    from muscaps.audio import to_chunks
    from muscaps.checkpoint import checkpoint_path, load_checkpoint
    from muscaps.models.musicnn_original import MusicnnOriginal

    extractor = load_checkpoint(checkpoint_path("bundled")).model.eval().feature_extractor
    network = next(part for part in extractor.modules() if isinstance(part, MusicnnOriginal))

    @torch.inference_mode()
    def program(path: str) -> Any:
        chunks = torch.from_numpy(np.ascontiguousarray(to_chunks(load_audio(path), network.chunk_samples)))
        return torch.cat([network(part) for part in torch.split(chunks, 4)])

    return program


def muscaps_of(effort: str) -> Program:
    """Caption a track with the library, as much of it as an effort reads."""
    from muscaps import Captioner
    from muscaps.audio import decode_audio
    from pipeline.output.effort import EFFORT_CHUNKS

    captioner = Captioner.load()
    max_chunks, only_needed = EFFORT_CHUNKS[effort], effort != "thorough"

    def program(path: str) -> Any:
        audio = decode_audio(
            path, chunk_samples=captioner.chunk_samples, max_chunks=max_chunks, only_needed=only_needed
        )
        return captioner.caption([audio.pcm])

    return program


PROGRAMS: dict[str, Callable[[], Program]] = {
    "muscaps quick": lambda: muscaps_of("quick"),
    "muscaps balanced": lambda: muscaps_of("balanced"),
    "muscaps thorough": lambda: muscaps_of("thorough"),
    "musicnn plain torch": musicnn_plain_torch,
    "musicnn tensorflow": musicnn_tensorflow,
    "essentia extractor": essentia_extractor,
    "librosa load and mel": librosa_mel,
}


def main() -> None:
    name, *files = sys.argv[1:]
    started = time.perf_counter()
    if "torch" in name or "muscaps" in name:
        import torch

        torch.set_num_threads(1)
    program = PROGRAMS[name]()
    program(files[0])
    first = time.perf_counter() - started
    seconds, processor = [], []
    for path in files[1:]:
        began, busy = time.perf_counter(), time.process_time()
        program(path)
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - busy)
    result = {
        "first_track_seconds": round(first, 2),
        "seconds_per_track": round(statistics.median(seconds), 4),
        "processor_seconds_per_track": round(statistics.median(processor), 4),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
