import pytest
import torch

from kit.models.stem import FrameStem, Normalize, stack_frames

MEL = torch.tensor([[[1.0, 5.0], [3.0, 5.0], [-20.0, -20.0]]])  # (1, 3, 2), the last frame padding
FIRST_TWO = torch.tensor([[True, True, False]])


@pytest.mark.parametrize(
    "normalize, expected",
    [
        ("none", [[1.0, 5.0], [3.0, 5.0], [0.0, 0.0]]),
        ("mean", [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]),
        ("mean_std", [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]),
    ],
)
def test_normalize_by_hand(normalize, expected):
    found = Normalize(normalize)(MEL, FIRST_TWO)
    torch.testing.assert_close(found, torch.tensor([expected]), atol=1e-5, rtol=0)


def test_mean_std_divides_by_the_deviation():
    mel = torch.tensor([[[0.0], [4.0], [8.0]]])  # mean 4, deviation sqrt(32 / 3)
    found = Normalize("mean_std")(mel)
    torch.testing.assert_close(found.flatten(), torch.tensor([-(1.5**0.5), 0.0, 1.5**0.5]))


@pytest.mark.parametrize("normalize", ["none", "mean", "mean_std"])
def test_padding_does_not_reach_the_valid_frames(normalize):
    mel, mask = torch.randn(3, 9, 4), (torch.arange(9) < 6).expand(3, 9)
    before = mel.clone()
    found = Normalize(normalize)(mel, mask)
    torch.testing.assert_close(found[:, :6], Normalize(normalize)(mel[:, :6]))
    assert (found[:, 6:] == 0).all()
    assert torch.equal(mel, before)


def test_unknown_normalize_lists_the_choices():
    with pytest.raises(ValueError, match="normalize must be one of none, mean, mean_std, got 'means'"):
        Normalize("means")


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
