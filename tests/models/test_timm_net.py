import pytest
import timm
import torch
from timm.layers import DropPath

from kit.models.timm_net import create_net


def test_nothing_is_downloaded(monkeypatch):
    asked = []
    monkeypatch.setattr(timm, "create_model", lambda name, **options: asked.append(options) or torch.nn.Identity())
    create_net("resnet18")
    assert all(options["pretrained"] is False for options in asked)
    assert asked[0] | {"in_chans": 1, "num_classes": 0} == asked[0]


def test_nets_of_one_size_are_told_to_take_any_where_they_can():
    net = create_net("vit_tiny_patch16_224", in_chans=2).eval()
    assert net.forward_features(torch.zeros(1, 2, 40, 61)).shape == (1, 1 + 3 * 4, 192)  # 16 pixels a patch, filled up


def drop_rates(net):
    return [module.drop_prob for module in net.modules() if isinstance(module, DropPath)]


def test_drop_path_reaches_the_nets_blocks():
    """Rates grow from 0 to the given one."""
    rates = drop_rates(create_net("convnext_atto", drop_path=0.2))
    assert max(rates) == pytest.approx(0.2) and sorted(rates) == rates
    assert not any(drop_rates(create_net("convnext_atto")))


@pytest.mark.parametrize("name", ["vgg11", "densenet121", "ghostnet_050"])
def test_a_net_without_drop_path_refuses_it(name):
    with pytest.raises(ValueError, match=f"drop_path must be 0 for a net that has none in timm, got 0.1 with '{name}'"):
        create_net(name, drop_path=0.1)


def test_drop_path_is_a_probability():
    with pytest.raises(ValueError, match=r"drop_path must be in \[0, 1\), got 1.0"):
        create_net("convnext_atto", drop_path=1.0)


def test_unknown_name_and_tag_are_told_with_those_there_are():
    with pytest.raises(ValueError, match=r"name must be a name that timm knows \(.*resnet18.*\), got 'resnt18'"):
        create_net("resnt18")
    with pytest.raises(ValueError, match=r"must have a tag that timm knows \(.*a1_in1k.*\), got 'resnet18.b1'"):
        create_net("resnet18.b1")
