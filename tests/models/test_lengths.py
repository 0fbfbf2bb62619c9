import pytest
import torch

from kit.models.lengths import embed_by_length


def test_clips_of_one_length_run_together_and_come_back_in_order_by_hand():
    shapes = []

    def embed(mel):
        shapes.append(tuple(mel.shape))
        return mel.sum(1)

    mel = torch.tensor([[1.0, 2.0, 9.0], [3.0, 4.0, 5.0], [6.0, 7.0, 9.0], [8.0, 9.0, 9.0]]).unsqueeze(2)
    mask = torch.arange(3) < torch.tensor([2, 3, 2, 1]).unsqueeze(1)
    assert embed_by_length(embed, mel, mask).flatten().tolist() == [3, 12, 13, 8]
    assert shapes == [(1, 1, 1), (2, 2, 1), (1, 3, 1)]


def test_padding_before_a_frame_is_refused():
    mask = torch.tensor([[True, False, True]])
    with pytest.raises(ValueError, match="mask must be True, then False, along time for a net that can't mask"):
        embed_by_length(lambda mel: mel.sum(1), torch.zeros(1, 3, 1), mask)
