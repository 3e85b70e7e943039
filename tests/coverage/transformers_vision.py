"""Image models of transformers: classification, segmentation, detection, depth, masked images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from tests.coverage.registry import Made, Source
from tests.coverage.tiny import given, part, pictures, tiny

MODELS = Source("transformers_vision")
Batch = dict[str, Any]


def classified(size: int = 32) -> Batch:
    """Images with a class each."""
    return {"pixel_values": pictures(size=size), "labels": torch.randint(0, 5, (2,))}


def segmented(size: int = 32) -> Batch:
    """Images with a class a pixel; 255 is none."""
    labels = torch.randint(0, 5, (2, size, size))
    labels[:, :2] = 255
    return {"pixel_values": pictures(size=size), "labels": labels}


def plain(size: int = 32) -> Batch:
    """Images alone."""
    return {"pixel_values": pictures(size=size)}


def masked(size: int = 32, patch: int = 8) -> Batch:
    """Images with half of their patches masked."""
    count = (size // patch) ** 2
    hidden = torch.arange(count).remainder(2).bool().expand(2, -1)
    return {"pixel_values": pictures(size=size), "bool_masked_pos": hidden}


def depths(size: int = 32) -> Batch:
    """Images with a depth a pixel."""
    return {"pixel_values": pictures(size=size), "labels": torch.rand(2, size, size) + 0.1}


def feature_loss(model: Any, batch: Batch) -> torch.Tensor:
    """For models without a loss: the mean square of what they return first."""
    output = model(**batch)
    first = output[0] if not isinstance(output[0], (list, tuple)) else output[0][-1]
    found: torch.Tensor = first.float().square().mean()
    return found


def all_losses(model: Any, batch: Batch) -> torch.Tensor:
    """For detection, whose own loss matches boxes by scipy: the mean squares of all tensors that it returns."""
    output = model(**batch)
    tensors = [value for value in output.values() if isinstance(value, torch.Tensor) and value.requires_grad]
    return torch.stack([value.float().square().mean() for value in tensors]).sum()


def _build(class_name: str, batch: Callable[[], Batch], loss: Any, own: dict[str, Any]) -> Made:
    made = given(tiny(class_name, **own), batch)
    return {**made, "loss": loss} if loss else made


def _add(
    name: str, family: str, class_name: str, batch: Any = classified, ci: bool = False, loss: Any = None, **own: Any
) -> None:  # fmt: skip
    MODELS.add(name, family, partial(_build, class_name, batch, loss, own), ci)


# transformers over patches

_add("vit", "vit", "ViTForImageClassification", ci=True)
_add("vit_masked_image", "vit", "ViTForMaskedImageModeling", masked, encoder_stride=8)
_add("deit", "vit", "DeiTForImageClassification")
_add("beit", "beit", "BeitForImageClassification", use_relative_position_bias=True, drop_path_rate=0.1)
_add(
    "beit_segmentation", "beit", "BeitForSemanticSegmentation", segmented, num_hidden_layers=4, out_indices=[1, 2, 3, 4]
)
_add("data2vec_vision", "beit", "Data2VecVisionForImageClassification", use_shared_relative_position_bias=True)
_add("dinov2", "dino", "Dinov2ForImageClassification", drop_path_rate=0.1)
_add("dinov2_with_registers", "dino", "Dinov2WithRegistersForImageClassification")
_add("dinov3_vit", "dino", "DINOv3ViTModel", plain, loss=feature_loss)
_add("ijepa", "vit", "IJepaForImageClassification")
_add("vit_msn", "vit", "ViTMSNForImageClassification")
DECODED = {
    "decoder_hidden_size": 32,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 4,
    "decoder_intermediate_size": 48,
}
_add("vit_mae", "vit", "ViTMAEForPreTraining", plain, ci=True, **DECODED)
_add(
    "vitdet",
    "vit",
    "VitDetModel",
    plain,
    loss=feature_loss,
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
_add("cvt", "cvt", "CvtForImageClassification", embed_dim=[16, 32, 48], num_heads=[1, 2, 3], depth=[1, 2, 3])
_add(
    "pvt",
    "pvt",
    "PvtForImageClassification",
    hidden_sizes=[16, 16, 32, 32],
    depths=[1, 1, 1, 1],
    num_attention_heads=[1, 2, 2, 2],
)
_add(
    "pvt_v2",
    "pvt",
    "PvtV2ForImageClassification",
    hidden_sizes=[16, 16, 32, 32],
    depths=[1, 1, 1, 1],
    num_attention_heads=[1, 2, 2, 2],
)
_add("poolformer", "poolformer", "PoolFormerForImageClassification", hidden_sizes=[16, 16, 24, 32], depths=[1, 1, 1, 1])
_add(
    "swin",
    "swin",
    "SwinForImageClassification",
    ci=True,
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
    loss=feature_loss,
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
    "swiftformer", "swiftformer", "SwiftFormerForImageClassification", embed_dims=[16, 16, 32, 32], depths=[1, 1, 1, 1]
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

# convolutions

_add(
    "resnet",
    "resnet",
    "ResNetForImageClassification",
    ci=True,
    embedding_size=8,
    hidden_sizes=[8, 16],
    depths=[1, 1],
    layer_type="basic",
)
_add(
    "resnet_bottleneck",
    "resnet",
    "ResNetForImageClassification",
    embedding_size=8,
    hidden_sizes=[16, 32],
    depths=[1, 2],
)
_add(
    "regnet",
    "resnet",
    "RegNetForImageClassification",
    embedding_size=8,
    hidden_sizes=[16, 32],
    depths=[1, 1],
    groups_width=8,
)
_add("bit", "resnet", "BitForImageClassification", embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1], num_groups=2)
_add(
    "convnext",
    "convnext",
    "ConvNextForImageClassification",
    ci=True,
    patch_size=4,
    hidden_sizes=[8, 16],
    depths=[1, 1],
    num_stages=2,
)
_add(
    "convnextv2",
    "convnext",
    "ConvNextV2ForImageClassification",
    patch_size=4,
    hidden_sizes=[8, 16],
    depths=[1, 1],
    num_stages=2,
)
_add("mobilenet_v1", "mobilenet", "MobileNetV1ForImageClassification", depth_multiplier=0.25)
_add("mobilenet_v2", "mobilenet", "MobileNetV2ForImageClassification", depth_multiplier=0.25)
_add("mobilenet_v2_segmentation", "mobilenet", "MobileNetV2ForSemanticSegmentation", segmented, depth_multiplier=0.25)
_add(
    "efficientnet",
    "efficientnet",
    "EfficientNetForImageClassification",
    width_coefficient=0.25,
    depth_coefficient=0.3,
    hidden_dim=320,
)
_add(
    "hgnet_v2",
    "resnet",
    "HGNetV2ForImageClassification",
    partial(classified, 64),
    stem_channels=[3, 8, 8],
    stage_in_channels=[8, 16, 16, 16],
    stage_mid_channels=[8, 8, 8, 8],
    stage_out_channels=[16, 16, 16, 16],
    stage_num_blocks=[1, 1, 1, 1],
    stage_numb_of_layers=[2, 2, 2, 2],
    embedding_size=8,
    hidden_sizes=[16, 16, 16, 16],
    depths=[1, 1, 1, 1],
)
_add(
    "textnet",
    "resnet",
    "TextNetForImageClassification",
    conv_layer_kernel_sizes=[[[3, 3]], [[3, 3]], [[3, 3]], [[3, 3]]],
    conv_layer_strides=[[2], [2], [2], [2]],
    stem_out_channels=8,
    hidden_sizes=[8, 8, 16, 16, 16],
)

# dense predictions

SEGFORMER = {
    "hidden_sizes": [16, 16, 32, 32],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 2, 2, 2],
    "decoder_hidden_size": 16,
}
_add("segformer", "segformer", "SegformerForSemanticSegmentation", segmented, ci=True, **SEGFORMER)
_add("segformer_classes", "segformer", "SegformerForImageClassification", **SEGFORMER)
_add(
    "glpn",
    "segformer",
    "GLPNForDepthEstimation",
    depths,
    hidden_sizes=[16, 16, 32, 32],
    depths=[1, 1, 1, 1],
    num_attention_heads=[1, 2, 2, 2],
    decoder_hidden_size=16,
)


def _upernet() -> Made:
    backbone = part(
        "ConvNextConfig",
        num_stages=4,
        patch_size=4,
        hidden_sizes=[8, 16, 16, 16],
        depths=[1, 1, 1, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    own = {
        "backbone_config": backbone,
        "hidden_size": 16,
        "pool_scales": [1, 2],
        "auxiliary_in_channels": 16,
        "auxiliary_channels": 8,
    }
    return given(tiny("UperNetForSemanticSegmentation", **own), partial(segmented, 64))


MODELS.add("upernet", "upernet", _upernet, ci=True)
_add(
    "dpt",
    "dpt",
    "DPTForSemanticSegmentation",
    segmented,
    num_hidden_layers=4,
    backbone_out_indices=[0, 1, 2, 3],
    neck_hidden_sizes=[8, 8, 16, 16],
    fusion_hidden_size=16,
    is_hybrid=False,
)
_add(
    "dpt_depth",
    "dpt",
    "DPTForDepthEstimation",
    plain,
    loss=feature_loss,
    num_hidden_layers=4,
    backbone_out_indices=[0, 1, 2, 3],
    neck_hidden_sizes=[8, 8, 16, 16],
    fusion_hidden_size=16,
    is_hybrid=False,
)


def _depth_anything() -> Made:
    backbone = part(
        "Dinov2Config",
        num_hidden_layers=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    own = {
        "backbone_config": backbone,
        "reassemble_hidden_size": 32,
        "neck_hidden_sizes": [8, 8, 16, 16],
        "fusion_hidden_size": 16,
        "head_hidden_size": 8,
        "patch_size": 8,
    }
    return {**given(tiny("DepthAnythingForDepthEstimation", **own), plain), "loss": feature_loss}


MODELS.add("depth_anything", "dpt", _depth_anything)


def _vitpose() -> Made:
    backbone = part(
        "VitPoseBackboneConfig",
        image_size=[32, 32],
        patch_size=[8, 8],
        out_features=["stage2"],
        part_features=8,
        num_experts=1,
    )
    model = tiny("VitPoseForPoseEstimation", backbone_config=backbone, num_labels=3)
    return {**given(model, plain), "loss": feature_loss}


MODELS.add("vitpose", "vit", _vitpose)

# detection and instances

RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 16, 16],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
}
_add(
    "yolos", "detection", "YolosForObjectDetection", plain, loss=all_losses, num_detection_tokens=5, image_size=[32, 32]
)


def _detr(class_name: str, out: tuple[str, ...] = ("stage4",), **own: Any) -> Made:
    backbone = part("ResNetConfig", **RESNET, out_features=list(out))
    own = {
        "backbone_config": backbone,
        "use_timm_backbone": False,
        "use_pretrained_backbone": False,
        "backbone": None,
        "num_queries": 5,
        **own,
    }
    return {**given(tiny(class_name, **own), partial(plain, 64)), "loss": all_losses}


MODELS.add("detr", "detection", partial(_detr, "DetrForObjectDetection"))
MODELS.add("table_transformer", "detection", partial(_detr, "TableTransformerForObjectDetection"))
MODELS.add("conditional_detr", "detection", partial(_detr, "ConditionalDetrForObjectDetection"))
MODELS.add("dab_detr", "detection", partial(_detr, "DabDetrForObjectDetection"))
MODELS.add(
    "deformable_detr",
    "detection",
    partial(_detr, "DeformableDetrForObjectDetection", ("stage2", "stage3", "stage4"), num_feature_levels=3),
)


def _maskformer(class_name: str, **own: Any) -> Made:
    backbone = part(
        "SwinConfig",
        image_size=32,
        patch_size=2,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return {**given(tiny(class_name, backbone_config=backbone, **own), plain), "loss": all_losses}


MASK2FORMER = {
    "hidden_dim": 32,
    "feature_size": 32,
    "mask_feature_size": 32,
    "encoder_feedforward_dim": 16,
    "dim_feedforward": 16,
    "num_queries": 5,
    "train_num_points": 16,
    "encoder_layers": 1,
    "num_attention_heads": 2,
}
MODELS.add("mask2former", "instances", partial(_maskformer, "Mask2FormerForUniversalSegmentation", **MASK2FORMER))
MODELS.add(
    "maskformer",
    "instances",
    partial(
        _maskformer,
        "MaskFormerForInstanceSegmentation",
        fpn_feature_size=32,
        mask_feature_size=32,
        decoder_config=part(
            "DetrConfig",
            num_queries=5,
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone=None,
            backbone_config=part("ResNetConfig", **RESNET),
        ),
    ),
)
_add(
    "imagegpt",
    "pixels as words",
    "ImageGPTForCausalImageModeling",
    lambda: (lambda ids: {"input_ids": ids, "labels": ids})(torch.randint(0, 16, (2, 16))),
    vocab_size=17,
)
