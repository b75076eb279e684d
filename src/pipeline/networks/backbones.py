"""timm, importable beside any build of torch."""

import torch

NON_MAXIMUM_SUPPRESSION = "torchvision::nms"


def _declare_vision_operator() -> None:
    # torchvision's wheel is compiled against an accelerated torch. Beside a processor-only torch its operators cannot be
    # loaded, and its import then fails on describing one that is not there. Declared, it can be described; nothing in
    # this project calls it, and a call would raise.
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if NON_MAXIMUM_SUPPRESSION not in str(error):
            raise
        torch.library.define(NON_MAXIMUM_SUPPRESSION, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


_declare_vision_operator()

import timm  # noqa: E402

create_model = timm.create_model
