from dataclasses import replace

import pytest
import torch

from kit.models.conformer import Conformer
from kit.models.heads import AMSoftmax, Cosine, Linear
from kit.models.net import Net, NetModule
from kit.models.pooling import SED, GeM, Mean, SelfAttention, Statistics
from kit.models.timm_backbone import Timm
from kit.models.transformer import Transformer

SMALL = Conformer(width=16, layers=2, heads=2, ff_width=32, kernel_size=5)
BACKBONES = {
    "transformer": Transformer(width=16, layers=2, heads=2, ff_width=32),
    "conformer": SMALL,
    "conformer, group norm": replace(SMALL, conv_norm="group", normalize="mean_std"),
    "conformer, convolution first, stacked": replace(SMALL, convolution_first=True, frame_stack=3, normalize="none"),
}
POOLINGS = (Mean(), SelfAttention(), Statistics(), GeM(), SED())
LENGTHS = (30, 17, 8, 30)


def net_of(backbone=SMALL, pooling=None, head=None, n_mels=40) -> NetModule:
    return Net(backbone, pooling or Mean(), head or Linear()).make(n_mels, 6, 30)


def padded_batch(n_mels=40):
    """mel (4, 30, F) of utterances of LENGTHS frames, filled with -20, and their mask."""
    mask = torch.arange(30) < torch.tensor(LENGTHS).unsqueeze(1)
    return torch.randn(4, 30, n_mels).masked_fill(~mask.unsqueeze(-1), -20.0), mask


def trained_a_step(backbone, pooling=None):
    """A net in eval mode whose batch norms have seen data, padded data included."""
    net = net_of(backbone, pooling)
    net(*padded_batch())
    return net.eval()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("backbone", BACKBONES)
class TestLaws:
    def test_batch_mates_do_not_matter(self, backbone, pooling):
        net, (mel, mask) = trained_a_step(BACKBONES[backbone], pooling), padded_batch()
        with torch.inference_mode():
            logits, z = net(mel, mask)
            for row in range(len(mel)):
                alone_logits, alone_z = net(mel[row : row + 1], mask[row : row + 1])
                torch.testing.assert_close(alone_z[0], z[row], atol=1e-5, rtol=0)
                torch.testing.assert_close(alone_logits[0], logits[row], atol=1e-5, rtol=0)

    def test_padding_does_not_matter_and_would_without_mask(self, backbone, pooling):
        net, (mel, mask) = trained_a_step(BACKBONES[backbone], pooling), padded_batch()
        with torch.inference_mode():
            _, z = net(mel, mask)
            _, unmasked = net(mel)
            for row, length in enumerate(LENGTHS):
                _, alone = net(mel[row : row + 1, :length])
                torch.testing.assert_close(alone[0], z[row], atol=1e-5, rtol=0)
                if length < 30:
                    assert (unmasked[row] - alone[0]).abs().max() > 1e-2


@pytest.mark.parametrize("head", [Linear(), Cosine(), AMSoftmax()])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_shapes_of_logits_and_z(pooling, head):
    logits, z = net_of(pooling=pooling, head=head, n_mels=24)(torch.randn(3, 20, 24))
    assert logits.shape == (3, 6)
    assert z.shape == (3, 32 if pooling == Statistics() else 16)


def test_sizes_reach_the_layers():
    """The source's Conformer, its weights and biases counted by hand."""
    net = Net().make(40, 7, 128)
    feed_forward = 2 * 160 + (160 * 320 + 320) + (320 * 160 + 160)
    attention = 2 * 160 + (160 * 480 + 480) + (160 * 160 + 160)
    convolution = 2 * 160 + (160 * 320 + 320) + (160 * 31 + 160) + 2 * 160 + (160 * 160 + 160)
    layer = 2 * feed_forward + attention + convolution + 2 * 160
    assert sum(weight.numel() for weight in net.parameters()) == (40 * 160 + 160) + 2 * layer + (7 * 160 + 7)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_embed_is_forwards_z(backbone):
    net, (mel, mask) = trained_a_step(BACKBONES[backbone]), padded_batch()
    assert torch.equal(net.embed(mel, mask), net(mel, mask)[1])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_frames_after_the_final_stage_are_zero_in_padding(backbone):
    net, (h, mask) = net_of(BACKBONES[backbone]), padded_batch()
    for stage in net.stages.values():
        h, mask = stage(h, mask)
    assert (h[~mask] == 0).all() and (h[mask] != 0).any()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_training_reaches_every_weight(backbone):
    net, (mel, mask) = net_of(BACKBONES[backbone]), padded_batch()
    before = mel.clone()
    net(mel, mask)[0].square().sum().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []
    assert torch.equal(mel, before)


