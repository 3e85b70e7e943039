"""Image models of transformers made of convolutions."""

from __future__ import annotations

from functools import partial

from tests.coverage.models.pictures import classified, segmented
from tests.coverage.models.tiny import adder
from tests.coverage.registry import Source

MODELS = Source("transformers_convolution")
_add = adder(MODELS)


# convolutions

_add(
    "resnet",
    "resnet",
    "ResNetForImageClassification",
    classified,
    embedding_size=8,
    hidden_sizes=[8, 16],
    depths=[1, 1],
    layer_type="basic",
    ci=True,
)
_add(
    "resnet_bottleneck",
    "resnet",
    "ResNetForImageClassification",
    classified,
    embedding_size=8,
    hidden_sizes=[16, 32],
    depths=[1, 2],
)
_add(
    "regnet",
    "resnet",
    "RegNetForImageClassification",
    classified,
    embedding_size=8,
    hidden_sizes=[16, 32],
    depths=[1, 1],
    groups_width=8,
)
_add(
    "bit",
    "resnet",
    "BitForImageClassification",
    classified,
    embedding_size=8,
    hidden_sizes=[16, 32],
    depths=[1, 1],
    num_groups=2,
)
_add(
    "convnext",
    "convnext",
    "ConvNextForImageClassification",
    classified,
    patch_size=4,
    hidden_sizes=[8, 16],
    depths=[1, 1],
    num_stages=2,
)
_add(
    "convnextv2",
    "convnext",
    "ConvNextV2ForImageClassification",
    classified,
    patch_size=4,
    hidden_sizes=[8, 16],
    depths=[1, 1],
    num_stages=2,
)
_add("mobilenet_v1", "mobilenet", "MobileNetV1ForImageClassification", classified, depth_multiplier=0.25)
_add("mobilenet_v2", "mobilenet", "MobileNetV2ForImageClassification", classified, depth_multiplier=0.25)
_add("mobilenet_v2_segmentation", "mobilenet", "MobileNetV2ForSemanticSegmentation", segmented, depth_multiplier=0.25)
_add(
    "efficientnet",
    "efficientnet",
    "EfficientNetForImageClassification",
    classified,
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
    classified,
    conv_layer_kernel_sizes=[[[3, 3]], [[3, 3]], [[3, 3]], [[3, 3]]],
    conv_layer_strides=[[2], [2], [2], [2]],
    stem_out_channels=8,
    hidden_sizes=[8, 8, 16, 16, 16],
)
