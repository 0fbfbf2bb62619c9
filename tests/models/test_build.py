from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kit.models.build import build_model
from kit.training.config import Config

SMALL = Config(width=16, layers=2, heads=2, ff_width=32, kernel_size=5)
BACKBONES = {
    "transformer": replace(SMALL, backbone="transformer"),
    "conformer": SMALL,
    "conformer, group norm": replace(SMALL, conv_norm="group", normalize="mean_std"),
    "conformer, convolution first, stacked": replace(SMALL, convolution_first=True, frame_stack=3, normalize="none"),
}
POOLINGS = ("mean", "attention", "statistics", "gem", "sed")
LENGTHS = (30, 17, 8, 30)


def padded_batch(n_mels=40):
    """mel (4, 30, F) of utterances of LENGTHS frames, filled with -20, and their mask."""
    mask = torch.arange(30) < torch.tensor(LENGTHS).unsqueeze(1)
    return torch.randn(4, 30, n_mels).masked_fill(~mask.unsqueeze(-1), -20.0), mask


def trained_a_step(config):
    """A net in eval mode whose batch norms have seen data, padded data included."""
    net = build_model(config, n_classes=6, n_mels=40)
    net(*padded_batch())
    return net.eval()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("backbone", BACKBONES)
class TestLaws:
    def test_batch_mates_do_not_matter(self, backbone, pooling):
        net, (mel, mask) = trained_a_step(replace(BACKBONES[backbone], pooling=pooling)), padded_batch()
        with torch.inference_mode():
            logits, z = net(mel, mask)
            for row in range(len(mel)):
                alone_logits, alone_z = net(mel[row : row + 1], mask[row : row + 1])
                torch.testing.assert_close(alone_z[0], z[row], atol=1e-5, rtol=0)
                torch.testing.assert_close(alone_logits[0], logits[row], atol=1e-5, rtol=0)

    def test_padding_does_not_matter_and_would_without_mask(self, backbone, pooling):
        net, (mel, mask) = trained_a_step(replace(BACKBONES[backbone], pooling=pooling)), padded_batch()
        with torch.inference_mode():
            _, z = net(mel, mask)
            _, unmasked = net(mel)
            for row, length in enumerate(LENGTHS):
                _, alone = net(mel[row : row + 1, :length])
                torch.testing.assert_close(alone[0], z[row], atol=1e-5, rtol=0)
                if length < 30:
                    assert (unmasked[row] - alone[0]).abs().max() > 1e-2


