"""Configurations: audio, model, decoding and training.

Conventions: frozen, keyword-only dataclasses; units are in the names; a checkpoint's model card holds
`AudioConfig` and `ModelConfig` as JSON and the model is rebuilt from that card alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

ExtractorName = Literal["musicnn", "musicnn_original", "hcnn", "log_mel", "combined"]
LayersName = Literal["penultimate", "maxima", "maxima_means"]
FusionName = Literal["early", "late", "attention", "dcase"]
Precision = Literal["float32", "tf32", "bfloat16"]
"""Number format of the feature extractor's multiplications. Spectrograms and the search are always float32."""


def check_precision(precision: str) -> None:
    """Raise ValueError for a precision that is not known."""
    if precision not in get_args(Precision):
        raise ValueError(f"precision must be {' or '.join(get_args(Precision))}, not {precision!r}")


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """How a track becomes chunks (paper section III-B)."""

    sample_rate: int = 16_000
    """Samples per second of the mono signal that the feature extractors read."""
    chunk_seconds: float = 3.0
    """Length of one chunk in seconds: 3 for musicnn, 5 for Harmonic CNN."""

    def __post_init__(self) -> None:
        if self.sample_rate <= 0:
            raise ValueError(f"sample_rate must be positive, not {self.sample_rate}")
        if not 0.5 <= self.chunk_seconds <= 60:
            raise ValueError(f"chunk_seconds must lie in 0.5 to 60, not {self.chunk_seconds}")

    @property
    def chunk_samples(self) -> int:
        """Samples in one chunk, e.g. 3 s x 16 000 Hz = 48 000."""
        return round(self.chunk_seconds * self.sample_rate)


LOG_MEL_FRAMES = 32
"""Frames of a chunk of the DCASE baseline, 1.024 s."""


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig:
    """An audio feature extractor: the convolutional part of a music tagger (paper section III-B)."""

    name: ExtractorName = "musicnn"
    """Architecture: `musicnn` (as the MusCaps program has it), `musicnn_original` (as its authors published it), `hcnn`
    (Harmonic CNN), `log_mel` (bare frames, for the DCASE baseline) or `combined` (several side by side)."""
    num_channels: int = 64
    """Channels of the back end: musicnn 64 (MagnaTagATune) or 512 (MSD); Harmonic CNN 128."""
    frontend_scale: float = 1.0
    """musicnn only: scales the published front end's 204 vertical and 51 horizontal filters."""
    layers: LayersName = "penultimate"
    """musicnn_original only: a chunk's feature is the 200 units before the tags (`penultimate`), the 753 maxima over
    time (`maxima`), or maxima and means in turns (`maxima_means`)."""
    frames_per_step: int = 1
    """log_mel only: frames of 32 ms that are averaged to one step of the baseline's GRUs; a divisor of
    `LOG_MEL_FRAMES`."""
    parts: "tuple[ExtractorConfig, ...]" = ()
    """combined only: the extractors, in the order of their features."""

    def __post_init__(self) -> None:
        if self.name not in get_args(ExtractorName):
            raise ValueError(f"extractor name must be one of {', '.join(get_args(ExtractorName))}, not {self.name!r}")
        if self.layers not in get_args(LayersName):
            raise ValueError(f"layers must be one of {', '.join(get_args(LayersName))}, not {self.layers!r}")
        if self.layers != "penultimate" and self.name != "musicnn_original":
            raise ValueError(f"layers={self.layers!r} means nothing with name={self.name!r}")
        if (self.name == "combined") != bool(self.parts):
            raise ValueError(f"name={self.name!r} does not go with {len(self.parts)} parts")
        if any(part.name not in ("musicnn", "musicnn_original") for part in self.parts):
            raise ValueError("only musicnn and musicnn_original can be parts of a combined extractor")
        if self.num_channels < 1:
            raise ValueError(f"num_channels must be at least 1, not {self.num_channels}")
        if self.frames_per_step < 1 or LOG_MEL_FRAMES % self.frames_per_step:
            raise ValueError(f"frames_per_step must be a divisor of {LOG_MEL_FRAMES}, not {self.frames_per_step}")
        if self.name != "log_mel" and self.frames_per_step != 1:
            raise ValueError(f"frames_per_step={self.frames_per_step} means nothing with name={self.name!r}")
        if not 0 < self.frontend_scale <= 4:
            raise ValueError(f"frontend_scale must lie in (0, 4], not {self.frontend_scale}")
        if self.name != "musicnn" and self.frontend_scale != 1.0:
            raise ValueError(
                f"frontend_scale={self.frontend_scale} means nothing with name={self.name!r}; leave it at 1"
            )

    @classmethod
    def from_card(cls, fields: Mapping[str, Any]) -> "ExtractorConfig":
        """Read a configuration from a model card, where parts are nested objects.

        Raises:
            TypeError: A field is not known.
            ValueError: The fields do not go together.
        """
        parts = tuple(cls.from_card(part) for part in fields.get("parts", ()))
        return cls(**{**fields, "parts": parts})


