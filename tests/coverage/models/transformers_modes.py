"""Models of transformers over several modes: pictures or sound with words, joined models."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.coverage.models.pictures import Batch, first_output
from tests.coverage.models.tiny import WORDS, adder, given, padded, part, pictures, tiny, tokens
from tests.coverage.registry import Made, Source

MODELS = Source("transformers_modes")
_add = adder(MODELS)


# pictures with words


def captioned(size: int = 32) -> Batch:
    """Pictures with a padded text each, for the contrastive loss."""
    made = padded(tokens(length=8))
    del made["labels"]
    made["input_ids"][:, -1] = 2
    return {**made, "pixel_values": pictures(size=size), "return_loss": True}


TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "projection_dim": 16,
}
TEXT = {
    **TOWER,
    "vocab_size": WORDS,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}
CLIP = {"text_config": TEXT, "vision_config": VISION, "projection_dim": 16}
_add("clip", "pictures and words", "CLIPModel", captioned, **CLIP, ci=True)
_add(
    "siglip",
    "pictures and words",
    "SiglipModel",
    captioned,
    text_config={**TEXT, "projection_size": 32},
    vision_config=VISION,
)
_add("chinese_clip", "pictures and words", "ChineseCLIPModel", captioned, **CLIP)
_add("metaclip_2", "pictures and words", "MetaClip2Model", captioned, **CLIP)
_add(
    "altclip",
    "pictures and words",
    "AltCLIPModel",
    captioned,
    **{**CLIP, "text_config": {**TEXT, "project_dim": 16, "max_position_embeddings": 40}},
)
_add("blip", "pictures and words", "BlipModel", captioned, **CLIP)
_add(
    "blip_caption",
    "pictures and words",
    "BlipForConditionalGeneration",
    lambda: {"pixel_values": pictures(), "input_ids": (ids := tokens()), "labels": ids},
    **{**CLIP, "text_config": {**TEXT, "encoder_hidden_size": 32, "bos_token_id": 1, "sep_token_id": 2}},
)
_add(
    "groupvit",
    "pictures and words",
    "GroupViTModel",
    captioned,
    text_config=TEXT,
    vision_config={**VISION, "depths": [1, 1, 1], "num_group_tokens": [8, 4, 0], "num_output_groups": [8, 4, 4]},
    projection_dim=16,
    projection_intermediate_dim=16,
)
_add("owlvit", "pictures and words", "OwlViTModel", captioned, **CLIP)
_add(
    "clipseg",
    "pictures and words",
    "CLIPSegForImageSegmentation",
    lambda: {"input_ids": tokens(), "pixel_values": pictures(), "labels": torch.rand(2, 32, 32)},
    **CLIP,
    extract_layers=[0, 1],
    reduce_dim=16,
    decoder_num_attention_heads=4,
    decoder_intermediate_size=16,
)
_add(
    "clap",
    "sound and words",
    "ClapModel",
    lambda: {
        "input_ids": tokens(),
        "input_features": torch.randn(2, 1, 64, 16),
        "is_longer": torch.zeros(2, 1, dtype=torch.bool),
        "return_loss": True,
    },
    text_config={**TEXT, "max_position_embeddings": 40},
    audio_config={
        "patch_embeds_hidden_size": 16,
        "spec_size": 32,
        "num_mel_bins": 16,
        "window_size": 4,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "hidden_size": 32,
        "projection_dim": 16,
        "enable_fusion": False,
        "aff_block_r": 2,
    },
    projection_dim=16,
)
_add(
    "flava",
    "pictures and words",
    "FlavaForPreTraining",
    lambda: {
        "input_ids": (ids := tokens()),
        "input_ids_masked": ids,
        "pixel_values": pictures(),
        "codebook_pixel_values": pictures(),
        "mlm_labels": ids,
        "bool_masked_pos": torch.arange(16).remainder(2).bool().view(1, 4, 4).expand(2, -1, -1),
        "itm_labels": torch.ones(2, dtype=torch.long),
        "return_loss": True,
    },
    text_config=TEXT,
    image_config={**VISION, "mask_token": True, "vocab_size": 12},
    multimodal_config=TOWER,
    image_codebook_config={"num_groups": 2, "hidden_size": 4, "vocab_size": 12, "num_blocks_per_group": 1},
    hidden_size=32,
    projection_dim=16,
)
_add(
    "vilt",
    "pictures and words",
    "ViltForImageAndTextRetrieval",
    lambda: {"input_ids": tokens(), "pixel_values": pictures()},
    criterion=first_output,
    max_image_length=-1,
)
_add(
    "visual_bert",
    "pictures and words",
    "VisualBertForPreTraining",
    lambda: {
        "input_ids": (ids := tokens()),
        "visual_embeds": torch.randn(2, 3, 16),
        "visual_token_type_ids": torch.ones(2, 3, dtype=torch.long),
        "visual_attention_mask": torch.ones(2, 3),
        "attention_mask": torch.ones(2, 8),
        "labels": torch.cat([ids, torch.full((2, 3), -100)], 1),
    },
    visual_embedding_dim=16,
)
_add(
    "bridgetower",
    "pictures and words",
    "BridgeTowerForMaskedLM",
    lambda: {"input_ids": (ids := tokens()), "pixel_values": pictures(), "labels": ids},
    text_config={**TEXT, "hidden_size": 64, "max_position_embeddings": 40},
    vision_config={**VISION, "hidden_size": 64},
    hidden_size=64,
)
_add(
    "lxmert",
    "pictures and words",
    "LxmertForPreTraining",
    lambda: {
        "input_ids": (ids := tokens()),
        "visual_feats": torch.randn(2, 3, 16),
        "visual_pos": torch.rand(2, 3, 4),
        "labels": ids,
        "matched_label": torch.randint(0, 2, (2,)),
    },
    l_layers=1,
    x_layers=1,
    r_layers=1,
    visual_feat_dim=16,
    task_obj_predict=False,
    task_qa=False,
)
_add(
    "kosmos2",
    "pictures and words",
    "Kosmos2ForConditionalGeneration",
    lambda: {
        "input_ids": (ids := tokens()),
        "pixel_values": pictures(),
        "labels": ids,
        "image_embeds_position_mask": torch.arange(8).lt(4).expand(2, -1),
    },
    text_config={
        "vocab_size": WORDS,
        "embed_dim": 32,
        "layers": 2,
        "ffn_dim": 48,
        "attention_heads": 4,
        "max_position_embeddings": 32,
    },
    vision_config=VISION,
    latent_query_num=4,
)
_add(
    "git",
    "pictures and words",
    "GitForCausalLM",
    lambda: {"input_ids": (ids := tokens()), "pixel_values": pictures(), "labels": ids},
    vision_config=VISION,
)
_add(
    "pix2struct",
    "pictures and words",
    "Pix2StructForConditionalGeneration",
    lambda: {
        "flattened_patches": torch.cat([torch.randint(0, 4, (2, 6, 2)).float(), torch.randn(2, 6, 48)], 2),
        "attention_mask": torch.ones(2, 6),
        "labels": tokens(),
    },
    vision_config={
        "hidden_size": 32,
        "patch_size": 4,
        "patch_embed_hidden_size": 48,
        "d_ff": 48,
        "d_kv": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "seq_len": 8,
    },
    text_config={
        "vocab_size": WORDS,
        "hidden_size": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "decoder_start_token_id": 1,
        "pad_token_id": 0,
    },
)


def _seen(class_name: str, text: str, count: int, **own: Any) -> Made:
    """Pictures told to a language model: `count` tokens of each sequence stand for the picture."""
    language = part(text, vocab_size=WORDS + 1)
    model = tiny(
        class_name,
        text_config=language,
        vision_config=part("CLIPVisionConfig"),
        image_token_index=WORDS,
        image_token_id=WORDS,
        **own,
    )

    def batch() -> Batch:
        ids = torch.cat([torch.full((2, count), WORDS), tokens()], 1)
        return {"input_ids": ids, "pixel_values": pictures(), "labels": ids.masked_fill(ids == WORDS, -100)}

    return given(model, batch)


MODELS.add(
    "llava",
    "pictures and words",
    partial(_seen, "LlavaForConditionalGeneration", "LlamaConfig", 16, image_seq_length=16),
)
MODELS.add(
    "vipllava",
    "pictures and words",
    partial(
        _seen,
        "VipLlavaForConditionalGeneration",
        "LlamaConfig",
        16,
        image_seq_length=16,
        vision_feature_layers=[-1, -2],
    ),
)


def _encoder_decoder(vision: bool) -> Made:
    from transformers import BertLMHeadModel, EncoderDecoderModel, VisionEncoderDecoderModel

    decoder = BertLMHeadModel(part("BertConfig", is_decoder=True, add_cross_attention=True))
    whole: Any = VisionEncoderDecoderModel if vision else EncoderDecoderModel
    model = whole(encoder=tiny("ViTModel" if vision else "BertModel"), decoder=decoder).train()
    model.config.decoder_start_token_id, model.config.pad_token_id = 1, 0
    return given(
        model, lambda: ({"pixel_values": pictures()} if vision else {"input_ids": tokens()}) | {"labels": tokens()}
    )


MODELS.add("encoder_decoder", "joined models", partial(_encoder_decoder, False))
MODELS.add("vision_encoder_decoder", "joined models", partial(_encoder_decoder, True))
_add("trocr", "joined models", "TrOCRForCausalLM", lambda: {"input_ids": (ids := tokens()), "labels": ids})
