import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from kit.data.mixup import MixPlan
from kit.training.config import Config
from kit.training.multilabel import check_loss, known_accuracy, mixed_labels, multilabel_loss, positive_weights

NAN = float("nan")


def same(found, wanted):
    return torch.allclose(found, torch.tensor(wanted), equal_nan=True)


def loss(logits, target, weight=1.0, **options):
    target = torch.tensor(target)
    return multilabel_loss(torch.tensor(logits), target, target * weight, **options).item()


def test_bce_over_known_pairs_by_hand():
    # p = 0.5 and 0.8: −log 0.5 for what is there, −log 0.2 for what is not, the third pair is not looked at
    assert loss([[0.0, math.log(4), 9.0]], [[1.0, 0.0, NAN]]) == pytest.approx((math.log(2) + math.log(5)) / 2)
    assert loss([[3.0, 1.0]], [[NAN, NAN]]) == 0.0


def test_unknown_pairs_have_no_gradient():
    logits = torch.zeros(2, 3, requires_grad=True)
    target = torch.tensor([[1.0, NAN, 0.0], [NAN, NAN, 1.0]])
    multilabel_loss(logits, target, target, gamma=2.0, label_smoothing=0.1).backward()
    assert ((logits.grad == 0) == target.isnan()).all() and logits.grad.isfinite().all()


def test_it_is_torchs_loss_where_all_is_known():
    logits, target = torch.randn(5, 4), torch.rand(5, 4)
    wanted = binary_cross_entropy_with_logits(logits, target)
    assert torch.allclose(multilabel_loss(logits, target, target), wanted)
    weighted = binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor(3.0))
    assert torch.allclose(multilabel_loss(logits, target, 3 * target), weighted)


def test_focal_by_hand():
    # γ 2, p = 0.8: there (1 − p)² = 0.04 of −log 0.8; absent p² = 0.64 of −log 0.2
    assert loss([[math.log(4)]], [[1.0]], gamma=2.0) == pytest.approx(-0.04 * math.log(0.8))
    assert loss([[math.log(4)]], [[0.0]], gamma=2.0) == pytest.approx(-0.64 * math.log(0.2))
    assert loss([[math.log(4)]], [[1.0]], gamma=0.0) == pytest.approx(-math.log(0.8))
    assert math.isfinite(loss([[200.0, -200.0]], [[0.0, 1.0]], gamma=2.0))


def test_label_smoothing_by_hand():
    # ε 0.2: 1 becomes 0.9 and 0 becomes 0.1
    wanted = -(0.9 * math.log(0.8) + 0.1 * math.log(0.2))
    assert loss([[math.log(4)]], [[1.0]], label_smoothing=0.2) == pytest.approx(wanted)


def test_mixed_labels_by_hand_unknown_in_either_part_is_unknown():
    target = torch.tensor([[1.0, 0.0, NAN, NAN], [0.0, 0.0, 1.0, NAN]])
    weight = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.5, 1.0]])
    plan = MixPlan(torch.tensor(0.75), torch.tensor([1, 0]), "final")
    mixed, positive = mixed_labels(target, weight, plan)
    assert same(mixed, [[0.75, 0.0, NAN, NAN], [0.25, 0.0, NAN, NAN]])
    assert same(positive, [[0.75, 0.0, NAN, NAN], [0.25, 0.0, NAN, NAN]])
    mixed, positive = mixed_labels(target, weight, None)
    assert same(mixed, target.tolist()) and same(positive, [[1.0, 0.0, NAN, NAN], [0.0, 0.0, 0.5, NAN]])


def test_a_small_unknown_part_can_be_passed_over():
    target = torch.tensor([[1.0, NAN, NAN], [NAN, 0.0, NAN]])
    plan = MixPlan(torch.tensor([0.96, 0.5]), torch.tensor([1, 0]), "final")
    mixed, _ = mixed_labels(target, torch.ones(2, 3), plan, unknown_share=0.05)
    assert same(mixed, [[0.96, NAN, NAN], [NAN, NAN, NAN]])
    plan = MixPlan(torch.tensor(1.0), torch.tensor([1, 0]), "final")
    assert same(mixed_labels(target, torch.ones(2, 3), plan)[0], [[NAN] * 3] * 2), "the rule knows no exception"


def test_a_mixture_carries_the_weights_of_its_parts():
    target, weight = torch.tensor([[1.0], [1.0]]), torch.tensor([[4.0], [0.5]])
    plan = MixPlan(torch.tensor(0.75), torch.tensor([1, 0]), "final")
    mixed, positive = mixed_labels(target, weight, plan)
    assert same(mixed, [[1.0], [1.0]]) and same(positive, [[3.125], [1.375]])


def test_accuracy_counts_known_pairs_alone():
    logits = torch.tensor([[2.0, -1.0, 5.0], [1.0, 1.0, 1.0], [-3.0, 1.0, 0.0]])
    target = torch.tensor([[1.0, 1.0, NAN], [NAN, NAN, NAN], [0.2, 0.9, NAN]])
    assert known_accuracy(logits, target).tolist() == [0.5, 1.0, 1.0]


def test_weights_of_positives_by_epoch():
    config = Config(loss="bce", positive_weight=3.0, positive_decay=0.5, pseudo_weight=0.8, pseudo_decay=0.5)
    assert positive_weights(config, 0) == (3.0, pytest.approx(2.4))
    assert positive_weights(config, 2) == (1.5, pytest.approx(1.5 * 0.2))
    assert positive_weights(Config(loss="bce"), 7) == (1.0, 1.0)


def test_a_loss_for_other_labels_is_refused():
    check_loss(Config(), "single")
    check_loss(Config(loss="focal"), "multi")
    with pytest.raises(
        ValueError, match='loss must be "bce" or "focal" for this competition\'s labels, got \'cross_ent'
    ):
        check_loss(Config(), "multi")
    with pytest.raises(ValueError, match="loss must be \"cross_entropy\" for this competition's labels, got 'bce'"):
        check_loss(Config(loss="bce"), "single")
