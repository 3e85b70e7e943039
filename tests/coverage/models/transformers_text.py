"""Language models of transformers: tiny configurations, random weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.coverage.models.tiny import given, padded, tiny, tokens
from tests.coverage.registry import Made, Source

MODELS = Source("transformers_text")


def language(class_name: str, length: int = 8, mask: str = "none", **own: Any) -> Made:
    """A model over tokens that are their own labels.

    `mask`: "none", "ones" (a mask that masks nothing), "padded" (every batch padded alike), or "padded later" (all
    ones in the first batch, padding in the second: eager takes another way, so that it is planned as well).
    """
    count = 0

    def batch() -> dict[str, torch.Tensor]:
        nonlocal count
        count += 1
        ids = tokens(length=length)
        if mask == "padded" or (mask == "padded later" and count > 1):
            return padded(ids)
        return {"input_ids": ids, "labels": ids, **({"attention_mask": torch.ones_like(ids)} if mask != "none" else {})}

    made = given(tiny(class_name, **own), batch)
    return {**made, "on_mismatch": "replan"} if mask == "padded later" else made


def classification(class_name: str, length: int = 8, **own: Any) -> Made:
    """A model that puts padded token sequences into classes."""

    def batch() -> dict[str, torch.Tensor]:
        made = padded(tokens(length=length))
        return {**made, "labels": torch.randint(0, 5, (2,))}

    return given(tiny(class_name, **own), batch)


def _add(name: str, family: str, class_name: str, ci: bool = False, **own: Any) -> None:
    MODELS.add(name, family, partial(language, class_name, **own), ci)


# decoders with rotary positions, and their kin

_add("llama", "llama", "LlamaForCausalLM")
_add("llama_padded", "llama", "LlamaForCausalLM", mask="padded")
_add("llama_padded_later", "llama", "LlamaForCausalLM", ci=True, mask="padded later")
_add("llama_eager_attention", "llama", "LlamaForCausalLM", attn_implementation="eager", mask="padded")
_add("mistral", "mistral", "MistralForCausalLM", sliding_window=4)
_add("ministral", "mistral", "MinistralForCausalLM")
_add("qwen2", "qwen", "Qwen2ForCausalLM", mask="ones")
_add("qwen3", "qwen", "Qwen3ForCausalLM")
_add("qwen3_5", "qwen", "Qwen3_5ForCausalLM", linear_num_value_heads=4, linear_num_key_heads=2)
_add("gemma", "gemma", "GemmaForCausalLM")
_add("gemma2", "gemma", "Gemma2ForCausalLM", sliding_window=4)
_add("gemma3", "gemma", "Gemma3ForCausalLM", ci=True, sliding_window=4)
_add("phi", "phi", "PhiForCausalLM")
_add("phi3", "phi", "Phi3ForCausalLM")
_add("olmo", "olmo", "OlmoForCausalLM")
_add("olmo2", "olmo", "Olmo2ForCausalLM")
_add("olmo3", "olmo", "Olmo3ForCausalLM", sliding_window=4)
_add("cohere", "cohere", "CohereForCausalLM")
_add("cohere2", "cohere", "Cohere2ForCausalLM", sliding_window=4)
_add("falcon", "falcon", "FalconForCausalLM")
_add("falcon_alibi", "falcon", "FalconForCausalLM", alibi=True, new_decoder_architecture=False)
_add("stablelm", "stablelm", "StableLmForCausalLM")
_add("starcoder2", "starcoder", "Starcoder2ForCausalLM")
_add("granite", "granite", "GraniteForCausalLM")
_add("glm", "glm", "GlmForCausalLM")
_add("glm4", "glm", "Glm4ForCausalLM")
_add("persimmon", "persimmon", "PersimmonForCausalLM")
_add("nemotron", "nemotron", "NemotronForCausalLM")
_add("smollm3", "smollm", "SmolLM3ForCausalLM")
_add("exaone4", "exaone", "Exaone4ForCausalLM")
_add("diffllama", "diffllama", "DiffLlamaForCausalLM")
_add("bitnet", "bitnet", "BitNetForCausalLM")
_add("doge", "doge", "DogeForCausalLM")
_add("ernie4_5", "ernie", "Ernie4_5ForCausalLM")
_add("helium", "helium", "HeliumForCausalLM")
_add("seed_oss", "seed_oss", "SeedOssForCausalLM")
_add("apertus", "apertus", "ApertusForCausalLM")

# decoders of the first generation

_add("gpt2", "gpt2", "GPT2LMHeadModel", ci=True)
_add("gpt2_padded", "gpt2", "GPT2LMHeadModel", mask="padded")
_add("openai_gpt", "gpt2", "OpenAIGPTLMHeadModel")
_add("gpt_neo", "gpt_neo", "GPTNeoForCausalLM", attention_types=[[["global", "local"], 1]], window_size=4)
_add("gpt_neox", "gpt_neox", "GPTNeoXForCausalLM")
_add("gpt_neox_japanese", "gpt_neox", "GPTNeoXJapaneseForCausalLM")
_add("gptj", "gptj", "GPTJForCausalLM", rotary_dim=4)
_add("codegen", "gptj", "CodeGenForCausalLM", rotary_dim=4, n_ctx=32)
_add("gpt_bigcode", "starcoder", "GPTBigCodeForCausalLM")
_add("bloom", "bloom", "BloomForCausalLM", mask="padded")
_add("mpt", "mpt", "MptForCausalLM")
_add("opt", "opt", "OPTForCausalLM", mask="padded", word_embed_proj_dim=32)
_add("opt_layerdrop", "opt", "OPTForCausalLM", layerdrop=0.3, word_embed_proj_dim=32)
_add("xglm", "xglm", "XGLMForCausalLM")
_add("biogpt", "biogpt", "BioGptForCausalLM")
_add("ctrl", "ctrl", "CTRLLMHeadModel", dff=48)
_add("cpmant", "cpmant", "CpmAntForCausalLM", dim_ff=48, dim_head=8, prompt_length=4, prompt_types=4, segment_types=4)

# experts

_add("mixtral", "experts", "MixtralForCausalLM", ci=True)
_add("mixtral_auxiliary_loss", "experts", "MixtralForCausalLM", output_router_logits=True)
_add("qwen2_moe", "experts", "Qwen2MoeForCausalLM", decoder_sparse_step=1)
_add("qwen3_moe", "experts", "Qwen3MoeForCausalLM")
_add("olmoe", "experts", "OlmoeForCausalLM")
_add("phimoe", "experts", "PhimoeForCausalLM")
_add("granitemoe", "experts", "GraniteMoeForCausalLM")
_add("gpt_oss", "experts", "GptOssForCausalLM", sliding_window=4)
_add("ernie4_5_moe", "experts", "Ernie4_5_MoeForCausalLM")
_add(
    *("dbrx", "experts", "DbrxForCausalLM"),
    attn_config={"clip_qkv": 8.0, "kv_n_heads": 2, "rope_theta": 10000.0},
    ffn_config={"ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32},
    max_seq_len=32,
)
_add("jetmoe", "experts", "JetMoeForCausalLM")
_add("llama4_text", "llama4", "Llama4ForCausalLM", intermediate_size_mlp=48)
DEEPSEEK: dict[str, Any] = {
    "kv_lora_rank": 8,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
_add("deepseek_v2", "deepseek", "DeepseekV2ForCausalLM", **DEEPSEEK)
_add("deepseek_v3", "deepseek", "DeepseekV3ForCausalLM", **DEEPSEEK)
_add("glm4_moe", "glm", "Glm4MoeForCausalLM", n_group=1, topk_group=1, n_shared_experts=1, first_k_dense_replace=1)
_add("dots1", "experts", "Dots1ForCausalLM", n_group=1, topk_group=1, n_shared_experts=1, first_k_dense_replace=1)
_add("nllb_moe", "experts", "NllbMoeForConditionalGeneration", expert_capacity=8, encoder_sparse_step=1)
_add(
    "switch_transformers",
    "experts",
    "SwitchTransformersForConditionalGeneration",
    num_sparse_encoder_layers=1,
    decoder_start_token_id=1,
)

# recurrence and state spaces

_add("mamba", "state space", "MambaForCausalLM", ci=True, state_size=4)
_add("mamba2", "state space", "Mamba2ForCausalLM", num_heads=4, head_dim=16, state_size=4, n_groups=1, chunk_size=4)
_add("falcon_mamba", "state space", "FalconMambaForCausalLM", state_size=4)
_add("bamba", "state space", "BambaForCausalLM", mamba_n_heads=4, mamba_d_head=16, mamba_n_groups=1, mamba_d_state=4)
JAMBA = {"attn_layer_period": 2, "attn_layer_offset": 1}
_add("jamba", "state space", "JambaForCausalLM", use_mamba_kernels=False, mamba_d_state=4, **JAMBA)
ZAMBA: dict[str, Any] = {"num_hidden_layers": 4, "layer_types": ["mamba", "hybrid", "mamba", "hybrid"]}
_add("zamba", "state space", "ZambaForCausalLM", **ZAMBA, use_mamba_kernels=False, n_mamba_heads=2, mamba_d_state=4)
_add("rwkv", "recurrent", "RwkvForCausalLM", context_length=16)
_add("recurrent_gemma", "recurrent", "RecurrentGemmaForCausalLM", attention_window_size=8, lru_width=32)
_add(
    "xlstm", "recurrent", "xLSTMForCausalLM", mode="train", chunkwise_kernel="chunkwise--native_autograd", chunk_size=4
)
_add("lfm2", "recurrent", "Lfm2ForCausalLM", layer_types=["conv", "full_attention"])
_add("qwen3_next", "recurrent", "Qwen3NextForCausalLM", linear_num_value_heads=4, linear_num_key_heads=2)

# encoders

_add("bert", "bert", "BertForMaskedLM", ci=True, mask="padded")
_add("bert_lm", "bert", "BertLMHeadModel", is_decoder=True)
MODELS.add("bert_classes", "bert", partial(classification, "BertForSequenceClassification"))
_add("roberta", "bert", "RobertaForMaskedLM", max_position_embeddings=40)
_add("xlm_roberta", "bert", "XLMRobertaForMaskedLM", max_position_embeddings=40, mask="padded")
_add("camembert", "bert", "CamembertForMaskedLM", max_position_embeddings=40)
_add("roberta_prelayernorm", "bert", "RobertaPreLayerNormForMaskedLM", max_position_embeddings=40)
_add("distilbert", "bert", "DistilBertForMaskedLM", dim=32, hidden_dim=48, mask="padded")
_add("electra", "electra", "ElectraForMaskedLM", mask="ones")
_add("albert", "albert", "AlbertForMaskedLM", mask="padded")
_add("deberta", "deberta", "DebertaForMaskedLM", mask="padded", relative_attention=True, pos_att_type=["c2p", "p2c"])
_add("deberta_v2", "deberta", "DebertaV2ForMaskedLM", relative_attention=True, pos_att_type=["c2p", "p2c"])
_add("convbert", "convbert", "ConvBertForMaskedLM", mask="padded")
_add("mpnet", "mpnet", "MPNetForMaskedLM", max_position_embeddings=40)
_add("fnet", "fnet", "FNetForMaskedLM")
MOBILE = {"true_hidden_size": 32, "intra_bottleneck_size": 32, "embedding_size": 32}
_add("mobilebert", "mobilebert", "MobileBertForMaskedLM", **MOBILE)
_add("squeezebert", "squeezebert", "SqueezeBertForMaskedLM", embedding_size=32)
_add("modernbert", "modernbert", "ModernBertForMaskedLM", mask="padded", attn_implementation="sdpa", local_attention=8)
_add("nomic_bert", "bert", "NomicBertForMaskedLM")
_add("ibert", "bert", "IBertForMaskedLM", max_position_embeddings=40)
_add("megatron_bert", "bert", "MegatronBertForMaskedLM")
_add("rembert", "bert", "RemBertForMaskedLM", input_embedding_size=16, output_embedding_size=16)
_add("roformer", "roformer", "RoFormerForMaskedLM", mask="padded")
_add("esm", "esm", "EsmForMaskedLM", mask="padded", mask_token_id=3, token_dropout=True)
_add("ernie", "ernie", "ErnieForMaskedLM")
_add("xlm", "xlm", "XLMWithLMHeadModel", emb_dim=32, n_words=96, mask="padded", use_lang_emb=False)
_add("flaubert", "xlm", "FlaubertWithLMHeadModel", emb_dim=32, n_words=96, layerdrop=0.2)
_add("xlnet", "xlnet", "XLNetLMHeadModel", d_inner=48)
MODELS.add("canine", "canine", partial(classification, "CanineForSequenceClassification", length=16))
_add("xmod", "bert", "XmodForMaskedLM", max_position_embeddings=40, default_language="en_XX", languages=["en_XX"])
_add("data2vec_text", "bert", "Data2VecTextForMaskedLM", max_position_embeddings=40)
_add("luke", "luke", "LukeForMaskedLM", entity_vocab_size=10, entity_emb_size=16, max_position_embeddings=40)

# long sequences

_add("longformer", "long", "LongformerForMaskedLM", attention_window=4, max_position_embeddings=40)
_add("big_bird", "long", "BigBirdForMaskedLM", attention_type="original_full")
_add("big_bird_sparse", "long", "BigBirdForMaskedLM", block_size=2, num_random_blocks=1, length=32, mask="ones")
REFORMER: dict[str, Any] = {
    "attn_layers": ["local", "lsh"],
    "axial_pos_shape": [4, 4],
    "axial_pos_embds_dim": [16, 16],
    "attention_head_size": 8,
    "feed_forward_size": 48,
    "num_buckets": 4,
    "local_attn_chunk_length": 4,
    "lsh_attn_chunk_length": 4,
    "is_decoder": True,
    "hash_seed": 0,
}
_add("reformer", "long", "ReformerModelWithLMHead", length=16, **REFORMER)
_add("nystromformer", "long", "NystromformerForMaskedLM", segment_means_seq_len=8, num_landmarks=4)
_add("yoso", "long", "YosoForMaskedLM", use_expectation=True)
_add("mra", "long", "MraForMaskedLM")
_add("funnel", "funnel", "FunnelForMaskedLM", block_sizes=[1, 1], num_decoder_layers=1, d_head=8, d_inner=48)
_add("led", "long", "LEDForConditionalGeneration", attention_window=4, max_encoder_position_embeddings=32)
_add("longt5", "long", "LongT5ForConditionalGeneration", local_radius=4, decoder_start_token_id=1)
_add("bigbird_pegasus", "long", "BigBirdPegasusForConditionalGeneration", attention_type="original_full")
_add("pegasus_x", "long", "PegasusXForConditionalGeneration", block_size=4, num_global_tokens=4)

# encoders with decoders

STARTED = {"decoder_start_token_id": 1}
_add("t5", "t5", "T5ForConditionalGeneration", ci=True, mask="padded", **STARTED)
_add("mt5", "t5", "MT5ForConditionalGeneration")
_add("umt5", "t5", "UMT5ForConditionalGeneration")
_add("bart", "bart", "BartForConditionalGeneration", mask="padded")
_add("bart_layerdrop", "bart", "BartForConditionalGeneration", encoder_layerdrop=0.3, decoder_layerdrop=0.3)
_add("mbart", "bart", "MBartForConditionalGeneration")
_add("pegasus", "bart", "PegasusForConditionalGeneration")
_add("marian", "bart", "MarianMTModel", decoder_vocab_size=96)
_add("blenderbot", "bart", "BlenderbotForConditionalGeneration")
_add("blenderbot_small", "bart", "BlenderbotSmallForConditionalGeneration")
_add("plbart", "bart", "PLBartForConditionalGeneration")
_add("m2m_100", "bart", "M2M100ForConditionalGeneration")
_add("fsmt", "bart", "FSMTForConditionalGeneration", langs=["en", "de"], src_vocab_size=96, tgt_vocab_size=96)
_add("mvp", "bart", "MvpForConditionalGeneration")
PROPHET = {
    **dict.fromkeys(("num_encoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_encoder_attention_heads", "num_decoder_attention_heads"), 4),
}
_add("prophetnet", "prophetnet", "ProphetNetForConditionalGeneration", **PROPHET)