@pytest.mark.parametrize("head", ["linear", "cosine", "am_softmax"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_shapes_of_logits_and_z(pooling, head):
    net = build_model(replace(SMALL, pooling=pooling, head=head), n_classes=6, n_mels=24)
    logits, z = net(torch.randn(3, 20, 24))
    assert logits.shape == (3, 6)
    assert z.shape == (3, 32 if pooling == "statistics" else 16)


def test_sizes_reach_the_layers():
    """The source's Conformer, its weights and biases counted by hand."""
    net = build_model(Config(), n_classes=7, n_mels=40)
    feed_forward = 2 * 160 + (160 * 320 + 320) + (320 * 160 + 160)
    attention = 2 * 160 + (160 * 480 + 480) + (160 * 160 + 160)
    convolution = 2 * 160 + (160 * 320 + 320) + (160 * 31 + 160) + 2 * 160 + (160 * 160 + 160)
    layer = 2 * feed_forward + attention + convolution + 2 * 160
    assert sum(weight.numel() for weight in net.parameters()) == (40 * 160 + 160) + 2 * layer + (7 * 160 + 7)


def test_options_reach_the_layers():
    config = replace(SMALL, conv_norm="group", convolution_first=True, dropout=0.4)
    layer = build_model(config, n_classes=6, n_mels=24).stages["layer2"]
    assert isinstance(layer.convolution.norm, nn.GroupNorm) and layer.convolution_first
    assert [part.p for part in layer.modules() if isinstance(part, nn.Dropout)] == [0.4] * 6
    transformer = build_model(replace(config, backbone="transformer"), n_classes=6, n_mels=24).stages["layer2"].layer
    assert transformer.dropout.p == 0.4 and transformer.linear1.out_features == 32
    assert build_model(replace(config, normalize="mean_std"), 6, 24).stages["stem"].normalize.normalize == "mean_std"


def test_scale_and_margin_reach_the_head():
    head = build_model(replace(SMALL, head="am_softmax", scale=20.0, margin=0.3), n_classes=6, n_mels=24).head
    assert (head.scale, head.margin) == (20.0, 0.3)
    assert build_model(replace(SMALL, head="cosine", scale=16.0), n_classes=6, n_mels=24).head.scale == 16.0


@pytest.mark.parametrize("backbone", BACKBONES)
def test_embed_is_forwards_z(backbone):
    net, (mel, mask) = trained_a_step(BACKBONES[backbone]), padded_batch()
    assert torch.equal(net.embed(mel, mask), net(mel, mask)[1])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_frames_after_the_final_stage_are_zero_in_padding(backbone):
    net, (h, mask) = build_model(BACKBONES[backbone], n_classes=6, n_mels=40), padded_batch()
    for stage in net.stages.values():
        h, mask = stage(h, mask)
    assert (h[~mask] == 0).all() and (h[mask] != 0).any()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_training_reaches_every_weight(backbone):
    net, (mel, mask) = build_model(BACKBONES[backbone], n_classes=6, n_mels=40), padded_batch()
    before = mel.clone()
    net(mel, mask)[0].square().sum().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []
    assert torch.equal(mel, before)


class TestMixing:
    def test_places_come_in_order(self):
        net, seen = build_model(SMALL, n_classes=6, n_mels=40), {}

        def look(place, h, mask):
            seen[place] = tuple(h.shape)
            return h, mask

        net(torch.randn(3, 20, 40), mix=look)
        assert list(seen) == ["input", *net.stage_names, "embedding"]
        assert net.stage_names == ("stem", "layer1", "layer2", "final")
        assert seen["input"] == (3, 20, 40) and seen["layer1"] == (3, 20, 16) and seen["embedding"] == (3, 16)

    def test_input_is_mixed_before_it_is_normalised(self):
        net, mel, seen = build_model(SMALL, n_classes=6, n_mels=40), torch.randn(3, 20, 40), []
        net(mel, mix=lambda place, h, mask: seen.append(h) or (h, mask))
        assert seen[0] is mel

    @pytest.mark.parametrize("place", ["input", "stem", "layer1", "layer2", "final", "embedding"])
    def test_what_mix_returns_goes_on(self, place):
        """The batch turned round at any place comes out turned round."""
        net, mel = trained_a_step(SMALL), torch.randn(3, 20, 40)
        turned = net(mel, mix=lambda at, h, mask: (h.flip(0) if at == place else h, mask))
        for found, straight in zip(turned, net(mel), strict=True):
            torch.testing.assert_close(found, straight.flip(0), atol=1e-5, rtol=0)

    def test_the_mask_that_mix_returns_goes_on(self):
        net, (mel, mask) = trained_a_step(SMALL), padded_batch()
        late = net(mel, mask, mix=lambda at, h, mask: (h, mask.flip(0) if at == "input" else mask))
        torch.testing.assert_close(late, net(mel, mask.flip(0)))

    def test_a_timm_net_mixes_in_eval_too(self):
        net = build_model(replace(SMALL, backbone="timm", timm_name="resnet10t"), n_classes=6, n_mels=40).eval()
        mel, mask = padded_batch()
        seen = []
        net(mel, mask, mix=lambda place, h, mask: seen.append((place, len(h))) or (h, mask))
        assert seen == [(place, 4) for place in ("input", *net.stage_names, "embedding")]


@pytest.mark.parametrize("backbone", ["transformer", "conformer"])
@pytest.mark.parametrize("masked", [False, True])
def test_compiles_to_one_graph(backbone, masked):
    net, (mel, mask) = build_model(replace(BACKBONES[backbone], dropout=0.0), n_classes=6, n_mels=40), padded_batch()
    mask = mask if masked else None
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(mel, mask)[0], net(mel, mask)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"backbone": "conformers"}, "backbone must be one of transformer, conformer, timm, got 'conformers'"),
        ({"pooling": "max"}, "pooling must be one of mean, attention, statistics, gem, sed, got 'max'"),
        ({"head": "arc"}, "head must be one of linear, cosine, am_softmax, sed, got 'arc'"),
        ({"layers": 0}, "layers must be >= 1, got 0"),
    ],
)
def test_unknown_choices_are_listed(change, message):
    unchecked = SimpleNamespace(**(asdict(SMALL) | change))
    with pytest.raises(ValueError, match=message):
        build_model(unchecked, n_classes=6, n_mels=40)


def test_a_net_has_classes():
    with pytest.raises(ValueError, match="n_classes must be >= 1, got 0"):
        build_model(SMALL, n_classes=0, n_mels=40)


@pytest.mark.parametrize("shape", [(3, 20, 41), (20, 40)])
def test_mel_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"mel must be \(B, T, 40\), got \("):
        build_model(SMALL, n_classes=6, n_mels=40)(torch.randn(shape))


def test_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"mask must be \(B, T\) like mel \(3, 20\), got \(3, 19\)"):
        build_model(SMALL, n_classes=6, n_mels=40)(torch.randn(3, 20, 40), torch.ones(3, 19, dtype=torch.bool))
