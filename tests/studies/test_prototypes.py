import math

import pytest
import torch

from kit.studies.prototypes import Recipe, calibrate, cosines


def rows(n, width=5, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def unit(x):
    return x / x.norm(dim=1, keepdim=True)


def test_cosines_by_hand():
    found = cosines(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 0.5], [-3.0, -4.0]]))
    assert found.tolist()[0] == pytest.approx([0.6, 0.8, -1.0])


def test_calibration_by_hand():
    # cosines of the new prototype with the two base ones: 0.6 and 0.8; temperature ln 3 / 0.2 makes the shares 1 : 3
    new, base = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    delta = [0.25 / math.hypot(0.25, 0.75), 0.75 / math.hypot(0.25, 0.75)]  # 0.3162, 0.9487
    found = calibrate(new, base, weight=0.5, temperature=math.log(3) / 0.2)
    assert found.tolist()[0] == pytest.approx([0.5 * 0.6 + 0.5 * delta[0], 0.5 * 0.8 + 0.5 * delta[1]])


def test_calibration_without_weight_leaves_the_direction():
    torch.testing.assert_close(calibrate(rows(3), rows(4, seed=1), weight=0.0), unit(rows(3)))


def test_the_only_base_prototype_is_the_aim():
    found = calibrate(rows(3), rows(1, seed=1), weight=1.0, temperature=7.0)
    torch.testing.assert_close(found, unit(rows(1, seed=1)).expand(3, -1))


def test_a_high_temperature_picks_the_nearest_base_prototype():
    new, base = rows(6), rows(4, seed=1)
    nearest = (unit(new) @ unit(base).T).argmax(1)
    assert len(set(nearest.tolist())) > 1
    torch.testing.assert_close(calibrate(new, base, 1.0, temperature=1e6), unit(base)[nearest])


def test_a_low_temperature_takes_all_base_prototypes_alike():
    new, base = rows(2), rows(4, seed=1)
    middle = unit(unit(base).mean(0, keepdim=True)).expand(2, -1)
    torch.testing.assert_close(calibrate(new, base, 1.0, temperature=1e-6), middle, atol=1e-5, rtol=0)


def test_calibration_does_not_see_lengths_or_the_order_of_the_base():
    new, base = rows(3), rows(4, seed=1)
    found = calibrate(new, base)
    torch.testing.assert_close(calibrate(7 * new, base * torch.tensor([[1.0], [2.0], [3.0], [4.0]])), found)
    torch.testing.assert_close(calibrate(new, base[[2, 0, 3, 1]]), found)
    torch.testing.assert_close(calibrate(new[[2, 0, 1]], base), found[[2, 0, 1]])


def test_a_plain_recipe_is_the_speech_views_directions():
    means = torch.stack([rows(5), rows(5, seed=1), rows(5, seed=2)])
    before = means.clone()
    torch.testing.assert_close(Recipe().prototypes(means, 3), unit(means[0]))
    torch.testing.assert_close(Recipe().prototypes(means[:1], 3), unit(means[0]))
    assert torch.equal(means, before)


def test_calibration_in_a_recipe_moves_the_new_classes_alone():
    means = rows(5)[None]
    found = Recipe(calibration=0.5, temperature=8.0).prototypes(means, 3)
    torch.testing.assert_close(found[:3], unit(means[0])[:3])
    torch.testing.assert_close(found[3:], unit(calibrate(means[0, 3:], means[0, :3], 0.5, 8.0)))


def test_the_views_are_mixed_in_one_after_the_other_by_hand():
    # speech along x, formant along y, residual along x: (0.5, 0.5) -> (s, s) with s = √½; then (½s + ½, ½s)
    means = torch.tensor([[[2.0, 0.0]], [[0.0, 3.0]], [[5.0, 0.0]]])
    s = math.sqrt(0.5)
    assert Recipe(formant=0.5).prototypes(means, 1).tolist()[0] == pytest.approx([s, s])
    x, y = 0.5 * s + 0.5, 0.5 * s
    found = Recipe(formant=0.5, residual=0.5).prototypes(means, 1)
    assert found.tolist()[0] == pytest.approx([x / math.hypot(x, y), y / math.hypot(x, y)])


def test_a_whole_weight_takes_the_views_prototypes():
    means = torch.stack([rows(5), rows(5, seed=1), rows(5, seed=2)])
    torch.testing.assert_close(Recipe(formant=1.0).prototypes(means, 3), unit(means[1]))
    torch.testing.assert_close(Recipe(residual=1.0).prototypes(means, 3), unit(means[2]))


def test_calibration_comes_after_the_views():
    means = torch.stack([rows(5), rows(5, seed=1), rows(5, seed=2)])
    mixed = Recipe(formant=0.3, residual=0.2).prototypes(means, 3)
    both = Recipe(formant=0.3, residual=0.2, calibration=0.4).prototypes(means, 3)
    torch.testing.assert_close(both, Recipe(calibration=0.4).prototypes(mixed[None], 3))


def test_bad_numbers_are_named():
    with pytest.raises(ValueError, match=r"weight must be in \[0, 1\], got 1.5"):
        calibrate(rows(1), rows(1), weight=1.5)
    for value in (0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="temperature must be above 0 and finite, got"):
            calibrate(rows(1), rows(1), temperature=value)
    for name in ("formant", "residual", "calibration"):
        with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\], got -0.1"):
            Recipe(**{name: -0.1})
    with pytest.raises(ValueError, match="temperature must be above 0 and finite, got 0"):
        Recipe(temperature=0)
    with pytest.raises(ValueError, match="formant must be 0 where there is the speech view alone, got 0.1"):
        Recipe(formant=0.1).prototypes(rows(5)[None], 3)
