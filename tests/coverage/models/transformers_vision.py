"""Image models of transformers that put pictures into classes, or restore what is masked."""

from __future__ import annotations

from functools import partial

import torch

from tests.coverage.models.pictures import classified, feature_loss, masked, plain, segmented
from tests.coverage.models.tiny import adder
from tests.coverage.registry import Source

MODELS = Source("transformers_vision")
_add = adder(MODELS)


# transformers over patches

_add("vit", "vit", "ViTForImageClassification", classified, ci=True)
_add("vit_masked_image", "vit", "ViTForMaskedImageModeling", masked, encoder_stride=8)
_add("deit", "vit", "DeiTForImageClassification", classified)
_add("beit", "beit", "BeitForImageClassification", classified, use_relative_position_bias=True, drop_path_rate=0.1)
_add(
    "beit_segmentation", "beit", "BeitForSemanticSegmentation", segmented, num_hidden_layers=4, out_indices=[1, 2, 3, 4]
)
_add(
    "data2vec_vision",
    "beit",
    "Data2VecVisionForImageClassification",
    classified,
    use_shared_relative_position_bias=True,
)
_add("dinov2", "dino", "Dinov2ForImageClassification", classified, drop_path_rate=0.1)
_add("dinov2_with_registers", "dino", "Dinov2WithRegistersForImageClassification", classified)
_add("dinov3_vit", "dino", "DINOv3ViTModel", plain, criterion=feature_loss)
_add("ijepa", "vit", "IJepaForImageClassification", classified)
_add("vit_msn", "vit", "ViTMSNForImageClassification", classified)
DECODED = {
    "decoder_hidden_size": 32,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 4,
    "decoder_intermediate_size": 48,
}
_add("vit_mae", "vit", "ViTMAEForPreTraining", plain, **DECODED)
_add(
    "vitdet",
    "vit",
    "VitDetModel",
    plain,
    criterion=feature_loss,
    window_size=2,
    window_block_indices=[0],
    pretrain_image_size=32,
)
_add(
    "levit",
    "levit",
    "LevitForImageClassification",
    classified,
    patch_size=16,
    hidden_sizes=[16, 24, 32],
    num_attention_heads=[2, 2, 2],
    depths=[1, 1, 1],
    key_dim=[8, 8, 8],
)
_add(
    "cvt", "cvt", "CvtForImageClassification", classified, embed_dim=[16, 32, 48], num_heads=[1, 2, 3], depth=[1, 2, 3]
)
_add(
    "pvt",
    "pvt",
    "PvtForImageClassification",
    classified,
    hidden_sizes=[16, 16, 32, 32],
    depths=[1, 1, 1, 1],
    num_attention_heads=[1, 2, 2, 2],
)
_add(
    "pvt_v2",
    "pvt",
    "PvtV2ForImageClassification",
    classified,
    hidden_sizes=[16, 16, 32, 32],
    depths=[1, 1, 1, 1],
    num_attention_heads=[1, 2, 2, 2],
)
_add(
    "poolformer",
    "poolformer",
    "PoolFormerForImageClassification",
    classified,
    hidden_sizes=[16, 16, 24, 32],
    depths=[1, 1, 1, 1],
)
_add(
    "swin",
    "swin",
    "SwinForImageClassification",
    classified,
    patch_size=4,
    embed_dim=16,
    depths=[2, 2],
    num_heads=[2, 4],
    window_size=4,
)
_add(
    "swinv2",
    "swin",
    "Swinv2ForImageClassification",
    classified,
    patch_size=4,
    embed_dim=16,
    depths=[2, 2],
    num_heads=[2, 4],
    window_size=4,
)
_add(
    "swin_masked_image",
    "swin",
    "SwinForMaskedImageModeling",
    partial(masked, patch=4),
    patch_size=4,
    embed_dim=16,
    depths=[1, 1],
    num_heads=[2, 4],
    window_size=4,
    encoder_stride=8,
)
_add(
    "swin2sr",
    "swin",
    "Swin2SRForImageSuperResolution",
    partial(plain, 16),
    criterion=feature_loss,
    image_size=16,
    patch_size=1,
    embed_dim=16,
    depths=[1, 1],
    num_heads=[2, 2],
    window_size=4,
)
_add(
    "donut_swin",
    "swin",
    "DonutSwinForImageClassification",
    classified,
    patch_size=4,
    embed_dim=16,
    depths=[2, 2],
    num_heads=[2, 4],
    window_size=4,
)
_add(
    "focalnet",
    "focalnet",
    "FocalNetForImageClassification",
    classified,
    patch_size=4,
    embed_dim=16,
    depths=[1, 1],
    focal_levels=[2, 2],
    focal_windows=[3, 3],
)
_add(
    "hiera",
    "hiera",
    "HieraForImageClassification",
    classified,
    image_size=[32, 32],
    patch_stride=[4, 4],
    patch_size=[7, 7],
    embed_dim=16,
    depths=[1, 1],
    num_heads=[1, 2],
    query_stride=[2, 2],
    num_query_pool=1,
    masked_unit_size=[4, 4],
)
_add(
    "swiftformer",
    "swiftformer",
    "SwiftFormerForImageClassification",
    classified,
    embed_dims=[16, 16, 32, 32],
    depths=[1, 1, 1, 1],
)
_add(
    "mobilevit",
    "mobilevit",
    "MobileViTForImageClassification",
    partial(classified, 64),
    image_size=64,
    hidden_sizes=[16, 24, 32],
    neck_hidden_sizes=[8, 8, 16, 16, 16, 24, 32],
    patch_size=2,
)
_add(
    "mobilevitv2",
    "mobilevit",
    "MobileViTV2ForImageClassification",
    partial(classified, 64),
    image_size=64,
    width_multiplier=0.25,
    patch_size=2,
)
_add(
    "mobilevit_segmentation",
    "mobilevit",
    "MobileViTForSemanticSegmentation",
    partial(segmented, 64),
    image_size=64,
    hidden_sizes=[16, 24, 32],
    neck_hidden_sizes=[8, 8, 16, 16, 16, 24, 32],
    patch_size=2,
    aspp_out_channels=16,
)
_add(
    "videomae",
    "video",
    "VideoMAEForVideoClassification",
    lambda: {"pixel_values": torch.randn(2, 4, 3, 16, 16), "labels": torch.randint(0, 5, (2,))},
    image_size=16,
    num_frames=4,
)
_add(
    "timesformer",
    "video",
    "TimesformerForVideoClassification",
    lambda: {"pixel_values": torch.randn(2, 4, 3, 16, 16), "labels": torch.randint(0, 5, (2,))},
    image_size=16,
    num_frames=4,
)
_add(
    "vivit",
    "video",
    "VivitForVideoClassification",
    lambda: {"pixel_values": torch.randn(2, 4, 3, 16, 16), "labels": torch.randint(0, 5, (2,))},
    image_size=16,
    num_frames=4,
    tubelet_size=[2, 8, 8],
)
