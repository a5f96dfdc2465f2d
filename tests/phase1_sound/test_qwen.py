"""Qwen2.5-VL through the engine's real path: a tiny random model of the same architecture, built and saved here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch", reason='needs pip install "photone[models]"')
pytest.importorskip("transformers")
pytest.importorskip("llguidance")
pytest.importorskip("qwen_vl_utils")

from core.errors import EngineError, PictureError, SceneError  # noqa: E402  (after the skips)
from phase1_sound.vision import VISION_ENGINES  # noqa: E402
from phase1_sound.vision.answers import AnswerShape, Frame, answer_schema  # noqa: E402
from phase1_sound.vision.asking import Question, Reply  # noqa: E402
from phase1_sound.vision.engines.qwen import QwenOptions, QwenVision  # noqa: E402
from phase1_sound.vision.engines.qwen.decoding import matcher  # noqa: E402
from phase1_sound.vision.engines.qwen.engine import batches  # noqa: E402
from phase1_sound.vision.engines.qwen.model import Place, Prompt, QwenModel, loaded, memory_problem  # noqa: E402
from phase1_sound.vision.prompt import PromptOptions, example, instructions  # noqa: E402
from phase1_sound.vision.protocol import VisionRequest  # noqa: E402
from schemas.document import schema_problem  # noqa: E402
from schemas.effect import EngineRecord  # noqa: E402
from schemas.scene import Scene  # noqa: E402

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Short texts keep the tests fast: a random model uses up every character that it may.
SHORT = AnswerShape(max_sources=3, max_variants=2, max_timbres=2, sentence=24, phrase=18, word=8)
BLOCK = 28 * 28


def save_tiny_model(folder: Path) -> None:
    """A random Qwen2.5-VL of some 175,000 parameters with a byte-level tokenizer that knows our prompt's words."""
    processor = tiny_processor()
    ids = {name: processor.tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    tiny_model(len(processor.tokenizer), processor.tokenizer.pad_token_id, ids).save_pretrained(folder)
    processor.save_pretrained(folder)


def tiny_processor() -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import Qwen2_5_VLProcessor, Qwen2Tokenizer, Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    trained = ByteLevelBPETokenizer()
    # Without the words that the rules forbid: a random model would say them as readily as others.
    text = instructions(PromptOptions(frozenset({"banned", "mapping"})), Frame(840, 560))
    trained.train_from_iterator([text, text], vocab_size=1200, min_frequency=2, special_tokens=["<|endoftext|>"])
    model = json.loads(trained._tokenizer.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        extra_special_tokens=SPECIAL,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    return Qwen2_5_VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=TEMPLATE)


def tiny_model(vocabulary: int, pad: int, ids: dict[str, int]) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    ends = {"eos_token_id": ids["<|im_end|>"], "pad_token_id": pad, "bos_token_id": None}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text |= {"num_key_value_heads": 2, "vocab_size": vocabulary + 9, "max_position_embeddings": 32768}
    text |= {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6}}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    config = Qwen2_5_VLConfig(
        text_config=text | ends,
        vision_config=vision | {"fullatt_block_indexes": [1]},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    # Fresh logits are nearly flat: sharper ones make what is written hang on all that stands before.
    with torch.no_grad():
        model.lm_head.weight *= 20
    # The settings that the real model comes with: the engine's own must win over them.
    theirs = {"do_sample": True, "temperature": 1e-6, "top_k": 1, "repetition_penalty": 1.3}
    model.generation_config.update(eos_token_id=[ids["<|im_end|>"], pad], **theirs)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # nothing here is worth a second one
    path = tmp_path_factory.mktemp("weights")
    save_tiny_model(path)
    yield path
    torch.set_num_threads(threads)
    loaded.cache_clear()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[VisionRequest]:
    """Twenty pictures of different content and size."""
    path, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    requests = []
    for number in range(20):
        pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        file = path / f"{number}.jpg"
        Image.fromarray(pixels).resize((60 + 7 * number, 80)).save(file)
        requests.append(VisionRequest(file, lambda text: None))
    return requests


def options(folder: Path, **rest: Any) -> QwenOptions:
    small = {"min_pixels": 4 * BLOCK, "max_pixels": 12 * BLOCK, "max_tokens": 1200, "batch": 20, "shape": SHORT}
    return QwenOptions(model=str(folder), **{"temperature": 1.0, **small, **rest})


class Spy:
    """Passes prompts on to the model, or answers by itself, and remembers both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, text: str | None = None) -> None:
        self.batches: list[list[Prompt]] = []
        self.replies: list[Reply] = []
        real = QwenModel.answer

        def answer(model: QwenModel, prompts: Sequence[Prompt], *rest: float) -> list[Reply]:
            self.batches.append(list(prompts))
            made = real(model, prompts, *rest) if text is None else [Reply(text)] * len(prompts)
            self.replies += made
            return made

        monkeypatch.setattr(QwenModel, "answer", answer)


def test_twenty_of_twenty_pictures_give_a_valid_scene_at_temperature_1(
    folder: Path, pictures: list[VisionRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch)
    results = QwenVision(options(folder)).describe_many(pictures)
    assert [type(result) for result in results] == [Scene] * 20
    assert all(schema_problem("scene", result.to_value()) is None for result in results)
    prompts = [prompt for batch in spy.batches for prompt in batch]
    for prompt, reply in zip(prompts, spy.replies, strict=True):  # those that broke a semantic rule, too
        assert not reply.cut_off
        jsonschema.validate(json.loads(reply.text), prompt.schema)
    assert len({reply.text for reply in spy.replies}) == len(spy.replies)


def test_without_the_constraint_no_picture_gives_one(
    folder: Path, pictures: list[VisionRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch)
    free = options(folder, constrain=False, max_tokens=300, most_tokens=300)
    results = QwenVision(free).describe_many(pictures)
    assert [type(result) for result in results] == [SceneError] * 20
    # Nor do pieces of its text hold one: it was not only cut off.
    texts = [reply.text for reply in spy.replies]
    assert not any(text.lstrip().startswith("{") for text in texts)


def test_a_picture_gives_the_same_alone_as_among_others(folder: Path, pictures: list[VisionRequest]) -> None:
    engine = QwenVision(options(folder, batch=3))
    together = engine.describe_many(pictures[:5])
    assert [engine.describe(picture) for picture in pictures[:5]] == together


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_batch_writes_what_single_prompts_write(
    folder: Path, pictures: list[VisionRequest], temperature: float
) -> None:
    engine = QwenVision(options(folder, temperature=temperature))
    model = loaded(folder, engine._place)
    prompts = []
    for picture in pictures[:4]:
        shown = engine._shown(picture)
        prompts.append(engine._prompt(Question(0, engine.options.frame(*shown.image.size), 800), shown))
    assert len({prompt.image.size for prompt in prompts}) > 1
    together = model.answer(prompts, temperature, 1.05)
    assert [model.answer([prompt], temperature, 1.05)[0] for prompt in prompts] == together
    assert not any(reply.cut_off for reply in together)


def test_the_seed_decides(folder: Path, pictures: list[VisionRequest]) -> None:
    one, again, other = (QwenVision(options(folder, seed=seed)).describe(pictures[0]) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_a_cut_off_answer_is_written_again_with_more_room(
    folder: Path, pictures: list[VisionRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch)
    QwenVision(options(folder, max_tokens=60, most_tokens=960)).describe(pictures[0])
    assert [reply.cut_off for reply in spy.replies] == [*[True] * (len(spy.replies) - 1), False]
    assert [each[0].max_tokens for each in spy.batches] == [60, 120, 240, 480, 960][: len(spy.batches)]
    assert len(spy.batches) > 2


def test_the_table_loads_it_by_its_folder(folder: Path, pictures: list[VisionRequest]) -> None:
    spec = f"qwen:{folder}?min_pixels=3136&max_pixels=9408&max_tokens=32&most_tokens=64&dtype=bfloat16"
    assert VISION_ENGINES.readiness(spec).problem is None
    engine = VISION_ENGINES.load(spec)
    assert engine.info.options["dtype"] == "bfloat16"
    with pytest.raises(SceneError, match=r"0\.jpg: the answer was cut off at 64 tokens: try \?most_tokens=128"):
        engine.describe(pictures[0])


def test_what_decides_the_answer_is_recorded(folder: Path) -> None:
    info = QwenVision(options(folder)).info
    assert (info.name, len(info.weights_sha256 or "")) == ("qwen", 64)
    EngineRecord.of(info).model_dump_json()
    assert info.options["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert str(folder.parent) not in json.dumps(dict(info.options))
    assert info == QwenVision(options(folder, batch=1)).info
    for other in ({"temperature": 0.5}, {"seed": 1}, {"max_pixels": 8 * BLOCK}, {"boxes": "off"}, {"without": "words"}):
        assert info != QwenVision(options(folder, **other)).info


def test_boxes_are_shares_of_the_picture_as_the_model_sees_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wide.jpg"
    Image.new("RGB", (1000, 500)).save(path)
    value = example(PromptOptions(), Frame(224, 112))
    for source in value["sound_sources"]:
        source["bbox_2d"] = [56, 28, 112, 56]
    spy = Spy(monkeypatch, json.dumps(value))
    scene = QwenVision(options(folder, max_pixels=32 * BLOCK)).describe(VisionRequest(path))
    assert spy.batches[0][0].image.size == (224, 112)
    assert "224 x 112 pixels" in spy.batches[0][0].messages[1]["content"][1]["text"]
    assert [source.box for source in scene.sound_sources] == [[0.25, 0.25, 0.5, 0.5]] * 3


def test_a_failed_answer_is_asked_for_again_with_the_same_picture(
    folder: Path, pictures: list[VisionRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch, "{}")
    with pytest.raises(SceneError, match="3 answers were no scene"):
        QwenVision(options(folder)).describe(pictures[0])
    assert [len(each[0].messages) for each in spy.batches] == [2, 4, 6]
    assert len({each[0].seed for each in spy.batches}) == 3
    assert len({each[0].image.tobytes() for each in spy.batches}) == 1


def test_a_second_chat_turn_goes_through_the_model(folder: Path, pictures: list[VisionRequest]) -> None:
    """A shape of at least two sources only: five variants are missing, so the model is asked again."""
    few = replace(SHORT, min_sources=1, max_sources=1)
    with pytest.raises(SceneError, match="2 variants in all: at least 5"):
        QwenVision(options(folder, shape=few)).describe(pictures[0])


def test_a_broken_picture_takes_its_own_place_only(folder: Path, pictures: list[VisionRequest], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    Image.new("RGB", (1000, 2)).save(tmp_path / "thread.jpg")
    broken, thread = VisionRequest(tmp_path / "broken.jpg"), VisionRequest(tmp_path / "thread.jpg")
    engine = QwenVision(options(folder))
    results = engine.describe_many([broken, pictures[0], thread, pictures[1]])
    assert [type(result) for result in results] == [PictureError, Scene, PictureError, Scene]
    assert "thread.jpg: too narrow for Qwen2.5-VL" in str(results[2])
    with pytest.raises(PictureError, match=r"broken\.jpg"):
        engine.describe(broken)
    assert engine.describe_many([]) == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_fuzzed_answers_are_scene_errors(
    folder: Path, pictures: list[VisionRequest], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    Spy(monkeypatch, text)
    with pytest.raises(SceneError):
        QwenVision(options(folder)).describe(pictures[0])


@pytest.mark.parametrize("unit", ["pixels", "thousandths", "off"])
@pytest.mark.parametrize("without", [frozenset(), frozenset({"evidence"})])
def test_the_whole_schema_can_be_followed(folder: Path, unit: Any, without: frozenset[str]) -> None:
    """The example, written as the prompt shows it, is a path through the constraint of full size."""
    model, frame = loaded(folder, Place("cpu", "float32")), Frame(840, 560, unit)
    schema = answer_schema(AnswerShape(), frame, "evidence" not in without)
    text = json.dumps(example(PromptOptions(without), frame), separators=(",", ":"))
    tokens = model._processor.tokenizer(text)["input_ids"]
    follower = matcher(model._grammar_tokenizer, schema)
    assert follower.validate_tokens(tokens) == len(tokens)
    follower.consume_tokens(tokens)
    assert follower.is_accepting()
    wrong = model._processor.tokenizer(text.replace("scene_description", "scene", 1))["input_ids"]
    assert matcher(model._grammar_tokenizer, schema).validate_tokens(wrong) < 5


def test_a_schema_that_cannot_be_followed_is_an_error(folder: Path) -> None:
    model = loaded(folder, Place("cpu", "float32"))
    with pytest.raises(EngineError, match="cannot be used for decoding"):
        matcher(model._grammar_tokenizer, {"type": "string", "pattern": "(?=x)"})


def test_batches_hold_questions_of_one_limit() -> None:
    questions = [Question(number, Frame(1, 1), limit) for number, limit in enumerate([10, 20, 10, 10, 20])]
    found = [[question.number for question in batch] for batch in batches(questions, 2)]
    assert found == [[0, 2], [3], [1, 4]]


def copied(folder: Path, to: Path) -> Path:
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_other_weights_have_another_hash(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path)
    assert QwenVision(options(copy)).info.weights_sha256 == QwenVision(options(folder)).info.weights_sha256
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert QwenVision(options(copy)).info.weights_sha256 != QwenVision(options(folder)).info.weights_sha256


def test_damaged_weights_are_an_error(folder: Path, tmp_path: Path, pictures: list[VisionRequest]) -> None:
    copy = copied(folder, tmp_path)
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EngineError, match="the model failed"):
        QwenVision(options(copy)).describe(pictures[0])


def test_weights_that_lack_a_part_are_an_error(folder: Path, tmp_path: Path, pictures: list[VisionRequest]) -> None:
    """transformers would put random numbers in its place and say so in its log only."""
    from safetensors.torch import load_file, save_file

    copy = copied(folder, tmp_path)
    tensors = load_file(copy / "model.safetensors")
    lost = next(name for name in tensors if name.endswith("q_proj.weight"))
    save_file({n: t for n, t in tensors.items() if n != lost}, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match="1 weights are missing or of another shape"):
        QwenVision(options(copy)).describe(pictures[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: (path / "model.safetensors").unlink(), r"lacks model\.safetensors .*choose another folder"),
        (lambda path: (path / "config.json").unlink(), r"lacks config\.json"),
        (lambda path: (path / "config.json").write_text("{"), r"config\.json: cannot be read"),
        (
            lambda path: (path / "config.json").write_text('{"model_type": "llava"}'),
            "holds a 'llava', not a qwen2_5_vl",
        ),
    ],
)
def test_a_folder_without_a_model_is_refused_before_any_work(
    folder: Path, tmp_path: Path, change: Any, message: str
) -> None:
    copy = copied(folder, tmp_path)
    change(copy)
    with pytest.raises(EngineError, match=message):
        QwenVision(options(copy))
    assert VISION_ENGINES.readiness(f"qwen:{copy}").problem is not None


def test_missing_weights_name_their_size_licence_and_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    message = r"VL-3B-Instruct lacks all weights \(about 7.5 GB, Qwen Research .*\): photone engines --fetch qwen:3B"
    with pytest.raises(EngineError, match=message):
        VISION_ENGINES.load("qwen:3B")
    problem = VISION_ENGINES.readiness("qwen").problem or ""
    assert problem.endswith(
        "Qwen/Qwen2.5-VL-7B-Instruct lacks all weights (about 16.6 GB, Apache-2.0; wants about 20 GB of GPU memory): "
        "photone engines --fetch qwen:7B"
    )
    assert list(tmp_path.iterdir()) == []


def test_readiness_says_with_what_it_runs(folder: Path) -> None:
    found = QwenVision.readiness(f"{folder}?device=cpu")
    assert found.problem is None
    assert "GB of weights, licence unknown, on cpu in float32" in found.detail


def test_memory_that_is_too_small_is_told() -> None:
    place = Place("cpu", "bfloat16")
    assert memory_problem(place, 1_000_000) is None
    problem = memory_problem(place, 10**15)
    assert problem is not None
    assert problem.startswith("qwen needs about 1200000 GB of memory on cpu, which has ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
@pytest.mark.parametrize(
    ("device", "quantize", "message"),
    [
        ("cuda", "no", "torch finds no CUDA here"),
        ("cuda:1", "no", "device=cuda:1, and torch finds no CUDA"),
        ("spread", "no", "torch finds no CUDA here"),
        ("auto", "4bit", "quantize=4bit needs CUDA and bitsandbytes"),
    ],
)
def test_a_device_that_is_not_there_is_refused(folder: Path, device: str, quantize: Any, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        QwenVision(options(folder, device=device, quantize=quantize))


def test_nothing_is_said_on_standard_error(
    folder: Path, pictures: list[VisionRequest], capfd: pytest.CaptureFixture[str]
) -> None:
    loaded.cache_clear()
    QwenVision(options(folder)).describe(pictures[0])
    assert capfd.readouterr() == ("", "")
