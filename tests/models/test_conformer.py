import pytest
import torch
from torch import nn
from torchaudio.models import conformer as reference

from kit.models.conformer import Conformer, ConformerLayer, DepthwiseConvolution


def layer(conv_norm="batch", convolution_first=False, **changes):
    sizes = {"width": 16, "heads": 2, "ff_width": 24, "kernel_size": 5, "dropout": 0.0} | changes
    return ConformerLayer(**sizes, conv_norm=conv_norm, convolution_first=convolution_first)


def torchaudio_layer(ours: ConformerLayer, use_group_norm: bool):
    """torchaudio's layer of the same weights."""
    theirs = reference.ConformerLayer(
        16, 24, 2, 5, use_group_norm=use_group_norm, convolution_first=ours.convolution_first
    )
    pairs = [
        *zip(ours.feed_forward_in, theirs.ffn1.sequential, strict=True),
        *zip(ours.feed_forward_out, theirs.ffn2.sequential, strict=True),
        (ours.norm, theirs.final_layer_norm),
        (ours.attention.norm, theirs.self_attn_layer_norm),
        (ours.attention.out, theirs.self_attn.out_proj),
        (ours.convolution.norm_in, theirs.conv_module.layer_norm),
        (ours.convolution.depthwise, theirs.conv_module.sequential[2]),
        (ours.convolution.norm, theirs.conv_module.sequential[3]),
    ]
    for mine, its in pairs:
        its.load_state_dict(mine.state_dict())
    theirs.self_attn.in_proj_weight.data = ours.attention.qkv.weight.data
    theirs.self_attn.in_proj_bias.data = ours.attention.qkv.bias.data
    for mine, its in (
        (ours.convolution.pointwise_in, theirs.conv_module.sequential[0]),
        (ours.convolution.pointwise_out, theirs.conv_module.sequential[5]),
    ):
        its.weight.data, its.bias.data = mine.weight.data.unsqueeze(2), mine.bias.data
    return theirs


@pytest.mark.parametrize("convolution_first", [False, True])
@pytest.mark.parametrize("conv_norm", ["batch", "group"])
@pytest.mark.parametrize("training", [True, False])
def test_layer_is_torchaudios(conv_norm, convolution_first, training):
    ours = layer(conv_norm, convolution_first)
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    theirs = torchaudio_layer(ours, use_group_norm=conv_norm == "group")
    h = torch.randn(3, 11, 16)
    own, mask = ours.train(training)(h)
    expected = theirs.train(training)(h.transpose(0, 1), None).transpose(0, 1)
    torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-5)
    assert mask is None


def test_order_of_attention_and_convolution_matters():
    first, second = layer(convolution_first=True), layer()
    second.load_state_dict(first.state_dict())
    h = torch.randn(2, 11, 16)
    assert not torch.allclose(first(h)[0], second(h)[0], atol=1e-3)


@pytest.mark.parametrize("n_frames", [1, 3, 40])
def test_depthwise_convolution_is_conv1d(n_frames):
    convolution = DepthwiseConvolution(6, 5).double()  # its weights' gradients are sums over all frames
    h = torch.randn(2, n_frames, 6, dtype=torch.float64, requires_grad=True)
    same = h.detach().clone().requires_grad_()
    own = convolution(h)
    expected = nn.Conv1d.forward(convolution, same.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(own, expected)
    own.square().sum().backward()
    own_grad, convolution.weight.grad = convolution.weight.grad, None
    expected.square().sum().backward()
    torch.testing.assert_close(own_grad, convolution.weight.grad)
    torch.testing.assert_close(h.grad, same.grad)


def test_depthwise_convolution_by_hand():
    convolution = DepthwiseConvolution(1, 3)
    convolution.weight.data = torch.tensor([[[1.0, 10.0, 100.0]]])
    convolution.bias.data.zero_()
    assert convolution(torch.tensor([[[1.0], [2.0], [3.0]]])).flatten().tolist() == [210, 321, 32]


@pytest.mark.parametrize("part", ["attention", "convolution"])
def test_each_part_keeps_padding_out_and_needs_its_mask_for_it(part):
    module = getattr(layer(), part).eval()
    h, mask = torch.randn(2, 12, 16), (torch.arange(12) < 7).expand(2, 12)
    expected = module(h[:, :7], None)
    torch.testing.assert_close(module(h, mask)[:, :7], expected, atol=1e-5, rtol=0)
    assert (module(h, None)[:, :7] - expected).abs().max() > 1e-2


@pytest.mark.parametrize("conv_norm", ["batch", "group"])
def test_padding_gets_no_gradient_in_training(conv_norm):
    h, mask = torch.randn(2, 12, 16, requires_grad=True), (torch.arange(12) < 7).expand(2, 12)
    layer(conv_norm)(h, mask)[0][mask].square().sum().backward()
    assert (h.grad[:, 7:] == 0).all() and h.grad.isfinite().all()


def test_dropout_is_for_training_only():
    module, h = layer(dropout=0.5), torch.randn(2, 8, 16)
    assert not torch.equal(module(h)[0], module(h)[0])
    module.eval()
    assert torch.equal(module(h)[0], module(h)[0])


def test_fields_reach_the_layers():
    part = Conformer(16, 3, 2, 24, 5, 0.4, "group", convolution_first=True, normalize="mean_std", frame_stack=2)
    backbone = part.make(10, 64)
    assert list(backbone.stages) == ["stem", "layer1", "layer2", "layer3", "final"] and backbone.width == 16
    layer = backbone.stages["layer3"]
    assert layer.convolution_first and isinstance(layer.convolution.norm, nn.GroupNorm)
    assert layer.convolution.depthwise.kernel_size == (5,) and layer.attention.heads == 2
    assert [module.p for module in layer.modules() if isinstance(module, nn.Dropout)] == [0.4] * 6
    stem = backbone.stages["stem"]
    assert stem.normalize.normalize == "mean_std" and stem.linear.in_features == 20


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"heads": 3}, r"width must be a multiple of heads \(3\), got 160"),
        ({"kernel_size": 4}, "kernel_size must be odd, got 4"),
        ({"kernel_size": -1}, "kernel_size must be at least 1, got -1"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"frame_stack": 0}, "frame_stack must be at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"conv_norm": "layer"}, "conv_norm must be one of batch, group, got 'layer'"),
        ({"normalize": "max"}, "normalize must be one of none, mean, mean_std.*, got 'max'"),
        ({"width": "160"}, "width must be of type int, got '160'"),
    ],
)
def test_fields_out_of_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Conformer(**fields)
