"""corpus.json and card.json: the notes that a timbre model learns from, and what is known of a trained one."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from schemas.document import Document, Part, Role
from schemas.effect import Sha256
from schemas.instrument import MidiKey
from schemas.run import RelativePath

Source = Literal["gm", "nsynth"]
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class CorpusProgram(Part):
    """One instrument of a family: its General MIDI program (0-127), or of NSynth the number of its instrument.

    `held_out`: no note of it is in the split `train` or `valid`.
    """

    program: int = Field(ge=0)
    name: str
    held_out: bool


class CorpusNote(Part):
    """One note, a mono file of its own: `gain_db` was added to bring it to the corpus's loudness."""

    file: RelativePath
    sha256: Sha256
    key: MidiKey
    velocity: MidiKey
    program: int = Field(ge=0)
    split: Split
    duration_s: float = Field(gt=0)
    gain_db: float


class Corpus(Document):
    """A folder of notes of one family; the files lie beside the document.

    `loudness_lufs` is what notes were brought to, under `ceiling_dbtp` (a note with a high peak stays quieter). Notes of
    `held_out_keys` are in the split `test`, whichever program plays them, as is every note of a held-out program;
    `valid_keys` are in `valid`. Of NSynth the two lists are empty: its own split stands.
    """

    schema_name: ClassVar[str] = "timbre-corpus"

    schema_version: Literal[1] = 1
    role: Role
    source: Source
    origin: str = Field(description="The soundfont's file name, or the names of NSynth's parts.")
    origin_sha256: Sha256 = Field(description="Of the soundfont, or of NSynth's examples.json files in a row.")
    licence: str
    sample_rate: int = Field(gt=0)
    loudness_lufs: float
    ceiling_dbtp: float
    options_sha256: Sha256 = Field(description="Of all that was asked for: another request makes another corpus.")
    programs: list[CorpusProgram] = Field(min_length=1)
    held_out_keys: list[MidiKey]
    valid_keys: list[MidiKey]
    notes: list[CorpusNote] = Field(min_length=1)

    def split(self, split: Split) -> list[CorpusNote]:
        """The notes of one split, in the order of the document."""
        return [note for note in self.notes if note.split == split]


class ModelFile(Part):
    """A file of a model's folder."""

    file: RelativePath
    sha256: Sha256
    bytes: int = Field(gt=0)


class NoteCounts(Part):
    """How many notes each split has."""

    train: int = Field(ge=0)
    valid: int = Field(ge=0)
    test: int = Field(ge=0)


class CorpusRecord(Part):
    """What a model was trained on; `train_minutes` is the length of the split `train`.

    `manifest_sha256` is the hash of corpus.json's bytes.
    """

    manifest_sha256: Sha256
    source: Source
    origin: str
    origin_sha256: Sha256
    licence: str
    loudness_lufs: float
    programs: list[CorpusProgram]
    held_out_keys: list[MidiKey]
    valid_keys: list[MidiKey]
    notes: NoteCounts
    train_minutes: float = Field(ge=0)


class ValidationPoint(Part):
    """The spectral distance of the split `valid` after so many steps, and how many latents hold 95 % of the variance."""

    step: int = Field(ge=0)
    phase: Literal[1, 2]
    distance: float
    latents_95: int = Field(ge=0)


class TrainingRecord(Part):
    """How a model was trained. `losses` are means over the last steps, `first_losses` over the first ones.

    Phase 1 learns to reproduce; phase 2 holds the encoder and sharpens the decoder against a discriminator; it began after
    `phase_2_step` steps (None: never reached). `finished` is False where the training was stopped before its last step, by
    a budget of minutes for instance. `elapsed_s` counts the training steps and validations of all sessions.
    """

    preset: str
    options: dict[str, Any]
    steps: int = Field(ge=0)
    phase_2_step: int | None = Field(default=None, ge=0)
    finished: bool
    first_losses: dict[str, float]
    losses: dict[str, float]
    validations: list[ValidationPoint]
    elapsed_s: float = Field(ge=0)
    device: str
    versions: dict[str, str]


class Gate(Part):
    """What `photone eval timbre` measured: `figures` by name, and in `missed` the targets that were not reached."""

    passed: bool
    figures: dict[str, float | int | bool | str | None]
    missed: list[str] = Field(default_factory=list)


class TimbreCard(Document):
    """A trained model: card.json lies beside model.onnx and model.ts.

    Both take mono sound as float32 of shape (1, 1, T) at `sample_rate`, any T > 0, and give (1, 1, T). `onnx` (input
    `audio`, output `audio_out`: ONNX wants two names) pads to a multiple of `hop` and crops by itself, so the caller does
    neither. `ts` (torch.jit.load) has `forward`, which does so too, and `encode` (1, 1, T) -> (1, latents, ceil(T / hop))
    and `decode`, which gives a multiple of `hop`; of the posterior the mean is taken, so the same sound gives the same
    sound. The ONNX weights are stored as float16 where `onnx_weights` says so (else that would have changed the sound) and
    computed with as float32. `onnx_error` is the largest difference of the ONNX to torch in parts of the peak, measured on
    export. `parameters` counts encoder and decoder.
    """

    schema_name: ClassVar[str] = "timbre-card"

    schema_version: Literal[1] = 1
    photone_version: str
    role: Role
    sample_rate: int = Field(gt=0)
    hop: int = Field(gt=0)
    latents: int = Field(gt=0)
    parameters: int = Field(gt=0)
    padding: Literal["inside"] = "inside"
    onnx: ModelFile
    onnx_weights: Literal["float16", "float32"]
    onnx_error: float = Field(ge=0)
    ts: ModelFile
    licence: str
    corpus: CorpusRecord
    training: TrainingRecord
    gate: Gate | None = None

    def with_gate(
        self, passed: bool, figures: dict[str, float | int | bool | str | None], missed: list[str] | None = None
    ) -> Self:
        """The same card with the gate's verdict and figures (no NaN, no infinity)."""
        gate = Gate(passed=passed, figures=dict(figures), missed=list(missed or []))
        return self.model_copy(update={"gate": gate})
