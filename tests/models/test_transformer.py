import pytest
import torch
from torch import nn

from kit.models.net import Net
from kit.models.transformer import Transformer, TransformerLayer

BASELINE = Net(Transformer(80, 1, 2, 256, 0.1, normalize="none"))


def test_baseline_is_the_sources():
    net = BASELINE.make(40, 7, 20).eval()
    prenet, encoder = nn.Linear(40, 80), nn.TransformerEncoderLayer(d_model=80, nhead=2, dim_feedforward=256)
    prenet.load_state_dict(net.stages["stem"].linear.state_dict())
    encoder.load_state_dict(net.stages["layer1"].layer.state_dict())
    mel = torch.randn(3, 20, 40)
    frames = encoder.eval()(prenet(mel).transpose(0, 1)).mean(dim=0)  # (B, 80)
    logits, z = net(mel)
    expected = net.hidden[0](frames).relu()
    torch.testing.assert_close(z, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits, net.head(expected), atol=1e-5, rtol=1e-5)


def test_z_is_what_comes_out_of_a_relu():
    _, z = BASELINE.make(40, 7, 20)(torch.randn(3, 20, 40))
    assert z.shape == (3, 80) and (z >= 0).all() and (z == 0).any()


def test_fast_path_of_inference_equals_the_slow_one():
    layer = TransformerLayer(16, 2, 32, 0.1).eval()
    h, mask = torch.randn(3, 9, 16), torch.arange(9) < torch.tensor([9, 4, 6]).unsqueeze(1)
    slow, _ = layer(h, mask)
    with torch.inference_mode():
        fast, fast_mask = layer(h, mask)
    assert fast.shape == h.shape and fast_mask is mask
    torch.testing.assert_close(fast[mask], slow[mask], atol=1e-5, rtol=1e-5)
    assert fast.isfinite().all()


def test_mask_stays_out_when_every_item_is_shorter_than_the_batch():
    layer = TransformerLayer(16, 2, 32, 0.1).eval()
    h, mask = torch.randn(2, 9, 16), (torch.arange(9) < 5).expand(2, 9)
    with torch.inference_mode():
        whole, _ = layer(h, mask)
        expected, _ = layer(h[:, :5])
    assert whole.shape == h.shape
    torch.testing.assert_close(whole[:, :5], expected, atol=1e-5, rtol=1e-5)


def test_fields_reach_the_layers():
    layer = Transformer(16, 2, 2, 32, 0.4).make(10, 64).stages["layer2"].layer
    assert layer.dropout.p == 0.4 and layer.linear1.out_features == 32 and layer.self_attn.num_heads == 2


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"heads": 3}, r"width must be a multiple of heads \(3\), got 160"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\), got -0.1"),
        ({"normalize": "max"}, "normalize must be one of none, mean, mean_std.*, got 'max'"),
    ],
)
def test_fields_out_of_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Transformer(**fields)
