import pytest
import torch

from kit.models.net import Net
from kit.models.pooling import GeM
from kit.models.sed import ClassAttention, ClassPooling, FrameHead, smooth
from kit.models.timm_backbone import Timm
from kit.models.transformer import Transformer

STACKED = Timm("test_resnet", frequency="stack")


def test_smoothing_is_the_maximum_plus_the_mean_of_neighbours_by_hand():
    frames = torch.tensor([[[1.0], [4.0], [-2.0], [7.0]]])
    assert smooth(frames).flatten().tolist() == pytest.approx([4 + 2.5, 4 + 1, 7 + 3, 7 + 2.5])
    mask = torch.tensor([[True, True, True, False]])
    assert smooth(frames, mask).flatten().tolist() == pytest.approx([4 + 2.5, 4 + 1, 4 + 1, 0])


def test_a_clips_logits_are_its_frames_by_the_attention():
    torch.manual_seed(0)
    pooling, head = ClassPooling(6, 3), FrameHead(6, 3)
    frames = torch.randn(2, 5, 6)
    h = pooling.frames(frames)
    weights = pooling.score(h).softmax(1)  # (B, T, C)
    assert torch.allclose(head(pooling(frames)), (weights * head.framewise(h)).sum(1), atol=1e-6)


def test_padding_changes_nothing():
    torch.manual_seed(0)
    pooling, head = ClassPooling(6, 3), FrameHead(6, 3)
    frames, mask = torch.randn(1, 5, 6), torch.tensor([[True, True, True, False, False]])
    assert torch.allclose(head(pooling(frames, mask)), head(pooling(frames[:, :3])), atol=1e-6)


def test_one_frame_can_have_all_the_attention_of_one_class():
    pooling = ClassPooling(2, 2)
    with torch.no_grad():
        pooling.hidden.weight.copy_(torch.eye(2))
        pooling.hidden.bias.zero_()
        pooling.score.weight.copy_(100 * torch.eye(2))
    frames = torch.zeros(1, 9, 2)
    frames[0, 2, 0], frames[0, 6, 1] = 3.0, 5.0  # smoothed: 3 + 1 and 5 + 5 / 3
    z = pooling(frames)[0]
    assert z[0].tolist() == pytest.approx([4.0, 0.0], abs=1e-4) and z[1].tolist() == pytest.approx(
        [0, 20 / 3], abs=1e-4
    )


def test_the_net_classifies_clips_and_frames_and_knows_pitch():
    torch.manual_seed(0)
    net = Net(STACKED, head=ClassAttention()).make(64, 4, 96).eval()
    mel = torch.randn(2, 96, 64)
    logits, z = net(mel)
    assert logits.shape == (2, 4) and net.framewise(mel).shape == (2, 3, 4)
    assert z.shape == (2, 4, net.pooling.out_width)
    assert not torch.allclose(net(mel.roll(32, dims=2))[0], logits, atol=1e-3)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_stacked_rows_are_the_means_rows_apart():
    torch.manual_seed(0)
    stack, mean = (Net(timm).make(64, 4, 64).eval() for timm in (STACKED, Timm("test_resnet")))
    mean.stages.load_state_dict(stack.stages.state_dict())
    h, other = torch.randn(1, 64, 64), None
    other = h
    for name in stack.stages:
        h, _ = stack.stages[name](h)
        other, _ = mean.stages[name](other)
    assert h.shape[2] == 2 * other.shape[2]  # 64 bins are two rows of the final map
    assert torch.allclose(h.unflatten(2, (-1, 2)).mean(-1), other, atol=1e-5)


def test_other_heads_classify_no_frames():
    with pytest.raises(ValueError, match="head must be ClassAttention to classify frames, got LinearHead"):
        Net().make(40, 4, 64).framewise(torch.randn(1, 64, 40))


def test_the_part_pools_and_has_no_margin():
    part, logits = ClassAttention(), torch.randn(2, 3)
    assert part.pool(600, 3).out_width == 512 and part.pool(20, 3).out_width == 20
    assert part.make(20, 3).with_margin(logits, torch.tensor([0, 1])) is logits


def test_what_it_leaves_out_is_refused():
    with pytest.raises(ValueError, match="pooling must be left out with head ClassAttention, which pools, got GeM"):
        Net(pooling=GeM(), head=ClassAttention())
    with pytest.raises(ValueError, match="backbone must not be Transformer with head ClassAttention"):
        Net(Transformer(), head=ClassAttention())