LOG_MEL = ExtractorConfig(name="log_mel")
"""The front end of the DCASE baseline."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The captioner around the extractor (paper section III)."""

    extractor: ExtractorConfig = ExtractorConfig()
    """The feature extractor."""
    fusion: FusionName = "early"
    """Where audio meets words: `early` (Eq. 2), `late` (Eq. 3) or `attention` (Eq. 4 to 6); `dcase` is the
    baseline of section IV-C1, another model altogether."""
    vocabulary_size: int = 4
    """Words the output layer knows, the four special tokens included."""
    word_embedding_dim: int = 300
    """Width of the frozen word vectors (GloVe: 300)."""
    audio_embedding_dim: int = 256
    """Width of the audio embedding a; starts the decoder LSTM, so equals hidden_dim."""
    hidden_dim: int = 256
    """Hidden units of encoder and decoder LSTM (paper section IV-B)."""
    attention_dim: int = 256
    """Width of the attention's tanh layer (Eq. 4)."""
    dropout: float = 0.25
    """Dropout probability while training (paper section IV-B)."""

    def __post_init__(self) -> None:
        if self.fusion not in ("early", "late", "attention", "dcase"):
            raise ValueError(f"fusion must be 'early', 'late', 'attention' or 'dcase', not {self.fusion!r}")
        if (self.fusion == "dcase") != (self.extractor.name == "log_mel"):
            raise ValueError(
                f"fusion={self.fusion!r} does not go with extractor {self.extractor.name!r}: "
                "the DCASE baseline reads log_mel frames, and nothing else does"
            )
        if self.audio_embedding_dim != self.hidden_dim:
            raise ValueError(
                f"audio_embedding_dim={self.audio_embedding_dim} must equal hidden_dim={self.hidden_dim}: "
                "the audio embedding is the decoder's first state"
            )
        if self.vocabulary_size < 4:
            raise ValueError(f"vocabulary_size={self.vocabulary_size} leaves no room for the 4 special tokens")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {self.dropout}")


MIN_WORDS, MIN_CHARS = 3, 20
"""Smallest limits of words and characters."""


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """How a caption is searched for (paper sections III-E and IV-D4)."""

    beam_size: int = 5
    """Hypotheses kept at every step; 1 is greedy."""
    max_words: int = 22
    """Longest caption in words (paper section IV-B)."""
    word_limit: int | None = None
    """Most words of a caption, which still ends as a sentence: the search looks for one of this length, and nothing is
    cut. None for no limit but `max_words`."""
    char_limit: int | None = None
    """Most characters of a caption, in the same way."""
    num_alternatives: int = 0
    """Other hypotheses to return besides the best, best first; at most beam_size - 1."""
    attention: bool = False
    """Return the attention weights of the caption, where the model attends."""
    segment_seconds: float | None = None
    """Also caption every stretch of this many seconds; None for the whole track only."""
    no_repeated_words: bool | None = None
    """A content word appears at most once per caption; None for the value in the checkpoint's card, there False by
    default."""
    allow_unknown: bool | None = None
    """Captions may contain `<unk>`, as those of the published program; None for the value in the checkpoint's card,
    there False by default."""
    word_reward: float | None = None
    """Nats added per word when hypotheses are compared, against the preference for short captions; None for the value
    in the checkpoint's card, there 0 by default. A caption's log-probability does not contain it."""

    def __post_init__(self) -> None:
        if not 1 <= self.beam_size <= 100:
            raise ValueError(f"beam_size must lie in 1 to 100, not {self.beam_size}")
        if not 1 <= self.max_words <= 200:
            raise ValueError(f"max_words must lie in 1 to 200, not {self.max_words}")
        for name, least in (("word_limit", MIN_WORDS), ("char_limit", MIN_CHARS)):
            limit = getattr(self, name)
            if limit is not None and limit < least:
                raise ValueError(f"{name} must be at least {least}, not {limit}: no sentence is shorter")
            if limit is not None and self.max_words < MIN_WORDS:
                raise ValueError(f"{name} needs max_words of at least {MIN_WORDS}, not {self.max_words}")
        if not 0 <= self.num_alternatives < self.beam_size:
            raise ValueError(
                f"num_alternatives={self.num_alternatives} needs beam_size of at least "
                f"{self.num_alternatives + 1}, not {self.beam_size}"
            )
        if self.segment_seconds is not None and self.segment_seconds <= 0:
            raise ValueError(f"segment_seconds must be positive, not {self.segment_seconds}")
        if self.word_reward is not None and not 0 <= self.word_reward <= 10:
            raise ValueError(f"word_reward must lie in 0 to 10, not {self.word_reward}")

    def with_defaults(self, decoding: Mapping[str, Any]) -> "DecodingOptions":
        """Fill in what is left to the checkpoint.

        Args:
            decoding: The section `decoding` of its card; empty where the card has none.
        """
        defaults: dict[str, Any] = {"no_repeated_words": False, "allow_unknown": False, "word_reward": 0.0}
        gaps = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        found: dict[str, Any] = {name: type(value)(decoding.get(name, value)) for name, value in gaps.items()}
        return replace(self, **found)


PUBLISHED_DECODING: Mapping[str, Any] = {"no_repeated_words": False, "allow_unknown": True, "word_reward": 0.0}
"""Options of a search without constraints and reward, as in the published program."""
TRAINED_DECODING: Mapping[str, Any] = {"no_repeated_words": True, "allow_unknown": False}
"""Section `decoding` in the card of a checkpoint trained here; imported ones have none and may repeat words."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a captioner or tagger is trained; defaults are the paper's (section IV-B)."""

    learning_rate: float = 1e-4
    """Adam's initial learning rate; it falls linearly to zero over `max_epochs`."""
    batch_size: int = 16
    """Examples per optimisation step, over all workers together."""
    max_epochs: int = 200
    """Passes over the training split at most."""
    patience: int = 10
    """Epochs without a better validation score before training stops."""
    max_minutes: float | None = None
    """Stop after this many minutes; None for no limit. A captioner finishes its epoch; a tagger stops within it, its
    learning rate being zero by then."""
    gradient_clip: float = 12.0
    """Largest gradient norm (published code)."""
    seed: int = 0
    """Seeds initial weights, shuffling, dropout and excerpts."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size", "max_epochs", "patience", "gradient_clip"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ValueError(f"max_minutes must be positive, not {self.max_minutes}")
