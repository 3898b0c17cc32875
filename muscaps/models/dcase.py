"""The DCASE 2020 audio captioning baseline, which the paper compares with (paper section IV-C1, Table I).

Three bidirectional GRUs with residual connections read log-mel frames. Their output at the last frame is the only
input of the decoder, the same at every step: one GRU and a linear layer, without alignment and without feedback of
words (Drossos et al., DCASE 2020 Challenge, task 6 baseline). It is a `CaptionNetwork` like the MusCaps models, so
the same commands train, decode and evaluate it.

Departs from the published baseline: 16 kHz and one excerpt of 30 s per track, as the paper ran it, so that 1024
and 512 samples are 64 and 32 ms; frames are made in blocks of 1.024 s, whose outermost frames see a mirrored
edge; padding is skipped, so a caption does not depend on what shares its batch. The paper calls the decoder
bidirectional; the published code's is not, and this one follows the code.
"""

import torch
import torchaudio
from torch import Tensor, nn

from muscaps.config import LOG_MEL_FRAMES, ModelConfig
from muscaps.models.caption_model import CaptionNetwork, DecoderState, EncodedAudio
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.spectrograms import SAMPLE_RATE

N_FFT = 1024  # 1024 / 16 000 Hz = 64 ms windows
HOP_LENGTH = 512  # 512 / 16 000 Hz = 32 ms between frames
N_MELS = 64
EXCERPT_CHUNKS = 29  # 29 x 1.024 s = 29.7 s, within the baseline's 15 to 30 s
MIN_MAGNITUDE = 2.0**-52  # the floor under the logarithm: double precision's epsilon


class LogMelFrames(FeatureExtractor):
    """Waveform to log-mel frames, a chunk's frames laid side by side as its feature. It has no weights.

    `frames_per_step` frames are averaged to one, which shortens the sequences that the GRUs read.
    """

    def __init__(self, frames_per_step: int = 1) -> None:
        super().__init__()
        self.steps_per_chunk = LOG_MEL_FRAMES // frames_per_step
        self.variant = "" if frames_per_step == 1 else f"means of {frames_per_step} frames"
        self.chunk_seconds = LOG_MEL_FRAMES * HOP_LENGTH / SAMPLE_RATE
        self.feature_dim = self.steps_per_chunk * N_MELS
        self.spectrogram = torchaudio.transforms.MelSpectrogram(
            sample_rate=SAMPLE_RATE,
            n_fft=N_FFT,
            hop_length=HOP_LENGTH,
            n_mels=N_MELS,
            power=1.0,
            norm="slaney",
            mel_scale="slaney",
        )

    def from_spectrogram(self, spectrogram: Tensor) -> Tensor:
        """Turn magnitudes, (batch, mels, frames), into natural logarithms, (batch, steps * mels)."""
        frames = spectrogram[..., :LOG_MEL_FRAMES].clamp(min=MIN_MAGNITUDE).log()
        steps = frames.reshape(*frames.shape[:2], self.steps_per_chunk, -1).mean(dim=3)
        return steps.transpose(1, 2).flatten(1)  # (batch, mels, steps) -> (batch, steps * mels)


