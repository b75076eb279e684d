"""Let torchvision be imported beside a processor-only torch: import this before a library that imports torchvision."""

import torch

SUPPRESSION = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_vision_operators() -> None:
    """Declare the operators that torchvision describes on import, where its own cannot be loaded.

    Its wheel is compiled against an accelerated torch. Beside a processor-only torch its operators cannot be loaded,
    and its import then fails on describing two that are not there. Declared, they can be described; nothing in this
    project calls them, and a call would raise.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", SUPPRESSION)


declare_vision_operators()
