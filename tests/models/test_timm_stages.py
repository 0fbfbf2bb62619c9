import pytest
import timm
import torch

from kit.models.lengths import embed_by_length
from kit.models.timm_stages import timm_stages

LAYERS = {  # small nets of families that begin and end in unlike ways, and their stages between stem and final
    "resnet10t": 4,
    "mobilenetv2_050": 7,
    "mobilenetv3_small_050": 5,
    "test_convnext": 4,
    "test_byobnet": 4,
    "test_nfnet": 4,
    "regnetx_002": 4,
    "test_vit": 6,
}
CHANNELS_LAST = "test_mambaout"
TOKENS = "vit_tiny_patch16_dinov3_qkvb"  # whole, as it has no cut of its own
EVERY_NET = [*LAYERS, CHANNELS_LAST, TOKENS]


def run(stages, h, mask=None):
    for stage in stages.values():
        h, mask = stage(h, mask)
    return h, mask


def in_eval(stages):
    for stage in stages.values():
        stage.eval()
    return stages


def own_features(name, image):
    """What timm's own forward_features gives with the weights that seed 3 draws, as a map."""
    torch.manual_seed(3)
    options = {"dynamic_img_size": True, "dynamic_img_pad": True} if "vit" in name else {}
    net = timm.create_model(name, in_chans=image.shape[1], num_classes=0, **options).eval()
    features = net.forward_features(image)
    if features.dim() == 3:
        rows = -(-image.shape[2] // 16)
        features = features[:, net.num_prefix_tokens :].unflatten(1, (rows, -1)).permute(0, 3, 1, 2)
    return features if features.shape[1] == net.num_features else features.permute(0, 3, 1, 2), net


@pytest.mark.parametrize("name", [*LAYERS, CHANNELS_LAST])
def test_stages_give_the_nets_own_features(name):
    mel = torch.randn(2, 96, 64)
    features, net = own_features(name, mel.transpose(1, 2).unsqueeze(1))
    torch.manual_seed(3)
    stages, width = timm_stages(name, 64, "none")
    stages["final"].norm = torch.nn.Identity()  # timm's own is in its head
    frames, mask = run(in_eval(stages), mel)
    assert frames.shape == (2, features.shape[3], width) and mask is None
    torch.testing.assert_close(frames, features.mean(dim=2).transpose(1, 2), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_families_are_cut_into_named_stages(name):
    stages, _ = timm_stages(name, 40, "none")
    assert list(stages) == ["stem", *(f"layer{number}" for number in range(1, LAYERS[name] + 1)), "final"]


def test_a_net_of_branches_is_one_body_filled_up_to_multiples():
    stages, _ = timm_stages("hrnet_w18_small", 40, "none")
    assert list(stages) == ["stem", "body", "final"]
    assert stages["stem"].padding.multiple == 32


@pytest.mark.parametrize("name", ["test_convnext", "vit_wee_patch16_reg1_gap_256"])
def test_the_heads_norm_is_kept(name):
    """On an image of one column of the last map, timm's pooled features before its classifier are the one frame."""
    torch.manual_seed(3)
    stages, _ = timm_stages(name, 64, "none")
    options = {"dynamic_img_size": True, "dynamic_img_pad": True} if "vit" in name else {}
    torch.manual_seed(3)
    net = timm.create_model(name, in_chans=1, num_classes=0, **options).eval()
    head = net.fc_norm if "vit" in name else net.head.norm
    torch.nn.init.normal_(head.weight, 1)
    kept = stages["final"].norm.norm
    kept.load_state_dict(head.state_dict())
    side = 32 if "convnext" in name else 16
    mel = torch.randn(2, side, 64)
    stages["stem"].padding = type(stages["stem"].padding)(1, side)
    frames, _ = run(in_eval(stages), mel)
    pooled = net.forward_head(net.forward_features(mel.transpose(1, 2).unsqueeze(1)), pre_logits=True)
    assert frames.shape[1] == 1
    torch.testing.assert_close(frames[:, 0], pooled, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", EVERY_NET)
def test_padding_and_batch_mates_do_not_matter_and_would_without_mask(name):
    stages, _ = timm_stages(name, 40, "mean_std")
    run(stages, torch.randn(4, 64, 40))  # batch norms' statistics of one step, not the untouched start
    in_eval(stages)
    lengths = (90, 50, 90, 20)  # two of one length, one under the least width
    mel, mask = torch.randn(4, 90, 40), torch.arange(90) < torch.tensor(lengths).unsqueeze(1)

    def embed(mel):
        return run(stages, mel)[0].mean(dim=1)

    with torch.inference_mode():
        z, unmasked = embed_by_length(embed, mel, mask), embed(mel)
        scale = unmasked.abs().max()
        for row, length in enumerate(lengths):
            alone = embed(mel[row : row + 1, :length])
            torch.testing.assert_close(z[row : row + 1], alone, atol=1e-4 * scale.item(), rtol=0)
        assert (z[1] - unmasked[1]).abs().max() > 1e-3 * scale


@pytest.mark.parametrize("name", EVERY_NET)
def test_training_reaches_every_weight_that_is_not_frozen(name):
    stages, _ = timm_stages(name, 40, "mean")
    assert all(stage.training for stage in stages.values())
    mask = torch.arange(70) < torch.tensor([70, 40]).unsqueeze(1)
    run(stages, torch.randn(2, 70, 40), mask)[0].square().sum().backward()
    parameters = [p for stage in stages.values() for p in stage.parameters()]
    assert all(p.grad is not None for p in parameters if p.requires_grad)
    assert sum(p.requires_grad for p in parameters) > 0.9 * len(parameters)


def test_mask_follows_the_map():
    stages, _ = timm_stages("resnet10t", 40, "none")
    mask = torch.arange(64) < torch.tensor([64, 20]).unsqueeze(1)
    frames, mask = run(stages, torch.randn(2, 64, 40), mask)
    assert frames.shape == (2, 2, 512)
    assert mask.tolist() == [[True, True], [True, False]]


def test_stacked_rows_stay_apart():
    """40 mels in 32-fold reduction are two rows: a frame is 2 × 512 values, whose row means are the other kind's."""
    torch.manual_seed(3)
    stacked, width = timm_stages("resnet10t", 40, "none", frequency="stack")
    torch.manual_seed(3)
    mean, _ = timm_stages("resnet10t", 40, "none")
    mel = torch.randn(2, 64, 40)
    frames = run(in_eval(stacked), mel)[0]
    assert width == 1024 and frames.shape == (2, 2, 1024)
    torch.testing.assert_close(frames.unflatten(2, (512, 2)).mean(dim=3), run(in_eval(mean), mel)[0])


@pytest.mark.parametrize(
    "name, depth, width, n_last",
    [("resnet18", 2, 128, 0), ("mobilenetv2_050", 3, 16, 0), ("test_convnext", 2, 32, 0), ("test_vit", 3, 64, 2)],
)
def test_the_first_stages_alone(name, depth, width, n_last):
    """A ViT's last norm is of its one width and stays; MobileNet's last convolution takes 160 channels and does not."""
    stages, found = timm_stages(name, 40, "none", depth=depth)
    assert list(stages) == ["stem", *(f"layer{number}" for number in range(1, depth + 1)), "final"]
    assert found == width == run(in_eval(stages), torch.randn(1, 64, 40))[0].shape[2]
    assert len(list(stages["final"].parameters())) == n_last


def test_three_channels_are_copies():
    torch.manual_seed(3)
    stages, _ = timm_stages("test_resnet", 40, "mean", in_chans=3)
    mel = torch.randn(2, 64, 40)
    image = (mel - mel.mean(dim=1, keepdim=True)).transpose(1, 2).unsqueeze(1)
    features, _ = own_features("test_resnet", image.repeat(1, 3, 1, 1))
    frames, _ = run(in_eval(stages), mel)
    torch.testing.assert_close(frames, features.mean(dim=2).transpose(1, 2), atol=1e-5, rtol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_they_are_random_by_default():
    def weights(seed):
        torch.manual_seed(seed)
        stages, _ = timm_stages("test_resnet", 40, "none")
        assert stages["stem"].loaded is None
        return [p for stage in stages.values() for p in stage.parameters() if p.dim() > 1]

    first, second, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["pit_ti_224", "test_vit_relpos"])
def test_net_of_a_fixed_image_size_is_refused(name):
    with pytest.raises(
        ValueError, match=f"name must name a net for images of any size, got '{name}', which fails at 40 × 32"
    ):
        timm_stages(name, 40, "none")


def test_net_without_a_map_is_refused():
    with pytest.raises(ValueError, match="must name a net whose features are a map .* got 'crossvit_9_240' with list"):
        timm_stages("crossvit_9_240", 40, "none")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frequency": "max"}, "frequency must be one of mean, stack, got 'max'"),
        ({"in_chans": 0}, "in_chans must be at least 1, got 0"),
        ({"in_chans": 3, "image_channels": 1}, "in_chans, top_db and imagenet must be left out with image_channels"),
        ({"imagenet": True}, "imagenet must be False unless normalize is \"min_max\", got 'none'"),
        ({"depth": 5}, "depth must be 0 to 4, the stages of 'test_resnet', got 5"),
        ({"depth": -1}, "depth must be 0 to 4, the stages of 'test_resnet', got -1"),
    ],
)
def test_choices_out_of_range_are_told(changes, message):
    with pytest.raises(ValueError, match=message):
        timm_stages("test_resnet", 40, "none", **changes)


def test_a_whole_net_has_no_first_stages():
    with pytest.raises(ValueError, match=f"depth must be 0 for a net that can't be cut, got 2 with '{TOKENS}'"):
        timm_stages(TOKENS, 40, "none", depth=2)
