"""What mix "lpc" adds to the loss: the formant and residual views of the same utterances beside the speech view.

e, f and r are the embeddings of the speech, formant and residual views, from one net; ê is e at length 1. The
prototypes of a head are its weights, one a class: W the net's own, W_f, W_r and W_s beside it. The views go through the
net as one batch, so batch norms, where it has them, are of all three; conv_norm "group" has none of that.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from kit.models.heads import mix_directions

Classify = Callable[[nn.Module, Tensor], Tensor]  # (head, z (B, D)) -> the batch's classification loss


def mel_axis_notice(config, store) -> str:
    """A line to show where mix "lpc" has no waves, only log-mels; else empty."""
    if config.mix != "lpc" or store.kind == "wave":
        return ""
    return 'mix "lpc": along the mel axis, for the store holds log-mels; of audio it is taken with features "wave"'


def lpc_losses(
    config, net, z: Tensor, target: Tensor, classify: Classify, generator: torch.Generator
) -> dict[str, Tensor]:
    """Each weighted term that mix "lpc" adds to CE(e, W), by name, of z (3B, D): speech, formant, residual rows.

    target: class numbers (B,) or labels (B, C), for the shuffles, which the generator draws. The instance-level terms
    classify e_f and e_r; the source's published code has f̂ and r̂ there, which its author noted as an error.
    """
    (e, f, r), heads, losses = z.float().chunk(3), net.view_heads, {}
    if config.lpc_formant:
        losses["formant"] = config.lpc_formant * classify(heads["formant"], f)
    if config.lpc_residual:
        losses["residual"] = config.lpc_residual * classify(heads["residual"], r)
    if config.lpc_recombination:
        losses["recombination"] = config.lpc_recombination * recombination_loss(e, f, r)
    if config.lpc_shuffled:
        uniform = torch.rand(2, len(e), generator=generator).to(z.device)
        of_f, of_r = (shuffled_within(groups_of(target), one) for one in uniform)
        losses["shuffled"] = config.lpc_shuffled * recombination_loss(e, f[of_f], r[of_r])
    if config.lpc_instance:
        mixtures = [mix_directions(e, view, config.lpc_instance) for view in (f, r)]
        losses["instance"] = config.lpc_instance * sum(classify(net.head, mixture) for mixture in mixtures)
    if config.lpc_swap != "none" and config.lpc_swap_weight:
        losses["swap"] = config.lpc_swap_weight * classify(heads["swap"], swap_residuals(e, r, config.lpc_swap))
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
    place = group.argsort(stable=True)
    shuffled = (group + uniform.double()).argsort()  # the same groups, each in a drawn order
    return torch.empty_like(place).scatter(0, place, shuffled)


def groups_of(target: Tensor) -> Tensor:
    """Numbers (B,) of rows with the same target: class numbers (B,) as they are, or equal rows of labels (B, C)."""
    return target if target.dim() == 1 else torch.unique(target, dim=0, return_inverse=True)[1]
