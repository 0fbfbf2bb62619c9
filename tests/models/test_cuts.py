import torch
from torch import nn

from kit.models.cuts import cut, head_norm


def conv(channels=2, stride=1):
    return nn.Conv2d(channels, channels, 3, stride, padding=1)


def stage():
    return nn.Sequential(conv(), nn.ReLU(), conv())


class Chain(nn.Module):
    """A net whose parts run one after another."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward_features(self, x):
        for part in self.children():
            x = part(x)
        return x


class Listed(nn.Module):
    """A net with its stages in a list, unlike a Sequential not called itself, and a classifier that is not run."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList([stage(), stage()])
        self.fc = nn.Linear(2, 3)

    def forward_features(self, x):
        for part in self.stages:
            x = part(x)
        return x


class RunsItems(Listed):
    """A Sequential run item by item, as FastViT's."""

    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(stage(), stage(), stage())


class Between(Listed):
    """Something is done between the stages that no module does."""

    def forward_features(self, x):
        first, *rest = self.stages
        x = first(x)
        for part in rest:
            x = part(x + 1)
        return x


class Twice(Listed):
    """A stage runs twice, so that the stages one after another are not the net."""

    def forward_features(self, x):
        return super().forward_features(self.stages[0](x))


class After(Listed):
    """The features are not what the last part gave."""

    def forward_features(self, x):
        return super().forward_features(x).relu()


IMAGE = torch.zeros(1, 2, 8, 8)


def test_small_parts_join_the_stem_the_stage_before_and_the_final_layers():
    net = Chain(a=conv(), b=nn.BatchNorm2d(2), c=stage(), d=conv(), e=stage(), f=conv(), g=nn.ReLU()).eval()
    stem, first, second, final = cut(net, IMAGE)
    assert [*stem] == [net.a, net.b]
    assert [*first] == [net.c, net.d]
    assert second is net.e
    assert [*final] == [net.f, net.g]


def test_the_one_large_part_is_taken_apart_and_several_are_not():
    whole = Chain(stem=conv(), stages=nn.Sequential(stage(), stage(), stage()), norm=nn.BatchNorm2d(2)).eval()
    parts = cut(whole, IMAGE)
    assert parts == [whole.stem, *whole.stages, whole.norm]
    several = Chain(stem=stage(), layer1=nn.Sequential(stage(), stage()), layer2=stage()).eval()
    assert cut(several, IMAGE)[:-1] == [several.stem, several.layer1, several.layer2]


def test_a_list_of_stages_is_followed():
    net = Listed().eval()
    assert cut(net, IMAGE) is None  # a stem and one stage: nothing to cut
    net.stages.extend([stage()])
    assert cut(net, IMAGE)[:-1] == [*net.stages]
    net = RunsItems().eval()
    assert cut(net, IMAGE)[:-1] == [*net.stages]


def test_plain_convolutions_are_cut_where_the_image_shrinks():
    features = nn.Sequential(conv(), nn.ReLU(), nn.MaxPool2d(2), conv(), nn.MaxPool2d(2), conv(), nn.MaxPool2d(2))
    stem, first, second, final = cut(Chain(features=features).eval(), IMAGE)
    assert [len(stem), len(first), len(second)] == [3, 2, 2] and isinstance(final, nn.Identity)


def test_nets_that_are_no_chain_stay_whole():
    for kind in (Between, Twice, After):
        net = kind().eval()
        net.stages.extend([stage()])
        assert cut(net, IMAGE) is None, kind


def test_stages_are_the_very_modules_and_no_hook_stays():
    net = Chain(stem=conv(), a=stage(), b=stage()).eval()
    parts = cut(net, IMAGE)
    image = torch.randn(1, 2, 8, 8)
    h = image
    for part in parts:
        h = part(h)
    assert torch.equal(h, net.forward_features(image))
    assert not any(module._forward_hooks for module in net.modules())


class Head(nn.Module):
    num_features = 2

    def __init__(self, *parts):
        super().__init__()
        self.head = nn.Sequential(*parts)

    def forward_head(self, x, pre_logits=False):
        return self.head(x.mean((2, 3)))


def test_the_heads_first_norm_is_found_but_no_batch_norm_and_none_after_a_layer():
    norm = nn.LayerNorm(2)
    assert head_norm(Head(norm, nn.Linear(2, 2)), IMAGE).norm is norm
    assert head_norm(Head(nn.Identity()), IMAGE) is None
    assert head_norm(Head(nn.Linear(2, 2), nn.LayerNorm(2)), IMAGE) is None
    assert head_norm(Head(nn.BatchNorm1d(2)).eval(), IMAGE) is None
