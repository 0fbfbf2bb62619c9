import pytest
import torch

from kit.models.stem import FrameStem, ImageNetStatistics, Normalize, stack_frames

MEL = torch.tensor([[[1.0, 5.0], [3.0, 5.0], [-20.0, -20.0]]])  # (1, 3, 2), the last frame padding
FIRST_TWO = torch.tensor([[True, True, False]])


@pytest.mark.parametrize(
    "normalize, expected",
    [
        ("none", [[1.0, 5.0], [3.0, 5.0], [0.0, 0.0]]),
        ("mean", [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]),
        ("mean_std", [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]),
        # The four valid cells 1, 5, 3, 5: mean 3.5, deviation sqrt(2.75); least 1, largest 5.
        ("clip", [[-2.5 / 2.75**0.5, 1.5 / 2.75**0.5], [-0.5 / 2.75**0.5, 1.5 / 2.75**0.5], [0.0, 0.0]]),
        ("min_max", [[0.0, 1.0], [0.5, 1.0], [0.0, 0.0]]),
    ],
)
def test_normalize_by_hand(normalize, expected):
    found = Normalize(normalize)(MEL, FIRST_TWO)
    torch.testing.assert_close(found, torch.tensor([expected]), atol=1e-5, rtol=0)


def test_mean_std_divides_by_the_deviation():
    mel = torch.tensor([[[0.0], [4.0], [8.0]]])  # mean 4, deviation sqrt(32 / 3)
    found = Normalize("mean_std")(mel)
    torch.testing.assert_close(found.flatten(), torch.tensor([-(1.5**0.5), 0.0, 1.5**0.5]))


def test_a_top_raises_what_lies_under_it_before_anything_else():
    """20 dB of power under the largest value are ln(100) = 4.605 nats: of 10, 7 and 0 the last becomes 5.395."""
    mel = torch.tensor([[[10.0], [7.0], [0.0], [99.0]]])
    mask = torch.tensor([[True, True, True, False]])
    torch.testing.assert_close(Normalize("none", 20.0)(mel, mask).flatten(), torch.tensor([10.0, 7.0, 5.39483, 0.0]))
    torch.testing.assert_close(
        Normalize("min_max", 20.0)(mel, mask).flatten(), torch.tensor([1.0, 1.60517 / 4.60517, 0.0, 0.0])
    )


@pytest.mark.parametrize("top_db", [0.0, 10.0])
@pytest.mark.parametrize("normalize", ["none", "mean", "mean_std", "clip", "min_max"])
def test_padding_does_not_reach_the_valid_frames(normalize, top_db):
    mel, mask = torch.randn(3, 9, 4) * 3, (torch.arange(9) < 6).expand(3, 9)
    mel[:, 6:] += 50
    before = mel.clone()
    found = Normalize(normalize, top_db)(mel, mask)
    torch.testing.assert_close(found[:, :6], Normalize(normalize, top_db)(mel[:, :6]))
    assert (found[:, 6:] == 0).all()
    assert torch.equal(mel, before)


@pytest.mark.parametrize("normalize", ["mean_std", "clip", "min_max"])
def test_a_clip_of_one_value_is_nothing_but_zeros(normalize):
    assert (Normalize(normalize, 80.0)(torch.full((1, 4, 3), -20.7)).abs() < 1e-3).all()


def test_clips_are_scaled_apart():
    mel = torch.randn(2, 9, 4)
    for normalize in ("clip", "min_max"):
        both = Normalize(normalize)(torch.cat([mel, 3 * mel + 7]))
        torch.testing.assert_close(both[:2], both[2:], atol=1e-4, rtol=0)


def test_unknown_normalize_lists_the_choices():
    with pytest.raises(ValueError, match="normalize must be one of none, mean, mean_std, clip, min_max, got 'means'"):
        Normalize("means")


@pytest.mark.parametrize("top_db", [-1.0, float("inf"), float("nan")])
def test_a_top_is_a_number_of_decibels(top_db):
    with pytest.raises(ValueError, match=f"top_db must be >= 0, got {top_db}"):
        Normalize("min_max", top_db)


def test_imagenets_statistics_by_hand():
    """White is (1 - 0.485) / 0.229 = 2.2489 in red; of one channel (1 - 0.449) / 0.226 = 2.438."""
    white = ImageNetStatistics(3)(torch.ones(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(white, torch.tensor([2.24891, 2.42857, 2.64]))
    torch.testing.assert_close(ImageNetStatistics(1)(torch.ones(1, 1, 1, 1)).item(), (1 - 1.347 / 3) / (0.678 / 3))
    with pytest.raises(ValueError, match="in_chans must be 1 or 3 with ImageNet's statistics, got 2"):
        ImageNetStatistics(2)


def test_stacked_frames_by_hand():
    mel = torch.arange(10.0).view(1, 5, 2)
    stacked, mask = stack_frames(mel, torch.tensor([[True, True, True, False, False]]), 2)
    assert stacked.tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]]]
    assert mask.tolist() == [[True, True, False]]  # a pair is valid where one of the two is


def test_stacking_without_mask_keeps_every_frame():
    stacked, mask = stack_frames(torch.randn(2, 7, 3), None, 3)
    assert stacked.shape == (2, 3, 9) and mask is None


def test_stem_is_one_linear_over_stacked_frames():
    stem, mel = FrameStem(4, 6, "none", 2), torch.randn(2, 5, 4)
    frames, _ = stem(mel)
    assert frames.shape == (2, 3, 6)
    torch.testing.assert_close(frames[:, 1], stem.linear(torch.cat([mel[:, 2], mel[:, 3]], dim=1)))


def test_frame_stack_must_be_positive():
    with pytest.raises(ValueError, match="frame_stack must be >= 1, got 0"):
        FrameStem(4, 6, "none", 0)
