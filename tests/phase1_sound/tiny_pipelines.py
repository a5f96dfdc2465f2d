"""Random text-to-audio pipelines of the real architectures, small enough to be built, saved and loaded in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import ByteLevelBPETokenizer

WORDS = (
    "tapped with a spoon of cup, made of ceramic, bright, ringing sound, on a table, close-up field recording, clear, "
    "high quality, low quality, average quality, distortion, music, melody, musical instrument, speech, voice, singing "
    "rain falling on the roof, water dripping into a bucket, wind blowing through leaves, dry, hollow, scraped, knocked"
)


def save_audioldm2(folder: Path) -> None:
    """A random AudioLDM2 of some 300,000 parameters, laid out as cvssp/audioldm2 is: its index names GPT2Model."""
    torch.manual_seed(0)
    parts = {**_audioldm2_text(), **_audioldm2_sound()}
    pipeline = diffusers.AudioLDM2Pipeline(
        **parts,
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.0015,
            beta_end=0.0195,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
    )
    pipeline.save_pretrained(folder)
    index = folder / "model_index.json"
    names = json.loads(index.read_text())
    names["language_model"] = ["transformers", "GPT2Model"]
    index.write_text(json.dumps(names))


def _audioldm2_text() -> dict[str, Any]:
    roberta = roberta_tokenizer()
    text = transformers.ClapTextConfig(
        vocab_size=len(roberta),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=514,
        projection_dim=16,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    audio = transformers.ClapAudioConfig(
        spec_size=64,
        num_mel_bins=64,
        window_size=4,
        hidden_size=16,
        patch_size=4,
        patch_stride=[4, 4],
        depths=[1, 1],
        num_attention_heads=[2, 2],
        num_hidden_layers=2,
        patch_embeds_hidden_size=8,
        patch_embed_input_channels=1,
        projection_dim=16,
        num_classes=4,
    )
    t5 = t5_tokenizer()
    return {
        "text_encoder": transformers.ClapModel(
            transformers.ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=16)
        ),
        "tokenizer": roberta,
        "feature_extractor": transformers.ClapFeatureExtractor(
            truncation="rand_trunc", hop_length=7900, max_length_s=10, feature_size=64
        ),
        "text_encoder_2": t5_encoder(len(t5)),
        "tokenizer_2": t5,
        "projection_model": diffusers.AudioLDM2ProjectionModel(
            text_encoder_dim=16, text_encoder_1_dim=16, langauge_model_dim=16
        ),
        "language_model": _gpt2(),
    }


def _gpt2() -> Any:
    config = transformers.GPT2Config(
        vocab_size=8, n_positions=512, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=1
    )
    config.max_new_tokens = 8
    return transformers.GPT2LMHeadModel(config)


def _audioldm2_sound() -> dict[str, Any]:
    unet = diffusers.AudioLDM2UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=[[None, 16, 16]] * 2,
        attention_head_dim=4,
        transformer_layers_per_block=1,
    )
    vae = diffusers.AutoencoderKL(
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8, 8),
        latent_channels=4,
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )
    vocoder = transformers.SpeechT5HifiGan(
        transformers.SpeechT5HifiGanConfig(
            model_in_dim=16,
            sampling_rate=16000,
            upsample_initial_channel=16,
            upsample_rates=[5, 4, 4, 2],
            upsample_kernel_sizes=[11, 8, 8, 4],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1, 3, 5]],
            normalize_before=False,
        )
    )
    # transformers' fresh weights give 1e-10 of full scale, and the denoiser's hardly hear the prompt.
    for part in vocoder.modules():
        if isinstance(part, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            part.reset_parameters()
            part.weight.data *= 2
    for name, weights in unet.named_parameters():
        if "attn2.to_v" in name and weights.shape[1] == 16:
            weights.data *= 6
    return {"unet": unet, "vae": vae, "vocoder": vocoder}


def roberta_tokenizer() -> Any:
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator([WORDS, WORDS], vocab_size=500, min_frequency=2, special_tokens=special)
    model = json.loads(trained._tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    return transformers.RobertaTokenizer(vocab=model["vocab"], merges=merges, model_max_length=512)


def t5_tokenizer() -> Any:
    words = sorted({piece for word in WORDS.split() for piece in ("▁" + word.strip(","), *word)})
    letters = [chr(code) for code in range(97, 123)]
    pieces = dict.fromkeys(["<pad>", "</s>", "<unk>", "▁", ",", "-", *words, *letters])
    vocab = [(piece, -float(place)) for place, piece in enumerate(pieces)]
    return transformers.T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=128)


def t5_encoder(vocabulary: int) -> Any:
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=vocabulary, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
        )
    )


def save_stable_audio(folder: Path) -> None:
    """A random Stable Audio 1 of some 20,000 parameters; its scheduler is the one that needs no torchsde."""
    torch.manual_seed(0)
    t5 = t5_tokenizer()
    vae = diffusers.AutoencoderOobleck(
        encoder_hidden_size=4,
        downsampling_ratios=[4, 8, 16],
        channel_multiples=[1, 2, 2],
        decoder_channels=4,
        decoder_input_channels=4,
        audio_channels=2,
        sampling_rate=44100,
    )
    transformer = diffusers.StableAudioDiTModel(
        sample_size=160,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        num_key_value_attention_heads=1,
        cross_attention_dim=16,
        time_proj_dim=16,
        global_states_input_dim=32,
        cross_attention_input_dim=16,
    )
    diffusers.StableAudioPipeline(
        vae=vae,
        text_encoder=t5_encoder(len(t5)),
        projection_model=diffusers.StableAudioProjectionModel(16, 16, 0.0, 47.0),
        tokenizer=t5,
        transformer=transformer,
        scheduler=diffusers.EDMDPMSolverMultistepScheduler(
            sigma_min=0.3, sigma_max=500.0, sigma_data=1.0, sigma_schedule="exponential", prediction_type="v_prediction"
        ),
    ).save_pretrained(folder)


SAME = {
    "audio_channels": 2,
    "patch_size": 64,
    "encoder_channels": 8,
    "encoder_c_mults": (2,),
    "encoder_strides": (8,),
    "encoder_transformer_depths": (1,),
    "latent_dim": 4,
    "dim_heads": 8,
    "sampling_rate": 44100,
}


def gemma_tokenizer() -> Any:
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *sorted({letter for letter in WORDS if letter != " "})]
    vocab = {piece: place for place, piece in enumerate(pieces)}
    return transformers.GemmaTokenizer(vocab=vocab, merges=[], model_max_length=512)


def save_stable_audio_3(folder: Path) -> None:
    """A random Stable Audio 3 of some 100,000 parameters with its re-noising scheduler."""
    torch.manual_seed(0)
    gemma = gemma_tokenizer()
    module = {
        "vocab_size": len(gemma),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "max_position_embeddings": 512,
    }
    config = transformers.T5GemmaConfig(encoder=module, decoder=module, is_encoder_decoder=False, vocab_size=len(gemma))
    vae = diffusers.AutoencoderSAME(**SAME)
    for name, weights in vae.named_parameters():  # a fresh decoder gives the same for everything
        if name.endswith(("out.weight", "new_tokens")):
            weights.data.normal_(0.0, 0.5)
    transformer = diffusers.StableAudio3DiTModel(
        io_channels=vae.config.latent_dim,
        embed_dim=16,
        depth=1,
        num_heads=2,
        cond_token_dim=16,
        global_cond_dim=16,
        local_add_cond_dim=vae.config.latent_dim + 1,
        timestep_features_dim=16,
        num_memory_tokens=2,
    )
    for name, weights in transformer.named_parameters():  # fresh weights hardly hear the prompt
        if "cond_embed" in name or "cross_attn.to" in name:
            weights.data *= 6
    diffusers.StableAudio3Pipeline(
        vae=vae,
        text_encoder=transformers.T5GemmaEncoderModel(config),
        tokenizer=gemma,
        duration_embedder=diffusers.StableAudio3DurationEmbedder(output_dim=16, fourier_dim=16),
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
    ).save_pretrained(folder)
