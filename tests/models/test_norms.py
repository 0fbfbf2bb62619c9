import pytest
import torch
from torch import nn

from kit.models.norms import BatchNorm, GroupNorm

MASK = torch.arange(7) < torch.tensor([7, 4, 5]).unsqueeze(1)  # (3, 7)


def randomised(norm):
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def test_batch_norm_with_mask_is_torch_over_the_valid_frames():
    norm, torchs = randomised(BatchNorm(5)), nn.BatchNorm1d(5)
    torchs.load_state_dict(norm.state_dict())
    h = (3 + 2 * torch.randn(3, 7, 5)).requires_grad_()
    same = h.detach().clone().requires_grad_()
    upstream = torch.randn(16, 5)
    own, expected = norm(h, MASK)[MASK], torchs(same[MASK])
    torch.testing.assert_close(own, expected)
    own.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(h.grad, same.grad)
    for name, value in torchs.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[name], value)


def test_batch_norm_without_mask_is_torchs():
    norm, torchs = randomised(BatchNorm(5)), nn.BatchNorm1d(5)
    torchs.load_state_dict(norm.state_dict())
    h = torch.randn(3, 7, 5)
    torch.testing.assert_close(norm(h), torchs(h.transpose(1, 2)).transpose(1, 2))
    torch.testing.assert_close(norm.running_var, torchs.running_var)


def test_batch_norm_in_eval_works_frame_by_frame():
    norm, h = randomised(BatchNorm(5)), torch.randn(3, 7, 5)
    norm(h, MASK)
    norm.eval()
    torch.testing.assert_close(norm(h, MASK)[:, :2], norm(h[:, :2]))


@pytest.mark.parametrize("row, length", [(0, 7), (1, 4), (2, 5)])
def test_group_norm_with_mask_is_torch_over_the_valid_frames_of_each_utterance(row, length):
    norm, torchs = randomised(GroupNorm(5)), nn.GroupNorm(1, 5)
    torchs.load_state_dict(norm.state_dict())
    h = 3 + 2 * torch.randn(3, 7, 5)
    expected = torchs(h[row : row + 1, :length].transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(norm(h, MASK)[row : row + 1, :length], expected)
    torch.testing.assert_close(norm(h[row : row + 1, :length]), expected)
