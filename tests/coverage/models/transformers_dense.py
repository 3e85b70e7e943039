"""Image models of transformers that tell something of every pixel: segmentation, depth, detection."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.coverage.models.pictures import all_losses, classified, depths, feature_loss, plain, segmented
from tests.coverage.models.tiny import adder, given, part, tiny
from tests.coverage.registry import Made, Source

MODELS = Source("transformers_dense")
_add = adder(MODELS)


# dense predictions

SEGFORMER = {
    "hidden_sizes": [16, 16, 32, 32],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 2, 2, 2],
    "decoder_hidden_size": 16,
}
_add("segformer", "segformer", "SegformerForSemanticSegmentation", segmented, **SEGFORMER)
_add("segformer_classes", "segformer", "SegformerForImageClassification", classified, **SEGFORMER)
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
    criterion=feature_loss,
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
    "yolos",
    "detection",
    "YolosForObjectDetection",
    plain,
    criterion=all_losses,
    num_detection_tokens=5,
    image_size=[32, 32],
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
