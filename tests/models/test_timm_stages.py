import pytest
import timm
import torch

from kit.models import timm_stages as module
from kit.models.build import build_model
from kit.models.timm_stages import ImageStem, create_net, embed_by_length, timm_stages
from kit.training.config import Config

FAMILIES = {  # the smallest of each, and its stages between stem and final
    "resnet10t": 4,
    "mobilenetv2_050": 7,
    "convnext_atto": 4,
    "vit_tiny_patch16_224": 12,
}
WITHOUT_CUTS = "mobilenetv3_small_050"
EVERY_NET = [*FAMILIES, WITHOUT_CUTS]


def timm_model(name, **changes):
    return build_model(Config(backbone="timm", timm_name=name, **changes), n_classes=5, n_mels=40)


def settle(net):
    """A training step's worth of batch-norm statistics, so that eval is not the untouched start."""
    net.train()
    with torch.no_grad():
        net(torch.randn(4, 64, 40))
    return net.eval()


@pytest.mark.parametrize("name", EVERY_NET)
def test_stages_give_the_nets_own_features(name, monkeypatch):
    whole = create_net(name).eval()
    monkeypatch.setattr(module, "create_net", lambda *_: create_net_like(name, whole))
    stages, width = timm_stages(name, n_mels=40, normalize="none")
    h, mask = torch.randn(2, 96, 40), None
    features = whole.forward_features(h.transpose(1, 2).unsqueeze(1))
    if features.dim() == 3:  # a ViT's tokens: prefix, then 3 rows of 6 patches
        features = features[:, whole.num_prefix_tokens :].unflatten(1, (3, 6)).permute(0, 3, 1, 2)
    for stage in stages.values():
        h, mask = stage.eval()(h, mask)
    assert h.shape == (2, features.shape[3], width) and mask is None
    torch.testing.assert_close(h, features.mean(dim=2).transpose(1, 2), atol=1e-5, rtol=1e-5)


def create_net_like(name, whole):
    net = create_net(name)
    net.load_state_dict(whole.state_dict())
    return net


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_cut_into_named_stages(name):
    expected = ("stem", *(f"layer{number}" for number in range(1, FAMILIES[name] + 1)), "final")
    assert timm_model(name).stage_names == expected


def test_other_nets_are_one_body():
    assert timm_model(WITHOUT_CUTS).stage_names == ("stem", "body", "final")


@pytest.mark.parametrize("name", EVERY_NET)
def test_padding_and_batch_mates_do_not_matter_and_would_without_mask(name):
    net = settle(timm_model(name, pooling="statistics"))
    lengths = (90, 50, 90, 20)  # two of one length, one under the least width
    mel, mask = torch.randn(4, 90, 40), torch.arange(90) < torch.tensor(lengths).unsqueeze(1)
    with torch.inference_mode():
        _, z = net(mel, mask)
        _, unmasked = net(mel)
        for row, length in enumerate(lengths):
            _, alone = net(mel[row : row + 1, :length])
            torch.testing.assert_close(z[row : row + 1], alone, atol=1e-5, rtol=0)
        scale = unmasked.abs().max()
        assert (z[1] - unmasked[1]).abs().max() > 1e-3 * scale
        torch.testing.assert_close(unmasked[0], z[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", EVERY_NET)
def test_training_reaches_every_weight_that_is_not_frozen(name):
    net = timm_model(name).train()
    mask = torch.arange(70) < torch.tensor([70, 40]).unsqueeze(1)
    logits, _ = net(torch.randn(2, 70, 40), mask)
    logits.square().sum().backward()
    without = [name for name, weight in net.named_parameters() if weight.requires_grad and weight.grad is None]
    assert without == []


def test_mask_follows_the_map():
    net = timm_model("resnet10t")
    h, mask = torch.randn(2, 64, 40), torch.arange(64) < torch.tensor([64, 20]).unsqueeze(1)
    for stage in net.stages.values():
        h, mask = stage(h, mask)
    assert h.shape == (2, 2, 512)
    assert mask.tolist() == [[True, True], [True, False]]


def test_image_has_frequency_along_its_height_and_is_filled_up_with_zeros():
    stem = ImageStem("none", torch.nn.Identity())
    mel = torch.randn(2, 10, 20)
    image, mask = stem(mel, torch.ones(2, 10, dtype=torch.bool))
    assert image.shape == (2, 1, 32, 32)
    assert torch.equal(image[:, 0, :20, :10], mel.transpose(1, 2))
    assert (image[:, :, 20:] == 0).all() and (image[..., 10:] == 0).all()
    assert mask.sum(dim=1).tolist() == [10, 10]


def test_clips_are_embedded_by_length_and_put_back_in_order():
    mel = torch.arange(8.0).view(4, 2, 1)  # rows (0, 1), (2, 3), (4, 5), (6, 7)
    mask = torch.tensor([[True, False], [True, True], [True, False], [True, True]])
    calls = []

    def embed(mel):
        calls.append(tuple(mel.shape))
        return mel.sum(dim=1)

    assert embed_by_length(embed, mel, mask).flatten().tolist() == [0, 5, 4, 13]
    assert calls == [(2, 1, 1), (2, 2, 1)]


def test_padding_must_be_at_the_end():
    net = timm_model("resnet10t").eval()
    with pytest.raises(ValueError, match="mask must be True, then False, along time for a timm net"):
        net(torch.randn(1, 40, 40), (torch.arange(40) > 5).unsqueeze(0))


def test_nothing_is_downloaded_by_default(monkeypatch):
    asked = {}
    monkeypatch.setattr(timm, "create_model", lambda name, **options: asked.update(options))
    create_net("resnet18")
    assert asked == {"pretrained": False, "in_chans": 1, "num_classes": 0}


def test_unknown_name_is_told_with_near_ones():
    with pytest.raises(ValueError, match=r"timm_name must be a name that timm knows \(.*resnet18.*\), got 'resnt18'"):
        create_net("resnt18")


def test_net_of_a_fixed_image_size_is_refused():
    with pytest.raises(ValueError, match="timm_name must name a net for images of any size, got 'mixer_s32_224'"):
        timm_model("mixer_s32_224")


def test_net_without_a_map_is_refused():
    with pytest.raises(ValueError, match="timm_name must name a net whose features are a map"):
        timm_model("xcit_nano_12_p16_224")


def test_frames_are_not_stacked():
    with pytest.raises(ValueError, match="frame_stack must be 1 with backbone 'timm', got 2"):
        timm_model("resnet10t", frame_stack=2)