class TestViews:
    def test_each_has_a_head_of_its_own_that_forward_leaves_out(self):
        net = Net(SMALL, head=AMSoftmax(scale=20.0)).make(40, 6, 30, views={"formant": True, "residual": False})
        heads = net.view_heads
        assert list(heads) == ["formant", "residual"] and heads["formant"].scale == 20.0
        assert [heads[name].weight.requires_grad for name in heads] == [True, False]
        assert not torch.equal(heads["formant"].weight, net.head.weight)
        net(torch.randn(3, 20, 40))[0].sum().backward()
        assert heads["formant"].weight.grad is None and net.head.weight.grad is not None

    def test_they_are_drawn_last(self):
        torch.manual_seed(0)
        without = Net(SMALL).make(40, 6, 30).state_dict()
        torch.manual_seed(0)
        with_views = Net(SMALL).make(40, 6, 30, views={"swap": True}).state_dict()
        assert all(torch.equal(with_views[name], weight) for name, weight in without.items())


class TestPlaces:
    """Places of mixup: names, order, and which of them are one."""

    def test_they_come_in_order(self):
        net, seen = net_of(), {}

        def look(place, h, mask):
            seen[place] = tuple(h.shape)
            return h, mask

        net(torch.randn(3, 20, 40), mix=look)
        assert tuple(seen) == net.places == ("input", "stem", "layer1", "layer2", "final", "embedding")
        assert seen["input"] == (3, 20, 40) and seen["layer1"] == (3, 20, 16) and seen["embedding"] == (3, 16)

    @pytest.mark.parametrize(
        "backbone, places",
        [
            (SMALL, ("input", "layer1")),
            (replace(SMALL, layers=1), ("input",)),
            (replace(SMALL, layers=3), ("input", "layer1", "layer2")),
            (replace(SMALL, normalize="mean_std"), ("input", "layer1")),
            (Transformer(16, 2, 2, 32), ("input", "layer1")),
            (Timm("test_resnet"), ("input", "layer1", "layer2", "layer3")),
        ],
    )
    def test_by_default_the_input_and_each_layer_but_the_last(self, backbone, places):
        assert net_of(backbone).mix_places == places

    @pytest.mark.parametrize(
        "backbone",
        [SMALL, replace(SMALL, normalize="none"), replace(SMALL, normalize="mean_std"), Timm("test_resnet")],
    )
    def test_places_that_are_one_give_one_mixture_and_all_others_do_not(self, backbone):
        net, mel = net_of(backbone).eval(), torch.randn(4, 40, 40) * torch.tensor([1.0, 3.0, 5.0, 7.0])[:, None, None]
        for weight in net.parameters():  # a residual block begins as the identity
            weight.data += 0.1 * torch.randn_like(weight)

        def mixed_at(chosen):
            def mix(place, h, mask):
                return (0.3 * h + 0.7 * h.flip(0) if place == chosen else h), mask

            with torch.no_grad():
                return net(mel, mix=mix)[1]

        z = {place: mixed_at(place) for place in ("input", *net.stage_names)}
        size = max(one.abs().max() for one in z.values())
        equal = {
            (late, early): bool((z[late] - z[early]).abs().max() < 1e-4 * size)
            for number, late in enumerate(z)
            for early in list(z)[:number]
        }
        assert {pair for pair, same in equal.items() if same} == set(net.same_places.items())

    def test_input_is_mixed_before_it_is_normalised(self):
        net, mel, seen = net_of(), torch.randn(3, 20, 40), []
        net(mel, mix=lambda place, h, mask: seen.append(h) or (h, mask))
        assert seen[0] is mel

    @pytest.mark.parametrize("place", ["input", "stem", "layer1", "layer2", "final", "embedding"])
    def test_what_mix_returns_goes_on(self, place):
        """The batch turned round at any place comes out turned round."""
        net, mel = trained_a_step(SMALL), torch.randn(3, 20, 40)
        turned = net(mel, mix=lambda at, h, mask: (h.flip(0) if at == place else h, mask))
        for late, straight in zip(turned, net(mel), strict=True):
            torch.testing.assert_close(late, straight.flip(0), atol=1e-5, rtol=0)

    def test_the_mask_that_mix_returns_goes_on(self):
        net, (mel, mask) = trained_a_step(SMALL), padded_batch()
        late = net(mel, mask, mix=lambda at, h, mask: (h, mask.flip(0) if at == "input" else mask))
        torch.testing.assert_close(late, net(mel, mask.flip(0)))

    def test_a_timm_net_mixes_in_eval_too(self):
        net = net_of(Timm("test_resnet")).eval()
        mel, mask = padded_batch()
        seen = []
        net(mel, mask, mix=lambda place, h, mask: seen.append((place, len(h))) or (h, mask))
        assert seen == [(place, 4) for place in net.places]


