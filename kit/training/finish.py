"""After training: class means in place of the prototypes, and the views' prototypes mixed in."""

import numpy as np
import torch
from torch import nn

from kit.models.heads import class_means, mix_prototypes
from kit.training.predict import embed


@torch.no_grad()
def finish_prototypes(model: nn.Module, store, rows, config, accelerator) -> None:
    """Replace and mix the weights of the heads in place, as config.replace_prototypes and lpc_prototypes say.

    Class means are of the embeddings, in eval mode, of the whole utterances of `rows`, of those classes they have. The
    formant's prototypes are mixed in first, then the residual's; those of the swapped residuals are left alone.
    Raises ValueError where a row has no class.
    """
    heads = {"speech": model.head, **model.view_heads}
    if config.replace_prototypes:
        target = torch.from_numpy(store.index["target"].to_numpy()[np.asarray(rows)])
        if target.min() < 0:
            raise ValueError(
                "replace_prototypes must be False unless each training row has its one class, got a row without"
            )
        present, place = target.unique(return_inverse=True)
        z = embed(model, store, rows, config, accelerator)  # (N, D), or (N, 3, D)
        views = torch.from_numpy(z).reshape(len(rows), -1, z.shape[-1]).unbind(1)
        for name, view in zip(("speech", "formant", "residual"), views, strict=False):
            if name in heads:
                weight = heads[name].weight
                weight[present.to(weight.device)] = class_means(view, place, len(present)).to(weight)
    if config.lpc_prototypes:
        for name in ("formant", "residual"):
            model.head.weight.copy_(mix_prototypes(model.head.weight, heads[name].weight, config.lpc_prototypes))
