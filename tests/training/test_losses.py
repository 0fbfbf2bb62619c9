"""Losses against numbers worked out by hand, and torch's own."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from kit.data.batch import Batch
from kit.data.mix_plan import MixPlan
from kit.parts import Part
from kit.training.losses import (
    BCE,
    Asymmetric,
    CrossEntropy,
    Focal,
    SoftAUC,
    check_loss,
    known_accuracy,
    multilabel_loss,
)
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


def test_asymmetric_by_hand():
    """p = 0.8: a positive of γ 1 weighs 0.2; a negative is q = 0.75, weighs 0.75⁴ and counts −log 0.25."""
    assert value(Asymmetric(gamma_positive=1.0), [[FOUR]], [[1.0]]) == pytest.approx(-0.2 * math.log(0.8))
    assert value(Asymmetric(), [[FOUR]], [[0.0]]) == pytest.approx(-(0.75**4) * math.log(0.25), rel=1e-5)
    assert value(Asymmetric(shift=0.0), [[FOUR]], [[0.0]]) == pytest.approx(-(0.8**4) * math.log(0.2), rel=1e-5)
    assert value(Asymmetric(0.0, 0.0, 0.0), [[0.0, FOUR, 9.0]], [[1.0, 0.0, NAN]]) == pytest.approx(
        (math.log(2) + math.log(5)) / 2
    )
    assert value(Asymmetric(), [[FOUR]], [[1.0]], weight=[[3.0]]) == pytest.approx(-3 * math.log(0.8))


def test_asymmetric_forgets_negatives_below_its_shift():
    logits = torch.tensor([[-4.0, -2.0]], requires_grad=True)  # p = 0.018 and 0.119
    loss = Asymmetric()(logits, batch([[0.0, 0.0]]))
    loss.backward()
    assert logits.grad[0, 0] == 0 and logits.grad[0, 1] > 0


def test_soft_auc_by_hand():
    """Row 0 has the class, row 1 lacks it, of row 2 nothing is known: one pair, log(1 + 1/3) or with γ 2 log(1 + 1/9);
    no row has the second class.
    """
    logits, target = [[math.log(3), 5.0], [0.0, 1.0], [9.0, 2.0]], [[1.0, 0.0], [0.0, 0.0], [NAN, NAN]]
    assert value(SoftAUC(), logits, target) == pytest.approx(math.log(4 / 3))
    assert value(SoftAUC(gamma=2.0), logits, target) == pytest.approx(math.log(10 / 9))
    assert value(SoftAUC(), logits, [[NAN, 0.0]] * 3) == 0
    # Soft labels ¾ and ¼: the pair in order weighs ¾ · ¾, the other ¼ · ¼.
    soft = (0.5625 * math.log(4 / 3) + 0.0625 * math.log(4)) / 0.625
    assert value(SoftAUC(), [[math.log(3)], [0.0]], [[0.75], [0.25]]) == pytest.approx(soft)
    # Three rows: the second pair counts a half.
    known = (math.log(4 / 3) + 0.5 * math.log(2)) / 1.5
    assert value(
        SoftAUC(), [[math.log(3)], [0.0], [math.log(3)]], [[1.0], [0.0], [0.0]], known=[[1.0], [1.0], [0.5]]
    ) == pytest.approx(known)


def test_soft_auc_is_the_mean_over_pairs_of_a_class():
    logits, target = torch.randn(7, 3), torch.randint(2, (7, 3)).float()
    target[torch.rand(7, 3) < 0.3] = NAN
    pairs = [
        math.log1p(math.exp(logits[j, c] - logits[i, c]))
        for c in range(3) for i in range(7) for j in range(7) if target[i, c] == 1 and target[j, c] == 0
    ]  # fmt: skip
    assert SoftAUC()(logits, batch(target.tolist())).item() == pytest.approx(sum(pairs) / len(pairs), rel=1e-5)


@pytest.mark.parametrize("loss", [BCE(), Focal(), Asymmetric(), Asymmetric(1.0, 2.0, 0.0), SoftAUC()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_losses_are_finite_for_extreme_logits(loss, dtype):
    """In single precision, whatever the net's: a wrong sure logit of 60,000 costs at most itself."""
    logits = torch.tensor([[6e4, -6e4, 0.0], [-6e4, 6e4, 6e4]], dtype=dtype, requires_grad=True)
    found = loss(logits, batch([[1.0, 1.0, NAN], [1.0, 0.0, 0.0]]))
    found.backward()
    assert found.dtype == torch.float32 and 0 <= found.item() < 2e5 and logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Asymmetric(gamma_negative=0.5), "gamma_negative must be 0 or at least 1, got 0.5"),
        (lambda: Asymmetric(gamma_positive=-1.0), "gamma_positive must be at least 0, got -1.0"),
        (lambda: Asymmetric(shift=1.0), r"shift must be in \[0, 1\), got 1.0"),
        (lambda: SoftAUC(gamma=0.0), "gamma must be above 0, got 0.0"),
    ],
)
def test_fields_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


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


@pytest.mark.parametrize("kind", [BCE, Focal, Asymmetric])
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
    with pytest.raises(ValueError, match="loss must be BCE, Focal, Asymmetric or SoftAUC, or one .* got CrossEntropy"):
        check_loss(CrossEntropy(), "multi")
    with pytest.raises(ValueError, match="loss must be CrossEntropy, or one of your own, for this .* labels, got BCE"):
        check_loss(BCE(), "single")
