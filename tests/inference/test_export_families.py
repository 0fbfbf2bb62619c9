"""Which of timm's families can be exported: the smallest net of each, as docs/timm.md lists them, and the page."""

from pathlib import Path

import pytest
import torch

from kit.inference import families
from kit.inference.families import Row, table, try_export, try_within, working_nets
from kit.inference.onnx_nets import Logits
from kit.models.net import Net

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
PAGE = Path(__file__).parents[2] / "docs/timm.md"
NETS = working_nets(PAGE)
REFUSED = {"cpubone": "GuardOnDataDependentSymNode"}  # whose sizes PyTorch can't follow; add what else fails, and why


@pytest.mark.nightly
@pytest.mark.parametrize("family", sorted(NETS))
def test_a_family(family):
    torch.manual_seed(0)
    row = try_export(family, NETS[family])
    if family in REFUSED:
        assert row.reason.startswith("PyTorch can't export this net: ") and REFUSED[family] in row.reason
    else:
        assert not row.reason and row.largest < 1e-4


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "timm.md"
    path.write_text(
        "| family | smallest net | million weights | verdict | stages | seconds | why |\n"
        "| deit | deit_tiny | 5.7 | works padded | 14 | 5.3 | multiples of 16 |\n"
        "| pit | pit_ti | 4.8 | refused |  | 0.1 | name must name another |\n"
        "| vgg | vgg11 | 132.9 | works | 6 | 138.1 |  |\n"
    )
    return path


def test_the_families_that_work_are_read_from_the_page_smallest_first(page):
    assert working_nets(page) == {"deit": "deit_tiny"}
    page.write_text(page.read_text() + "| zoo | test_zoo | 0.3 | works | 6 | 1.4 |  |\n")
    assert list(working_nets(page, 200).items()) == [("zoo", "test_zoo"), ("deit", "deit_tiny"), ("vgg", "vgg11")]
    assert {"efficientnet", "resnet", "convnext", "deit"} <= set(NETS)


class Mean(torch.nn.Module):
    """Of each bin over time, times `factor`, then a linear layer."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.head, self.factor = torch.nn.Linear(families.N_MELS, families.N_CLASSES), factor

    def forward(self, mel, mask=None):
        return (self.head(mel.mean(1) * self.factor),)


def test_a_graph_is_compared(monkeypatch):
    net = Mean()
    monkeypatch.setattr(Net, "make", lambda self, *sizes: net)
    row = try_export("any", "test_resnet")
    assert (row.family, row.name, row.reason) == ("any", "test_resnet", "") and row.largest < 1e-6
    other = Mean(1.5)
    other.head = net.head
    monkeypatch.setattr(families, "Logits", lambda _: Logits(other))
    row = try_export("any", "test_resnet")
    assert row.reason == "must be within 0.0001 of PyTorch" and row.largest > 1e-4


def test_the_page_by_hand():
    rows = [Row("vit", "b", 2e-7), Row("cpu", "a", reason="PyTorch can't | export this net: why")]
    page = table(rows, 3)
    assert "2 of these 3 families were tried: 1 can be exported, 1 can't." in page
    assert page.endswith(
        "|---|---|---|---|---|\n| cpu | a | no |  | PyTorch can't \\| export this net: why |\n"
        "| vit | b | yes | 2.0e-07 |  |\n"
    )


@pytest.mark.nightly
def test_a_net_that_takes_too_long_or_ends_its_process_is_told():
    assert try_within(1, "resnet", "test_resnet").reason == "must be done within 1 s of a processor"
    assert try_within(60, "none", "no_such_net").reason == "its process ended with exit code 1"


def test_the_command_writes_the_page(page, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(families, "try_within", lambda seconds, family, name: Row(family, name, 1e-7))
    families.main(["--out", str(tmp_path / "new/export.md"), "--page", str(page)])
    assert "| deit | deit_tiny | yes | 1.0e-07 |  |" in (tmp_path / "new/export.md").read_text()
    assert "deit_tiny" in capsys.readouterr().out
