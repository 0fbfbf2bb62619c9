"""LPC views: the formant and residual views of the same utterances beside the speech view, and their losses.

e, f and r are the embeddings of the speech, formant and residual views, from one net; ê is e at length 1. The
prototypes of a head are its weights, one a class: W the net's own, W_f, W_r and W_s beside it. The views go through the
net as one batch, so batch norms, where it has them, are of all three; conv_norm "group" has none of that.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kit.models.heads import mix_directions
from kit.parts import at_least, one_of, part, part_name, share

Classify = Callable[[nn.Module, Tensor], Tensor]  # (head, z (B, D)) -> the batch's classification loss


@part
class LPCViews:
    """Losses beside CE(e, W) on the three aligned views of kit.data.lpc; a weight of 0 is off.

    The source's note adds the formant's and the residual's classification with weight 1 each; 0.5 for the residual is
    our default.
    """

    order: int = 16  # of the linear prediction
    formant: float = 1.0  # weight of the formant view's classification, by prototypes of its own
    residual: float = 0.5  # and of the residual view's
    recombination: float = 0.0  # weight of 1 − cos(e, f + r)
    shuffled: float = 0.0  # and of the same with f and r from other utterances of the class
    instance: float = 0.1  # share of f, and of r, in a mixture with e, and weight of its classification
    swap: str = "none"  # "least" or "most": e with the residual of the least or most similar other utterance
    swap_weight: float = 1.0
    prototypes: float = 0.0  # after training: share of the formant's, then the residual's prototypes in the net's

    def check(self):
        at_least(self, 1, "order")
        at_least(self, 0, "formant", "residual", "recombination", "shuffled", "swap_weight")
        share(self, "instance", "prototypes")
        one_of(self, "swap", ("none", "least", "most"))

    def check_with(self, experiment: Any):
        replaced = experiment.session is not None and experiment.session.replace_prototypes
        if self.prototypes and not (replaced or self.formant and self.residual):
            raise ValueError(
                "prototypes must be 0 where formant or residual is 0 and no session replaces prototypes, "
                f"got {self.prototypes}"
            )
        check_angular(experiment.net, "views")
        if getattr(experiment.loss, "task", "single") == "multi":
            raise ValueError(f"views are for one label a row, got the loss {part_name(experiment.loss)}")

    def heads(self) -> dict[str, bool]:
        """The prototypes kept beside W, of the formant, the residual, the swapped residual; are they trained?

        Where they will be mixed into W, those of weight 0, which the loss does not train, are there too.
        """
        weights = {"formant": self.formant, "residual": self.residual}
        kept = {name: weight > 0 for name, weight in weights.items() if weight or self.prototypes}
        return kept | ({"swap": self.swap_weight > 0} if self.swap != "none" else {})


def check_angular(net: Any, why: str) -> None:
    """Raises ValueError where a net's head has no prototypes to compare by angle."""
    head = getattr(net, "head", net)
    if not getattr(head, "angular", False):
        raise ValueError(f"head must be Cosine or AMSoftmax with {why}, which compare angles, got {part_name(head)}")


def mel_axis_notice(views: LPCViews | None, store: Any) -> str:
    """A line to show where there are no waves to take LPC views of, only log-mels; else empty."""
    if views is None or store.kind == "wave":
        return ""
    return "LPCViews: along the mel axis, for the store holds log-mels; of audio they are taken with features=Wave()"


def view_losses(
    views: LPCViews, net: Any, z: Tensor, target: Tensor, classify: Classify, generator: torch.Generator
) -> dict[str, Tensor]:
    """Each weighted term that the views add to CE(e, W), by name, of z (3B, D): speech, formant, residual rows.

    target: class numbers (B,) or labels (B, C), for the shuffles, which the generator draws. The instance-level terms
    classify e_f and e_r; the source's published code has f̂ and r̂ there, which its author noted as an error.
    """
    (e, f, r), heads, losses = z.float().chunk(3), net.view_heads, {}
    if views.formant:
        losses["formant"] = views.formant * classify(heads["formant"], f)
    if views.residual:
        losses["residual"] = views.residual * classify(heads["residual"], r)
    if views.recombination:
        losses["recombination"] = views.recombination * recombination_loss(e, f, r)
    if views.shuffled:
        uniform = torch.rand(2, len(e), generator=generator).to(z.device)
        of_f, of_r = (shuffled_within(groups_of(target), one) for one in uniform)
        losses["shuffled"] = views.shuffled * recombination_loss(e, f[of_f], r[of_r])
    if views.instance:
        mixtures = [mix_directions(e, view, views.instance) for view in (f, r)]
        losses["instance"] = views.instance * sum(classify(net.head, mixture) for mixture in mixtures)
    if views.swap != "none" and views.swap_weight:
        losses["swap"] = views.swap_weight * classify(heads["swap"], swap_residuals(e, r, views.swap))
    return losses


def recombination_loss(e: Tensor, f: Tensor, r: Tensor) -> Tensor:
    """1 − mean cos(e, f + r), of (B, D) each: 0 where formant and residual add up to the speech's direction."""
    return 1 - functional.cosine_similarity(e, f + r, dim=1).mean()


def swap_residuals(e: Tensor, r: Tensor, which: str) -> Tensor:
    """ê − r̂ + r̂[j], j the "least" or "most" similar other utterance by cos(e, e[j]); (B, D) each.

    A batch of one has no other: it comes back as ê.
    """
    e, r = functional.normalize(e, dim=1), functional.normalize(r, dim=1)
    similarity = (e @ e.T).detach()  # (B, B)
    if which == "most":
        j = similarity.fill_diagonal_(-torch.inf).argmax(dim=1)
    else:
        j = similarity.fill_diagonal_(torch.inf).argmin(dim=1)
    return e - r + r[j]


def shuffled_within(group: Tensor, uniform: Tensor) -> Tensor:
    """A permutation (B,) that keeps each item in its group (B,), drawn by uniform (B,) in [0, 1)."""
    order = group.argsort(stable=True)
    shuffled = (group + uniform.double()).argsort()  # the same groups, each in a drawn order
    return torch.empty_like(order).scatter(0, order, shuffled)


def groups_of(target: Tensor) -> Tensor:
    """Numbers (B,) of rows with the same target: class numbers (B,) as they are, or equal rows of labels (B, C)."""
    return target if target.dim() == 1 else torch.unique(target, dim=0, return_inverse=True)[1]
