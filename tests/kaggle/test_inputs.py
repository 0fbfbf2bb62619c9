import pytest

from kit.kaggle.inputs import find_data


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("KIT_DATA", raising=False)
    monkeypatch.setenv("KIT_INPUT", str(tmp_path))
    return tmp_path


def put(root, folder, marker="train.csv"):
    path = root / folder / marker
    path.parent.mkdir(parents=True)
    path.write_text("")
    return str(root / folder)


@pytest.mark.parametrize(
    "mount",
    ["competitions/Voices-Challenge", "voices-challenge", "voices-challenge/data", "datasets/ann/voices-challenge",
     "notebooks/ann/voices-challenge/runs", "models/ann/voices-challenge/pytorch/base/1"],
)  # fmt: skip
@pytest.mark.parametrize("marker", ["train.csv", "metadata.json", "digits.parquet", "train/cat/1.png"])
def test_data_is_found_under_any_mount(root, mount, marker):
    wanted = put(root, mount, marker)
    put(root, "datasets/ben/other", marker)
    assert find_data("voices-challenge", "ann/weights") == wanted


def test_the_first_name_comes_first_and_the_only_folder_will_do(root):
    dataset = put(root, "datasets/ann/weights")
    assert find_data("voices-challenge", "ann/weights") == dataset
    assert find_data("voices-challenge") == dataset
    competition = put(root, "competitions/voices-challenge")
    assert find_data("voices-challenge", "ann/weights") == competition
    put(root, "competitions/voices-challenge/train/deep")  # what lies inside belongs to it
    assert find_data("voices-challenge") == competition


def test_none_and_several_are_told(root, monkeypatch):
    with pytest.raises(
        ValueError,
        match=r"must hold voices or ann/w \(.*train_tp.csv or .*train.csv or .*, or images\), got none; attach",
    ):
        find_data("voices", "ann/w")
    put(root, "a/one")
    put(root, "b/two")
    with pytest.raises(ValueError, match="got a/one, b/two; attach"):
        find_data("voices")
    monkeypatch.setenv("KIT_INPUT", str(root / "gone"))
    with pytest.raises(ValueError, match="got none"):
        find_data("voices")


def test_the_environment_names_it_outright(root, monkeypatch):
    monkeypatch.setenv("KIT_DATA", "my/folder")
    assert find_data("voices") == "my/folder"