class BidirectionalGRU(nn.Module):
    """Two GRUs over a sequence, one from each end, skipping padding.

    torch can do this with packed sequences, but their backward pass on a CPU takes 43 s where this takes 0.7
    (batch of 16, 928 frames, 256 units).
    """

    def __init__(self, in_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.ahead = nn.GRU(in_dim, hidden_dim, batch_first=True)
        self.back = nn.GRU(in_dim, hidden_dim, batch_first=True)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Read real frames from both ends.

        Args:
            inputs: Sequences, (batch, frames, in); real frames come first.
            lengths: Real frames of each, (batch,).

        Returns:
            Both readings side by side, (batch, frames, 2 * hidden); undefined on padding.
        """
        places = torch.arange(inputs.shape[1], device=inputs.device)
        mirrored = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
        rows = torch.arange(len(inputs), device=inputs.device)[:, None]
        back = self.back(inputs[rows, mirrored])[0][rows, mirrored]
        return torch.cat([self.ahead(inputs)[0], back], dim=-1)


class DcaseBaseline(CaptionNetwork):
    """Three bidirectional GRUs read the audio and one GRU writes the caption; `hidden_dim` units each."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden = config.hidden_dim
        self.config = config
        frames = LogMelFrames(config.extractor.frames_per_step)
        self.feature_extractor, self._steps_per_chunk = frames, frames.steps_per_chunk
        self.encoder = nn.ModuleList(BidirectionalGRU(width, hidden) for width in (N_MELS, 2 * hidden, 2 * hidden))
        self.decoder = nn.GRUCell(2 * hidden, hidden)
        self.output = nn.Linear(hidden, config.vocabulary_size)
        self.regularise = nn.Dropout(config.dropout)
        self.dropout = nn.Identity()  # not applied: training replaces it for every CaptionNetwork

    @property
    def embedding_dim(self) -> int:
        """Width of the audio embedding of a track: one hidden state for each direction."""
        return 2 * self.config.hidden_dim

    def encode(self, features: Tensor, mask: Tensor) -> EncodedAudio:
        """Read an excerpt of each track: random while training, else from its middle; runs once per track.

        Args:
            features: Log-mel frames as chunk features, (batch, chunks, feature); real chunks come first.
            mask: True where a chunk is real audio, (batch, chunks).

        Raises:
            ValueError: A track has no real chunk.
        """
        counts = mask.sum(dim=1)
        if not bool(counts.all()):
            raise ValueError("every track needs at least one real chunk")
        chunks, counts = self._excerpt(features, counts)
        frames = chunks.reshape(len(chunks), -1, N_MELS)  # (batch, chunks, feature) -> (batch, steps, mels)
        lengths = counts * self._steps_per_chunk
        first, *others = self.encoder
        hidden = self.regularise(first(frames, lengths))
        for layer in others:
            hidden = hidden + self.regularise(layer(hidden, lengths))
        return EncodedAudio(hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1])

    def _excerpt(self, features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Cut every track to `EXCERPT_CHUNKS`; (batch, chunks, feature) and chunks per track, (batch,)."""
        length = min(EXCERPT_CHUNKS, int(counts.max()))
        spare = (counts - length).clamp(min=0)
        starts = (torch.rand(len(counts), device=counts.device) * (spare + 1)).long() if self.training else spare // 2
        columns = starts[:, None] + torch.arange(length, device=counts.device)
        rows = torch.arange(len(counts), device=counts.device)[:, None]
        return features[rows, columns], counts.clamp(max=length)

    def start(self, encoded: EncodedAudio) -> DecoderState:
        """Return the state before the first word: zeros."""
        zeros = encoded.embedding.new_zeros(len(encoded.embedding), self.config.hidden_dim)
        unused = zeros[:, :0]
        return DecoderState(unused, unused, zeros, unused)

    def decoder_input(self, audio: Tensor, word_ids: Tensor) -> Tensor:
        """Return the input of a step, (batch, 2 * hidden): the audio embedding; `word_ids` has no effect."""
        return audio

    def step(self, encoded: EncodedAudio, state: DecoderState, word_ids: Tensor) -> tuple[Tensor, DecoderState]:
        """Predict the next word, (batch * beams, vocab), and return it with the new state. `word_ids` has no effect."""
        per_track = len(state.decoder_hidden) // len(encoded.embedding)
        audio = encoded.embedding.repeat_interleave(per_track, dim=0)
        hidden = self.decoder(self.decoder_input(audio, word_ids), state.decoder_hidden)
        return self.output(hidden).log_softmax(dim=-1), state._replace(decoder_hidden=hidden)

    def forward(self, features: Tensor, mask: Tensor, word_ids: Tensor) -> Tensor:
        """Predict as many words as `word_ids` has steps.

        Args:
            features: Log-mel frames as chunk features, (batch, chunks, feature).
            mask: True where a chunk is real audio, (batch, chunks).
            word_ids: Captions from `<sos>`, (batch, steps); only their length matters.

        Returns:
            Logits for the word after each step, (batch, steps, vocab).
        """
        encoded = self.encode(features, mask)
        hidden, steps = self.start(encoded).decoder_hidden, []
        for words in word_ids.unbind(dim=1):
            hidden = self.decoder(self.regularise(self.decoder_input(encoded.embedding, words)), hidden)
            steps.append(hidden)
        logits: Tensor = self.output(torch.stack(steps, dim=1))
        return logits
