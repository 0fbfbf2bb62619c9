"""After training: class means in place of the prototypes, and the views' prototypes mixed in."""

from typing import Any

import numpy as np
import torch

from kit.models.heads import class_means, mix_prototypes
from kit.parts import at_least, part
from kit.training.predict import embed
from kit.training.views import check_angular


@part
class BaseSession:
    """The base session of a few-shot protocol: only the first n_base classes are trained and predicted; 0 is all.

    replace_prototypes: after training each prototype becomes its class's mean embedding.
    """

    n_base: int = 0
    replace_prototypes: bool = True

    def check(self):
        at_least(self, 0, "n_base")

    def check_with(self, experiment: Any):
        if self.replace_prototypes:
            check_angular(experiment.net, "replace_prototypes")


def check_base(session: BaseSession | None, store, rows) -> None:
    """Raises ValueError where a training row's class is not of the base session."""
    if session is not None and session.n_base:
        highest, n_classes = int(store.index["target"].to_numpy()[np.asarray(rows)].max()), len(store.classes)
        if not highest < session.n_base <= n_classes:
            raise ValueError(f"n_base must be in [{highest + 1}, {n_classes}] for these rows, got {session.n_base}")


def changes_prototypes(experiment: Any) -> bool:
    """Is anything to be done to the heads after training?"""
    session, views = experiment.session, experiment.views
    return bool(session and session.replace_prototypes or views and views.prototypes)


@torch.no_grad()
def finish_prototypes(model: Any, store, rows, experiment: Any, accelerator) -> None:
    """Replace and mix the weights of the heads in place, as the experiment's session and views say.

    Class means are of the embeddings, in eval mode, of the whole utterances of `rows`, of those classes they have. The
    formant's prototypes are mixed in first, then the residual's; those of the swapped residuals are left alone.
    Raises ValueError where a row has no class.
    """
    session, views = experiment.session, experiment.views
    heads = {"speech": model.head, **model.view_heads}
    if session and session.replace_prototypes:
        target = torch.from_numpy(store.index["target"].to_numpy()[np.asarray(rows)])
        if target.min() < 0:
            raise ValueError(
                "replace_prototypes must be False unless each training row has its one class, got a row without"
            )
        present, number = target.unique(return_inverse=True)
        z = embed(model, store, rows, experiment, accelerator)  # (N, D), or (N, 3, D)
        of_views = torch.from_numpy(z).reshape(len(rows), -1, z.shape[-1]).unbind(1)
        for name, view in zip(("speech", "formant", "residual"), of_views, strict=False):
            if name in heads:
                weight = heads[name].weight
                weight[present.to(weight.device)] = class_means(view, number, len(present)).to(weight)
    if views and views.prototypes:
        for name in ("formant", "residual"):
            model.head.weight.copy_(mix_prototypes(model.head.weight, heads[name].weight, views.prototypes))
