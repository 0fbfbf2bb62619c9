"""A timm net by name, for images of any size where it can be told, and with its stochastic depth."""

import difflib

import timm
from timm.layers import DropPath
from torch import nn

ANY_SIZE = ({"dynamic_img_size": True, "dynamic_img_pad": True}, {"dynamic_img_size": True})


def create_net(timm_name: str, in_chans: int = 1, drop_path: float = 0.0, img_size: int = 0) -> nn.Module:
    """The timm net of that name with random weights, without its classifier.

    img_size: the side of square images, where all have the same; 0 for any size.
    Raises ValueError for an unknown name or tag, and for a drop_path out of [0, 1) or that the net does not have.
    """
    if not timm.is_model(timm_name):
        near = ", ".join(difflib.get_close_matches(timm_name, timm.list_models())) or "see timm.list_models()"
        raise ValueError(f"name must be a name that timm knows ({near}), got {timm_name!r}")
    try:
        timm.get_pretrained_cfg(timm_name)
    except RuntimeError:  # an unknown tag
        tags = ", ".join(timm.list_models(f"{timm_name.partition('.')[0]}.*", pretrained=True)) or "none"
        raise ValueError(f"name must have a tag that timm knows ({tags}), got {timm_name!r}") from None
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path must be in [0, 1), got {drop_path}")
    options = {"drop_path_rate": drop_path} if drop_path else {}
    sized = ({"img_size": img_size},) if img_size else ()
    for sizes in (*ANY_SIZE, *sized, {}):
        try:
            net = timm.create_model(timm_name, pretrained=False, in_chans=in_chans, num_classes=0, **options, **sizes)
        except TypeError as error:
            if any(f"'{option}'" in str(error) for option in sizes):
                continue  # this family does not know that option
            if "'drop_path_rate'" in str(error):
                raise ValueError(_no_drop_path(timm_name, drop_path)) from None
            raise
        break
    if drop_path and not any(isinstance(module, DropPath) and module.drop_prob for module in net.modules()):
        raise ValueError(_no_drop_path(timm_name, drop_path))
    return net


def _no_drop_path(timm_name: str, drop_path: float) -> str:
    return f"drop_path must be 0 for a net that has none in timm, got {drop_path} with {timm_name!r}"