class TestParameterGroups:
    def test_heads_are_all_that_follows_the_backbone(self):
        net = Net(SMALL, Statistics(), AMSoftmax()).make(40, 6, 30, views={"formant": True})
        scores = ["pooling.score.0.weight", "pooling.score.0.bias", "pooling.score.2.weight"]
        assert net.head_parameters() == [*scores, "head.weight", "view_heads.formant.weight"]
        hidden = net_of(BACKBONES["transformer"]).head_parameters()
        assert hidden == ["hidden.0.weight", "hidden.0.bias", "head.weight", "head.bias"]

    @pytest.mark.parametrize("backbone", [SMALL, Transformer(16, 2, 2, 32), Timm("test_resnet"), Timm("test_byobnet")])
    def test_layers_go_from_the_input_to_the_heads_and_leave_nothing_out(self, backbone):
        net = net_of(backbone)
        groups = net.layer_groups()
        assert groups[-1] == net.head_parameters()
        names = [name for group in groups for name in group]
        assert sorted(names) == sorted(name for name, _ in net.named_parameters())
        stages = [{name.split(".")[1] for name in group} for group in groups[:-1]]
        with_weights = [name for name in net.stage_names if list(net.stages[name].parameters())]
        assert stages == [{name} for name in with_weights]


@pytest.mark.parametrize("backbone", ["transformer", "conformer"])
@pytest.mark.parametrize("masked", [False, True])
def test_compiles_to_one_graph(backbone, masked):
    net, (mel, mask) = net_of(replace(BACKBONES[backbone], dropout=0.0)), padded_batch()
    mask = mask if masked else None
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(mel, mask)[0], net(mel, mask)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["backbone", "pooling", "head"])
def test_what_is_no_part_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be a part, or a class of your own, got 'mean'"):
        Net(**{name: "mean"})


def test_a_net_has_classes():
    with pytest.raises(ValueError, match="n_classes must be at least 1, got 0"):
        Net(SMALL).make(40, 0, 30)


def test_a_timm_nets_crops_of_images_are_squares():
    with pytest.raises(ValueError, match=r"^crop_frames must be the images' side, 48 / channels \(3\), got 30"):
        Net(Timm("test_resnet")).make(48, 6, 30, 3)


@pytest.mark.parametrize("shape", [(3, 20, 41), (20, 40)])
def test_mel_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"mel must be \(B, T, 40\), got \("):
        net_of()(torch.randn(shape))


def test_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"mask must be \(B, T\) like mel \(3, 20\), got \(3, 19\)"):
        net_of()(torch.randn(3, 20, 40), torch.ones(3, 19, dtype=torch.bool))
