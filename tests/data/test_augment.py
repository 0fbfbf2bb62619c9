import pytest
import torch

from kit.data.augment import MaskPlan, SpecAugment, _hide, _hide_on_cpu, mean_frame
from kit.data.batches import generator_for


def plan_of(time=(0, 0), freq=(0, 0)) -> MaskPlan:
    return MaskPlan(torch.tensor([[time[0]], [freq[0]]]), torch.tensor([[time[1]], [freq[1]]]), 1)


def test_masked_values_by_hand():
    mel = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]])  # means 3 and 5
    masked = SpecAugment().apply(mel, plan_of(time=(1, 1)))
    assert masked.tolist() == [[[1, 2], [3, 5], [5, 9]]]
    masked = SpecAugment().apply(mel, plan_of(freq=(1, 1)))
    assert masked.tolist() == [[[1, 5], [3, 5], [5, 5]]]


def test_floor_fill_only_on_request():
    mel = torch.ones(1, 3, 2)
    assert SpecAugment(fill="floor").apply(mel, plan_of(time=(0, 1)))[0, 0].tolist() == [-20, -20]
    assert SpecAugment().apply(mel, plan_of(time=(0, 1))).min() == 1


def test_mean_counts_valid_frames_only():
    mel = torch.tensor([[[1.0], [3.0], [100.0]]])
    mask = torch.tensor([[True, True, False]])
    assert mean_frame(mel, mask).item() == 2
    assert SpecAugment().apply(mel, plan_of(time=(0, 1)), mask)[0, 0].item() == 2


def test_both_ways_of_hiding_agree():
    mel = torch.randn(50, 30, 40)
    plan = SpecAugment(time_masks=3, freq_masks=3).draw(torch.randint(1, 31, (50,)), 40, generator_for(2))
    fill = mean_frame(mel, None)
    assert torch.equal(_hide_on_cpu(mel.clone(), fill, plan), _hide(mel, fill, plan))


def test_input_kept_and_shape_and_dtype():
    mel = torch.randn(4, 30, 40)
    before = mel.clone()
    augment = SpecAugment()
    masked = augment.apply(mel, augment.draw(torch.full((4,), 30), 40, generator_for(1)))
    assert torch.equal(mel, before)
    assert masked.shape == mel.shape and masked.dtype == mel.dtype
    assert not torch.equal(masked, mel)


def test_same_seed_same_plan_and_items_differ():
    lengths = torch.full((64,), 100)
    draw = [SpecAugment().draw(lengths, 40, generator_for(seed)) for seed in (3, 3, 4)]
    assert torch.equal(draw[0].start, draw[1].start) and torch.equal(draw[0].width, draw[1].width)
    assert not torch.equal(draw[0].start, draw[2].start)
    assert draw[0].start[0].unique().numel() > 30


def test_widths_and_places_follow_their_ranges():
    plan = SpecAugment().draw(torch.full((20_000,), 100), 40, generator_for(0))
    for width, start, widest, size in (
        (plan.width[:2], plan.start[:2], 10, 100),
        (plan.width[2:], plan.start[2:], 8, 40),
    ):
        assert width.min() == 0 and width.max() == widest
        counts = torch.bincount(width.flatten())
        assert (counts / counts.sum() - 1 / (widest + 1)).abs().max() < 0.005  # uniform
        assert start.min() == 0 and (start + width).max() == size


@pytest.mark.parametrize(("frames", "widest"), [(1, 0), (2, 0), (3, 1), (6, 2), (20, 9), (21, 10), (500, 10)])
def test_masks_leave_a_short_item_a_frame(frames, widest):
    """Two masks of time: each at most half of all frames but one."""
    plan = SpecAugment().draw(torch.full((2000,), frames), 40, generator_for(0))
    assert plan.width[:2].max() == widest and plan.width[2:].max() == 8
    assert (plan.start + plan.width)[:2].max() <= frames
    counts = torch.bincount(plan.width[:2].flatten(), minlength=widest + 1)
    assert (counts / counts.sum() - 1 / (widest + 1)).abs().max() < 0.03, "uniform"


def test_no_clip_is_hidden_whole():
    augment, mel = SpecAugment(time_masks=3, freq_masks=4), torch.randn(500, 6, 9)
    plan = augment.draw(torch.full((500,), 6), 9, generator_for(1))
    assert (augment.apply(mel, plan) == mel).any(dim=(1, 2)).all()


@pytest.mark.parametrize("name", ["time_masks", "time_mask_frames", "freq_masks", "freq_mask_bins"])
def test_negative_numbers_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 0, got -1"):
        SpecAugment(**{name: -1})


def test_unknown_fill_lists_the_choices():
    with pytest.raises(ValueError, match="fill must be one of mean, floor, got 'zero'"):
        SpecAugment(fill="zero")


def test_a_repeated_plan_masks_each_block_alike():
    augment, mel = SpecAugment(), torch.randn(3, 50, 40)
    plan = augment.draw(torch.full((3,), 50), 40, torch.Generator().manual_seed(0))
    both = augment.apply(torch.cat([mel, mel + 1]), plan.repeated(2))
    torch.testing.assert_close(both[3:] - both[:3], torch.ones(3, 50, 40))
    assert torch.equal(both[:3], augment.apply(mel, plan))
