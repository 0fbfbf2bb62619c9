"""Losses against numbers worked out by hand, and torch's own."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from kit.data.batch import Batch
from kit.data.mix_plan import MixPlan
from kit.parts import Part
from kit.training.losses import BCE, CrossEntropy, Focal, check_loss, known_accuracy, multilabel_loss
from kit.training.pseudo import PseudoLabels, positive_weights

NAN = float("nan")
FOUR = math.log(4)  # the logit of p = 0.8


def batch(target, weight=None, known=None):
    target, weight, known = (None if value is None else torch.tensor(value) for value in (target, weight, known))
    return Batch(torch.zeros(len(target), 1, 1), None, target, torch.arange(len(target)), None, weight, known)


def value(loss, logits, target, **more):
    return loss(torch.tensor(logits), batch(target, **more)).item()


def test_cross_entropy_by_hand():
    logits = [[math.log(0.7), math.log(0.2), math.log(0.1)]]
    assert value(CrossEntropy(), logits, [1]) == pytest.approx(-math.log(0.2))
    soft = -0.5 * math.log(0.7) - 0.5 * math.log(0.2)
    assert value(CrossEntropy(), logits, [[0.5, 0.5, 0.0]]) == pytest.approx(soft)
    smooth = -0.7 * math.log(0.7) - 0.1 * math.log(0.7 * 0.2 * 0.1)
    assert value(CrossEntropy(0.3), logits, [0]) == pytest.approx(smooth)


def test_bce_over_known_pairs_by_hand():
    # p = 0.5 and 0.8: −log 0.5 for the positive, −log 0.2 for the negative, the unknown third pair is left out
    assert value(BCE(), [[0.0, FOUR, 9.0]], [[1.0, 0.0, NAN]]) == pytest.approx((math.log(2) + math.log(5)) / 2)
    assert value(BCE(), [[3.0, 1.0]], [[NAN, NAN]]) == 0.0


def test_pairs_weigh_by_what_is_known_of_them():
    # −log 0.5 weighs 1, −log 0.2 a quarter
    wanted = (math.log(2) + 0.25 * math.log(5)) / 1.25
    assert value(BCE(), [[0.0, FOUR]], [[1.0, 0.0]], known=[[1.0, 0.25]]) == pytest.approx(wanted)


def test_positives_have_their_weight():
    # 3 · 0.5 · −log 0.8 − 0.5 · log 0.2 of a target of a half
    wanted = 1.5 * -math.log(0.8) + 0.5 * math.log(5)
    assert value(BCE(), [[FOUR]], [[0.5]], weight=[[3.0]]) == pytest.approx(wanted)


def test_unknown_pairs_have_no_gradient():
    logits = torch.zeros(2, 3, requires_grad=True)
    target = torch.tensor([[1.0, NAN, 0.0], [NAN, NAN, 1.0]])
    multilabel_loss(logits, target, gamma=2.0, label_smoothing=0.1).backward()
    assert ((logits.grad == 0) == target.isnan()).all() and logits.grad.isfinite().all()


def test_it_is_torchs_loss_where_all_is_known():
    logits, target = torch.randn(5, 4), torch.rand(5, 4)
    torch.testing.assert_close(multilabel_loss(logits, target), binary_cross_entropy_with_logits(logits, target))
    weighted = binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor(3.0))
    torch.testing.assert_close(multilabel_loss(logits, target, torch.full((5, 4), 3.0)), weighted)


def test_focal_by_hand():
    # γ 2, p = 0.8: a positive weighs (1 − p)² = 0.04, a negative p² = 0.64
    assert value(Focal(2.0), [[FOUR]], [[1.0]]) == pytest.approx(-0.04 * math.log(0.8))
    assert value(Focal(2.0), [[FOUR]], [[0.0]]) == pytest.approx(-0.64 * math.log(0.2))
    assert value(Focal(0.0), [[FOUR]], [[1.0]]) == pytest.approx(-math.log(0.8))
    assert math.isfinite(value(Focal(2.0), [[200.0, -200.0]], [[0.0, 1.0]]))


def test_label_smoothing_by_hand():
    # ε 0.2: 1 becomes 0.9 and 0 becomes 0.1
    wanted = -(0.9 * math.log(0.8) + 0.1 * math.log(0.2))
    for loss in (BCE(0.2), Focal(0.0, 0.2)):
        assert value(loss, [[FOUR]], [[1.0]]) == pytest.approx(wanted)


def test_a_mixture_is_the_loss_of_its_labels():
    """λ 0.75 of two rows, of which the second knows nothing of its pair: the first's label, weighted by 0.75."""
    plan = MixPlan(torch.tensor(0.75), torch.tensor([1, 0]), "input")
    mixed = batch([[1.0, 0.0], [NAN, 1.0]], [[1.0, 1.0], [1.0, 1.0]])._replace(plan=plan).mixed(2)
    found = BCE()(torch.tensor([[0.0, 0.0], [FOUR, FOUR]]), mixed).item()
    first, second = (0.75 + 1) * math.log(2), 0.25 * -math.log(0.8) - 0.75 * math.log(0.8) - 0.25 * math.log(0.2)
    assert found == pytest.approx((first + second) / (0.75 + 0.25 + 1 + 1))


def test_accuracy_counts_known_pairs_alone():
    logits = torch.tensor([[2.0, -1.0, 5.0], [1.0, 1.0, 1.0], [-3.0, 1.0, 0.0]])
    target = torch.tensor([[1.0, 1.0, NAN], [NAN, NAN, NAN], [0.2, 0.9, NAN]])
    assert known_accuracy(logits, target).tolist() == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("kind", [BCE, Focal])
def test_weights_of_positives_by_epoch(kind):
    loss, pseudo = kind(positive_weight=3.0, positive_decay=0.5), PseudoLabels("x", weight=0.8, decay=0.5)
    assert positive_weights(loss, pseudo, 0) == (3.0, pytest.approx(2.4))
    assert positive_weights(loss, pseudo, 2) == (1.5, pytest.approx(1.5 * 0.2))
    assert positive_weights(kind(), None, 7) == (1.0, 1.0)


def test_a_loss_for_other_labels_is_refused():
    check_loss(CrossEntropy(), "single")
    check_loss(Focal(), "multi")
    for task in ("single", "multi"):
        check_loss(Part(multilabel_loss), task)  # one's own is for both
    with pytest.raises(ValueError, match="loss must be BCE or Focal, or one of your own, for this .* got CrossEntropy"):
        check_loss(CrossEntropy(), "multi")
    with pytest.raises(ValueError, match="loss must be CrossEntropy, or one of your own, for this .* labels, got BCE"):
        check_loss(BCE(), "single")
