import json
from dataclasses import replace

import nbformat
import pytest

from kit.kaggle.bundle import make_bundle
from kit.kaggle.kernel import METADATA, NOTEBOOK, Kernel, Sent, default_title, write_kernel
from kit.kaggle.secrets import SecretError
from kit.notebooks import numbered

KERNEL = Kernel(
    "ann", "kit first look", "voices-challenge", ["ann/weights"], ["ben/oof"], True, ["ann/net/pyTorch/b0/3"]
)
PARAMETERS = 'data = ""  # é: a folder\npreset = "demo"\nseed = 0'


def notebook(path, *sources, parameters=PARAMETERS):
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    printed = nbformat.v4.new_output("stream", text="a secret that was printed\n")
    cells = [nbformat.v4.new_code_cell(source, outputs=[printed], execution_count=1) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=[tagged, *cells]), path)
    return path


def pushed(path, tmp_path, kernel=KERNEL, **values):
    write_kernel(path, kernel, values, tmp_path / "out")
    return nbformat.read(tmp_path / "out" / NOTEBOOK, as_version=4)


def test_the_kernel_is_the_notebook_with_the_kit_before_and_the_hand_in_after(tmp_path):
    cells = pushed(notebook(tmp_path / "a.ipynb", "print(data)"), tmp_path, preset="full", seed="3").cells
    assert [cell.source for cell in cells[1:]] == [
        "data = find_data('voices-challenge', 'ann/weights')  # é: a folder\npreset = 'full'\nseed = 3",
        "print(data)",
        "from kit.kaggle.place import hand_in\n\nhand_in()",
    ]
    assert make_bundle(code="").sha256 in cells[0].source
    assert cells[0].source.endswith("say_where(gpu=True)\nbring_runs('ben/oof')")
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


def test_data_that_is_given_is_taken(tmp_path):
    cells = pushed(notebook(tmp_path / "a.ipynb"), tmp_path, data="").cells
    assert cells[1].source.startswith("data = ''  # é")


def test_every_field_of_the_metadata_is_written(tmp_path):
    pushed(notebook(tmp_path / "a.ipynb"), tmp_path)
    assert json.loads((tmp_path / "out" / METADATA).read_text()) == {
        "id": "ann/kit-first-look", "title": "kit first look", "code_file": "notebook.ipynb", "language": "python",
        "kernel_type": "notebook", "is_private": True, "enable_gpu": True, "enable_tpu": False,
        "enable_internet": False, "machine_shape": "NvidiaTeslaT4", "dataset_sources": ["ann/weights"],
        "competition_sources": ["voices-challenge"], "kernel_sources": ["ben/oof"],
        "model_sources": ["ann/net/pyTorch/b0/3"], "keywords": [], "docker_image_pinning_type": "latest",
    }  # fmt: skip
    assert Kernel("ann", "kit first look", "voices").metadata()["machine_shape"] == ""


@pytest.mark.parametrize("source", ["ann/net-weights", "ann/net-weights/pyTorch/default/2"])
def test_weights_that_were_sent_along_are_attached_and_found(tmp_path, source):
    kernel = replace(KERNEL, weights=Sent("0a" * 32, source), models=())
    path = notebook(tmp_path / "a.ipynb", "print(weights)", parameters=PARAMETERS + '\nweights = ""')
    cells = pushed(path, tmp_path, kernel).cells
    assert cells[1].source.endswith(f"weights = find_weights('{'0a' * 32}', '{source}')")
    for name in ("attached import find_weights", "former_runs import bring_runs"):
        assert f"from kit.kaggle.{name}\n" in cells[0].source
    metadata = json.loads((tmp_path / "out" / METADATA).read_text())
    assert metadata["dataset_sources" if source.count("/") == 1 else "model_sources"][-1] == source
    with pytest.raises(ValueError, match=r"a.ipynb: must have a parameter weights, which is told where they lie"):
        pushed(notebook(tmp_path / "a.ipynb"), tmp_path, kernel)


def test_the_same_push_twice_is_the_same_text(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "1")
    assert pushed(path, tmp_path) == pushed(path, tmp_path)


def test_a_title_says_which_notebook_for_which_competition():
    title = default_title(numbered(["02"])[0], "ml2022spring-hw4")
    assert title == "02 first submission ml2022spring-hw4"
    assert Kernel("ann", title, "ml2022spring-hw4").ref == "ann/02-first-submission-ml2022spring-hw4"
    assert len(default_title(numbered(["02"])[0], "x" * 80)) == 50


@pytest.mark.parametrize("source", ["x = 1\nkey = 'KGAT_0123456789abcdef0123'", "open('/home/ann/data')"])
def test_a_secret_is_refused_by_its_cell_and_nothing_is_written(tmp_path, source):
    path = notebook(tmp_path / "a.ipynb", "fine = 1", source)
    with pytest.raises(SecretError, match=r"a.ipynb, cell 3, line \d: must hold nothing secret or personal, got what"):
        pushed(path, tmp_path)
    with pytest.raises(SecretError, match=r"a.ipynb, cell 1, line 1: .* a home folder"):
        pushed(notebook(tmp_path / "a.ipynb"), tmp_path, data="/home/ann/voices")
    assert not (tmp_path / "out").exists()


