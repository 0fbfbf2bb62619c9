"""Poolings, heads, backbones and whole nets that are not the kit's."""

import pytest
import torch
from torch import nn

from kit.models.backbone import Backbone
from kit.models.conformer import Conformer
from kit.models.heads import AMSoftmaxHead
from kit.models.net import Net, make_net
from kit.models.own import WholeNet
from kit.parts import Part, part

SMALL = Conformer(width=16, layers=1, heads=2, ff_width=32, kernel_size=5)
MEL = torch.ones(2, 20, 40)


class LastShare(nn.Module):
    """The mean of the last `share` of an utterance's valid frames."""

    def __init__(self, width: int, share: float = 0.5):
        super().__init__()
        self.share, self.out_width = share, width

    def forward(self, frames, mask=None):
        valid = torch.ones_like(frames[..., 0]) if mask is None else mask.to(frames.dtype)
        late = valid * (valid.cumsum(1) > (1 - self.share) * valid.sum(1, keepdim=True))
        return (frames * late[..., None]).sum(1) / late.sum(1, keepdim=True)


class NoWidth(nn.Module):
    def __init__(self, width: int):
        super().__init__()


class Wide(nn.Module):
    def __init__(self, width: int, out_width=4, rows: int = 1):
        super().__init__()
        self.out_width = out_width
        if not rows:
            raise ValueError("rows must be above 0")


