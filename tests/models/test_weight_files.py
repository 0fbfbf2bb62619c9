import urllib.error
from types import SimpleNamespace

import pytest
import timm
import torch
from safetensors.torch import save_file

from kit.models import weight_files
from kit.models.weight_files import find_weights, locate_weights, read_tensors, sha256

MODEL = "tf_efficientnet_b0.ns_jft_in1k"


def laid(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "tf_efficientnet_b0.ns_jft_in1k.safetensors",
        "tf_efficientnet_b0_ns-c0e6a31c.pth",
        "TF-EfficientNet-B0.bin",
        "models/timm/tf-efficientnet/pytorch/tf-efficientnet-b0/1/pytorch_model.bin",
        "datasets/someone/weights/tf_efficientnet_b0.ns_jft_in1k/model.safetensors",
        "hub/models--timm--tf_efficientnet_b0.ns_jft_in1k/snapshots/0a1b/model.safetensors",
    ],
)
def test_files_and_folders_named_for_the_net_are_found_among_others(tmp_path, name):
    others = ("a/tf_efficientnet_b01.pth", "b/tf_efficientnet_b1_ns-99dd0c41.pth", "c/model.safetensors",
              "resnet18/model.safetensors", "d/tf_efficientnet_b0.txt", "e/best.pt")  # fmt: skip
    assert find_weights(laid(tmp_path, name, *others), MODEL) == tmp_path / name


def test_the_folder_itself_may_have_the_name(tmp_path):
    folder = laid(tmp_path / "resnet18", "model.safetensors")
    assert locate_weights(str(folder), "resnet18") == folder / "model.safetensors"


def test_a_longer_name_is_another_net(tmp_path):
    laid(tmp_path, "resnet18d-1.pth", "resnet18d_ra2-48a79e06.pth", "resnet18-5c106cde.pth")
    assert find_weights(tmp_path, "resnet18").name == "resnet18-5c106cde.pth"
    laid(tmp_path, "vit_base_patch16_224.pth", "vit_base_patch16_224_miil.pth")
    assert find_weights(tmp_path, "vit_base_patch16_224").name == "vit_base_patch16_224.pth"


def test_of_two_forms_in_one_folder_safetensors_is_taken_and_of_two_tags_the_asked(tmp_path):
    laid(tmp_path, "resnet18/pytorch_model.bin", "resnet18/model.safetensors")
    assert find_weights(tmp_path, "resnet18").name == "model.safetensors"
    laid(tmp_path, "x/resnet50.a1_in1k.pth", "x/resnet50.a2_in1k.pth")
    assert find_weights(tmp_path, "resnet50.a2_in1k").name == "resnet50.a2_in1k.pth"


def test_several_and_none_name_what_there_is(tmp_path):
    laid(tmp_path, "a/resnet18.pth", "b/resnet18-1.pth", "c/other.bin")
    with pytest.raises(ValueError) as caught:
        find_weights(tmp_path, "resnet18")
    assert str(caught.value) == (
        f"weights must be a folder with one file named for resnet18, got '{tmp_path}' with 2: "
        "a/resnet18.pth, b/resnet18-1.pth"
    )
    with pytest.raises(
        ValueError, match=r"a file named for resnet34 .*, got '.*' with a/resnet18.pth, b/resnet18-1.pth, c/"
    ):
        find_weights(tmp_path, "resnet34")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="got '.*empty' with no weight file"):
        find_weights(tmp_path / "empty", "resnet18")


def test_only_files_of_tensors_are_taken(tmp_path):
    laid(tmp_path, "net.npz")
    with pytest.raises(ValueError, match="weights must be a file of .safetensors, .pth, .bin, .pt, got '.*net.npz'"):
        locate_weights(str(tmp_path / "net.npz"), "resnet18")
    with pytest.raises(
        ValueError, match='weights must be "", "timm", a file or a folder that exists, got \'nowhere.pth\''
    ):
        locate_weights("nowhere.pth", "resnet18")


class Harm:
    def __reduce__(self):
        return (print, ("run",))


def test_files_are_read_as_data(tmp_path, capsys):
    torch.save({"state_dict": {"a": torch.ones(1)}, "config": Harm()}, tmp_path / "harm.pth")
    with pytest.raises(
        ValueError, match="weights must be a file of tensors alone, got .*harm.pth', which holds Python objects"
    ):
        read_tensors(tmp_path / "harm.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth", "none.pth"])
def test_damaged_files_are_named(tmp_path, name):
    if name.endswith("safetensors"):
        save_file({"a": torch.ones(100)}, tmp_path / name)
    else:
        torch.save({"a": torch.ones(100)}, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(b"" if name.startswith("none") else whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"weights must be a whole file of tensors, got '.*{name}'") as caught:
        read_tensors(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_without_tensors_is_refused(tmp_path):
    for number, content in enumerate(({"epoch": 3}, [torch.ones(1)])):
        torch.save(content, tmp_path / f"{number}.pth")
        with pytest.raises(
            ValueError, match=f"weights must be a file of named tensors, got '.*{number}.pth' with none"
        ):
            read_tensors(tmp_path / f"{number}.pth")


def test_the_digest_is_the_files(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_hubs_cache_comes_first_and_offline_says_how_to_attach(tmp_path, monkeypatch):
    import huggingface_hub

    cached = {}
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda repo, name, revision=None: cached.get((repo, name))
    )
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("downloads"))

    def no_internet(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(weight_files.urllib.request, "urlopen", no_internet)
    with pytest.raises(ValueError) as caught:
        locate_weights("timm", "resnet18.a1_in1k")
    assert str(caught.value) == (
        'weights must be at hand where the internet is not, got "timm" for resnet18.a1_in1k, which is not in the '
        "local cache (Name or service not known): attach the file and give its path as weights, or the folder to "
        "search for it (on Kaggle a dataset or a model as input, and /kaggle/input)"
    )
    cached["timm/resnet18.a1_in1k", "pytorch_model.bin"] = str(tmp_path / "blob.bin")
    assert locate_weights("timm", "resnet18.a1_in1k") == tmp_path / "blob.bin"


def test_with_the_internet_the_hubs_file_is_downloaded(tmp_path, monkeypatch):
    import huggingface_hub

    def download(repo, name, revision=None):
        if name == "model.safetensors":
            raise huggingface_hub.errors.EntryNotFoundError("no such file")
        return tmp_path / repo / name

    def forbidden(request, timeout):
        raise urllib.error.HTTPError(request.full_url, 405, "no HEAD here", {}, None)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(weight_files.urllib.request, "urlopen", forbidden)  # an answer too
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert locate_weights("timm", "resnet18.a1_in1k") == tmp_path / "timm/resnet18.a1_in1k" / "pytorch_model.bin"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"not in the local cache \(HF_HUB_OFFLINE is set\)"):
        locate_weights("timm", "resnet18.a1_in1k")


def test_a_net_without_weights_in_timm_is_told(monkeypatch):
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: SimpleNamespace(has_weights=False))
    with pytest.raises(
        ValueError, match=r"weights must be of a net that timm has weights for \(.*a1_in1k.*\), got 'resnet18'"
    ):
        locate_weights("timm", "resnet18")