def test_a_notebook_without_its_parameters_is_refused(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("data = 1")]), path)
    with pytest.raises(ValueError, match=r"a.ipynb: must have one cell tagged parameters, got 0"):
        pushed(path, tmp_path)
    for parameters in ("data, preset = 1, 2", "print(1)", "data: str", "data = [\n1]"):
        with pytest.raises(ValueError, match=r"a.ipynb, cell 1: the parameters cell must hold lines of name = value"):
            pushed(notebook(path, parameters=parameters), tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sed": "1"}, "a parameter must be one of data, preset, seed, got 'sed'"),
        ({"seed": "1.5"}, "seed must be int, as 0 is, got '1.5'"),
        ({"seed": "__import__('os')"}, "seed must be int, as 0 is, got"),
    ],
)
def test_a_wrong_parameter_is_refused(tmp_path, values, message):
    with pytest.raises(ValueError, match=message):
        pushed(notebook(tmp_path / "a.ipynb"), tmp_path, **values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": "kit"}, "title must have 5 to 50 letters and digits, got 'kit'"),
        ({"title": "x" * 51}, "title must have 5 to 50"),
        ({"title": "------"}, "title must have 5 to 50"),
        ({"owner": "Ann Example"}, "owner must be a name as in Kaggle's addresses, got 'Ann Example'"),
        ({"competition": "https://www.kaggle.com/c/x"}, "competition must be a name as in Kaggle's addresses"),
        ({"datasets": ["weights"]}, "dataset must be owner/name as in Kaggle's addresses, got 'weights'"),
        ({"kernels": ["a/b/c"]}, "kernel must be owner/name"),
        ({"models": ["a/b/pyTorch/c"]}, "model must be owner/model/framework/variation/version, the last a whole num"),
        ({"models": ["a/b/pyTorch/c/1/2"]}, "model must be .* got 'a/b/pyTorch/c/1/2'"),
        ({"models": ["a/b/pyTorch/c/v1"]}, "the last a whole number, got 'a/b/pyTorch/c/v1'"),
    ],
)
def test_a_kernel_that_kaggle_would_not_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Kernel(**({"owner": "ann", "title": "kit first look", "competition": "voices"} | changes))


def test_every_notebook_of_the_kit_can_be_pushed(tmp_path):
    for path in numbered():
        write_kernel(path, KERNEL, {"preset": "full"}, tmp_path / path.stem)
        assert (tmp_path / path.stem / NOTEBOOK).stat().st_size < 1_000_000


def test_magics_imports_and_annotations_in_the_parameters_cell_stay_as_they_are(tmp_path):
    parameters = '%matplotlib inline\nimport os\ndata: str = ""  # here\n!nvidia-smi\nseed: int = 0'
    cells = pushed(
        notebook(tmp_path / "a.ipynb", "%load_ext autoreload\n!ls", parameters=parameters), tmp_path, seed="3"
    ).cells
    assert cells[1].source == (
        "%matplotlib inline\nimport os\ndata: str = find_data('voices-challenge', 'ann/weights')  # here\n"
        "!nvidia-smi\nseed: int = 3"
    )
    assert cells[2].source == "%load_ext autoreload\n!ls"


def test_a_cell_that_is_no_python_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"a.ipynb, cell 2, line 2: must be Python, got "):
        pushed(notebook(tmp_path / "a.ipynb", "x = 1\nif x"), tmp_path)
    with pytest.raises(ValueError, match=r"a.ipynb, cell 1, line 2: must be Python, got "):
        pushed(notebook(tmp_path / "a.ipynb", parameters='data = ""\nseed = ('), tmp_path)


def test_modules_beside_the_notebook_go_along(tmp_path):
    (tmp_path / "mine.py").write_text("import tools.more\nshare = 0.25\n")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/__init__.py").write_text("")
    (tmp_path / "tools/more.py").write_text("from unused_name import nothing\n")
    (tmp_path / "other.py").write_text("1\n")
    (tmp_path / "late.py").write_text("old = 1\n")
    path = notebook(tmp_path / "a.ipynb", "import mine", "%%writefile late.py\nnew = 1", "import late")
    bundle = write_kernel(path, KERNEL, {}, tmp_path / "out")
    assert sorted(bundle.own) == ["mine.py", "tools/__init__.py", "tools/more.py"]
    (tmp_path / "mine.py").write_text("key = 'KGAT_0123456789abcdef0123'\n")
    with pytest.raises(SecretError, match=r"^mine.py, line 1: must hold nothing secret"):
        write_kernel(path, KERNEL, {}, tmp_path / "out")


def test_what_serves_one_notebook_goes_with_that_one_alone(tmp_path):
    def carried(source):
        files = write_kernel(notebook(tmp_path / "a.ipynb", source), KERNEL, {}, tmp_path / "out").files
        return {name for name in files if name.startswith(("kit/studies/", "kit/demos/"))}

    assert carried("from kit import crossval, preset") == set()
    assert carried("from kit.studies.lines import draw_pairs") == {"kit/studies/__init__.py", "kit/studies/lines.py"}
    assert carried("from kit.studies import image_figures") >= {"kit/studies/image_figures.py"}
    voices = carried("from kit.demos.demo import make_voices")
    assert {"kit/demos/__init__.py", "kit/demos/demo.py"} <= voices and "kit/demos/digits.py" not in voices
    assert not any(name.startswith("kit/studies") for name in voices)
