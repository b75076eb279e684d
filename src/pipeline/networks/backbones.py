"""timm, importable beside any build of torch."""

import torch

SUPPRESSION = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _declare_vision_operators() -> None:
    # torchvision's wheel is compiled against an accelerated torch. Beside a processor-only torch its operators cannot
    # be loaded, and its import then fails on describing two that are not there. Declared, they can be described;
    # nothing in this project calls them, and a call would raise.
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", SUPPRESSION)


_declare_vision_operators()

import timm  # noqa: E402

create_model = timm.create_model