class Unmade(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.out_width = width / 0


class TwoLayers(nn.Module):
    """A head that has no margin."""

    def __init__(self, width: int, n_classes: int, hidden: int = 8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.Linear(hidden, n_classes))

    def forward(self, z):
        return self.layers(z)


class Halved(nn.Module):
    """A backbone that keeps every other frame."""

    def __init__(self, n_mels: int, width: int = 12):
        super().__init__()
        self.linear, self.out_width = nn.Linear(n_mels, width), width

    def forward(self, mel, mask):
        return self.linear(mel)[:, ::2], None if mask is None else mask[:, ::2]


class PlainFrames(Halved):
    one_length = True

    def forward(self, mel, mask):
        return self.linear(mel - mel.mean(1, keepdim=True))  # of padding too


class MeanNet(nn.Module):
    """A whole net, of the mean over all frames."""

    def __init__(self, n_mels: int, n_classes: int, width: int = 8):
        super().__init__()
        self.body, self.head = nn.Linear(n_mels, width), nn.Linear(width, n_classes)

    def forward(self, mel, mask):
        z = self.body(mel).mean(1)
        return self.head(z), z


def span(frames, mask, scale=1.0):
    """A pooling that is a function: largest minus smallest."""
    return scale * (frames.amax(1) - frames.amin(1))


@part
class FieldPooling:
    share: float = 0.5

    def make(self, width: int) -> nn.Module:
        return LastShare(width, self.share)


class TestPooling:
    def test_a_class_is_made_of_the_width_and_its_arguments(self):
        net = Net(SMALL, Part(LastShare, share=0.25)).make(40, 6, 20)
        assert isinstance(net.pooling, LastShare) and (net.pooling.share, net.pooling.out_width) == (0.25, 16)
        assert Net(SMALL, LastShare).make(40, 6, 20).pooling.share == 0.5  # without arguments
        assert net(MEL)[1].shape == (2, 16)

    def test_a_dataclass_of_ones_own(self):
        assert Net(SMALL, FieldPooling(share=0.1)).make(40, 6, 20).pooling.share == 0.1

    def test_a_function_by_hand(self):
        pooling = Net(SMALL, Part(span, scale=2.0)).make(40, 6, 20).pooling
        assert pooling.out_width == 16
        assert pooling(torch.tensor([[[1.0], [4.0], [-2.0]]])).item() == 12

    def test_one_without_a_width_is_named(self):
        with pytest.raises(ValueError, match="pooling NoWidth must have out_width, the width of z, .*got None"):
            Net(SMALL, NoWidth).make(40, 6, 20)

    def test_a_function_that_fails_or_keeps_time_is_named(self):
        with pytest.raises(ValueError, match=r"pooling fails failed on frames \(2, 8, 16\): RuntimeError: no"):
            Net(SMALL, fails).make(40, 6, 20)
        with pytest.raises(ValueError, match=r"pooling keep must give z \(B, D\), got \(2, 8, 16\) of 2 clips"):
            Net(SMALL, keep).make(40, 6, 20)
        with pytest.raises(ValueError, match=r"pooling pool_clips must give z \(B, D\), got \(8, 16\) of 2 clips"):
            Net(SMALL, pool_clips).make(40, 6, 20)

    def test_a_head_in_its_stead_is_named(self):
        with pytest.raises(ValueError, match=r"pooling TwoLayers\(width, n_classes, hidden\) is called with 1 values"):
            Net(SMALL, TwoLayers).make(40, 6, 20)
        with pytest.raises(ValueError, match="pooling Conformer: its make is called with 1 values"):
            Net(SMALL, SMALL).make(40, 6, 20)

    @pytest.mark.parametrize("width", [None, 0, 2.0, True])
    def test_the_width_is_a_whole_number(self, width):
        with pytest.raises(ValueError, match=f"pooling Wide must have out_width, .*got {width}"):
            Net(SMALL, Part(Wide, out_width=width)).make(40, 6, 20)

    def test_one_that_fails_when_it_is_made_is_named(self):
        with pytest.raises(ValueError, match=r"pooling Unmade: ZeroDivisionError: division by zero"):
            Net(SMALL, Unmade).make(40, 6, 20)
        with pytest.raises(ValueError, match="pooling Wide: rows must be above 0"):
            Net(SMALL, Part(Wide, rows=0)).make(40, 6, 20)


class TestHead:
    def test_without_margin_its_logits_are_trained_on_as_they_are(self):
        net = Net(SMALL, head=Part(TwoLayers, hidden=4)).make(40, 6, 20, views={"formant": True})
        logits = net(MEL)[0]
        assert logits.shape == (2, 6)
        for head in (net.head, net.view_heads["formant"]):
            assert head.with_margin(logits, torch.tensor([0, 1]), 0.2) is logits

    def test_its_own_margin_is_kept(self):
        head = Net(SMALL, head=Part(AMSoftmaxHead, margin=0.5)).make(40, 6, 20).head
        assert head.with_margin(torch.zeros(1, 6), torch.tensor([0]))[0, 0].item() == -15

    def test_a_function_is_refused(self):
        with pytest.raises(ValueError, match="head span must make an nn.Module, got <function span"):
            Net(SMALL, head=span).make(40, 6, 20)


class TestBackbone:
    def test_a_class_is_one_stage_and_may_change_the_number_of_frames(self):
        net = Net(Part(Halved, width=10)).make(40, 6, 20)
        assert net.places == ("input", "body", "embedding") and net.mix_places == ("input",)
        h, mask = net.stages["body"](MEL, torch.ones(2, 20, dtype=torch.bool))
        assert h.shape == (2, 10, 10) and mask.shape == (2, 10)
        assert [len(group) for group in net.layer_groups()] == [2, 2]

    def test_frames_alone_keep_the_mask(self):
        net = Net(PlainFrames).make(40, 6, 20)
        mask = torch.ones(2, 20, dtype=torch.bool)
        assert net.stages["body"](MEL, mask)[1] is mask

    def test_one_that_cannot_mask_runs_in_eval_by_length(self):
        net = Net(PlainFrames).make(40, 6, 20).eval()
        assert net.one_length and not Net(Halved).make(40, 6, 20).one_length
        mel, mask = torch.randn(2, 20, 40), torch.arange(20) < torch.tensor([20, 7]).unsqueeze(1)
        torch.testing.assert_close(net.embed(mel, mask)[1:], net.embed(mel[1:, :7]), atol=1e-6, rtol=1e-5)

    def test_a_dataclass_may_make_a_backbone_of_stages(self):
        net = Net(Doubled()).make(40, 6, 20)
        assert net.stage_names == ("stem", "layer1", "final") and net.mix_places == ("input", "final")

    def test_what_lacks_something_is_named(self):
        with pytest.raises(ValueError, match=r"backbone NoWidth must have out_width, D of its frames \(B, T, D\)"):
            Net(NoWidth).make(40, 6, 20)
        with pytest.raises(ValueError, match="backbone span must make an nn.Module, got <function span"):
            Net(span).make(40, 6, 20)


class TestWholeNet:
    def test_it_is_mixed_at_its_input_alone(self):
        net, mel = make_net(Part(MeanNet, width=5), 40, 6, 20), torch.randn(2, 20, 40)
        assert isinstance(net, WholeNet) and net.places == net.mix_places == ("input",)
        plain = net(mel)
        assert plain[0].shape == (2, 6) and torch.equal(net.embed(mel), plain[1]) and plain[1].shape == (2, 5)
        turned = net(mel, mix=lambda place, h, mask: (h.flip(0), mask))
        torch.testing.assert_close(turned[0], plain[0].flip(0))
        assert net.head.with_margin(plain[0], torch.tensor([0, 1])) is plain[0]

    def test_its_attribute_head_has_the_heads_rate(self):
        net = make_net(Part(MeanNet), 40, 6, 20)
        assert net.head_parameters() == ["net.head.weight", "net.head.bias"]
        assert net.layer_groups() == [["net.body.weight", "net.body.bias"], net.head_parameters()]

    def test_what_it_cannot_do_is_refused(self):
        net = make_net(Part(MeanNet), 40, 6, 20)
        with pytest.raises(ValueError, match="head must be ClassAttention to classify frames, got MeanNet"):
            net.framewise(MEL)
        with pytest.raises(ValueError, match=r"mel must be \(B, T, 40\), got \(2, 20, 41\)"):
            net(torch.ones(2, 20, 41))
        with pytest.raises(ValueError, match="views must be None with a whole net of your own, MeanNet"):
            make_net(Part(MeanNet), 40, 6, 20, views={"formant": True})
        with pytest.raises(ValueError, match=r"net LastShare\(width, share\) is called with 2 values"):
            make_net(Part(LastShare, share=0.5), 40, 6, 20)


def fails(frames, mask):
    raise RuntimeError("no")


def keep(frames, mask):
    return frames


def pool_clips(frames, mask):
    return frames.mean(0)


@part
class Doubled:
    def make(self, n_mels: int, crop_frames: int, image_channels: int) -> Backbone:
        return SMALL.make(n_mels, crop_frames)._replace(mix_places=("input", "final"))
