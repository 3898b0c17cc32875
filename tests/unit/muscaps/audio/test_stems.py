"""A file with several audio streams gives the mixed track."""

import io

import av
import numpy as np
import pytest

from muscaps.audio import decode_audio
from tests.hostile_files import notes
from tests.reference_audio import RATE, likeness

MIX = notes(3.0, 61, RATE)
STEM = notes(3.0, 62, RATE)


def file_of_streams(
    container: str, codec: str, sounds: list[np.ndarray], *, bit_rates: list[int], titles: list[str] | None = None
) -> bytes:
    """Encode one mono stream per sound."""
    data = io.BytesIO()
    with av.open(data, "w", format=container) as output:
        streams = [output.add_stream(codec, rate=RATE, layout="mono") for _ in sounds]
        for number, (stream, rate) in enumerate(zip(streams, bit_rates, strict=True)):
            stream.bit_rate = rate
            if titles:
                stream.metadata["title"] = titles[number]
        for stream, sound in zip(streams, sounds, strict=True):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout="mono")
            frame.sample_rate = RATE
            for piece in (frame, None):
                output.mux(stream.encode(piece))
    return data.getvalue()


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_the_first_stream_wins_over_stems_of_a_higher_bit_rate(container: str) -> None:
    data = file_of_streams(container, "aac", [MIX, *[STEM] * 4], bit_rates=[48_000, *[160_000] * 4])
    decoded = decode_audio(data)
    assert likeness(decoded.pcm, MIX[:, 0]) > 0.9
    assert decoded.damaged is None


def test_a_stream_that_is_called_the_mix_wins_over_the_first() -> None:
    titles = ["Drums", "Bass", "Mix"]
    data = file_of_streams("matroska", "aac", [STEM, STEM, MIX], bit_rates=[96_000] * 3, titles=titles)
    assert likeness(decode_audio(data).pcm, MIX[:, 0]) > 0.9


def test_a_single_stream_is_used_whatever_its_title() -> None:
    data = file_of_streams("matroska", "aac", [MIX], bit_rates=[96_000], titles=["Drums"])
    assert likeness(decode_audio(data).pcm, MIX[:, 0]) > 0.9
