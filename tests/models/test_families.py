import pytest
import torch

from kit.models import families
from kit.models.families import Row, table, try_family


@pytest.mark.parametrize(
    "name, verdict, padding, stages",
    [("test_resnet", "works", "", 6), ("test_vit", "works padded", "multiples of 16", 8)],
)
def test_a_net_that_runs(name, verdict, padding, stages):
    row = try_family("family", name, 400_000)
    assert (row.verdict, row.padding, row.stages, row.reason) == (verdict, padding, stages, "")
    assert row.seconds > 0


def test_a_net_that_is_refused_says_why():
    row = try_family("pit", "pit_ti_224", 5_000_000)
    assert row.verdict == "refused"
    assert row.reason.startswith("name must name a net for images of any size, got 'pit_ti_224'")


def test_a_net_that_is_too_large_is_not_tried(monkeypatch):
    monkeypatch.setattr(families, "timm_stages", lambda *_: pytest.fail("built"))
    assert try_family("vgg", "vgg19", 151_000_000).reason == "not tried: over 150 million weights"


def test_trouble_in_training_and_padding_that_matters_are_found():
    class Stage(torch.nn.Module):
        def __init__(self, gain):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(1) * gain)

        def forward(self, h, mask=None):
            if self.training and self.gain < 0:
                raise IndexError("no training\nat all")
            return h * self.gain * (1 + (len(h) > 1 and not self.training)), mask

    assert families._trouble({"stem": Stage(-1.0)}, 4) == "IndexError: no training"
    assert families._trouble({"stem": Stage(float("inf"))}, 4) == "not finite in eval"

    class ByBatch(Stage):
        calls = 0

        def forward(self, h, mask=None):
            ByBatch.calls += not self.training
            return h * self.gain * ByBatch.calls, mask

    assert families._trouble({"stem": ByBatch(1.0)}, 4).startswith("a padded clip is off by ")


def test_the_page_counts_and_lists():
    rows = [
        Row("b", "b_1", 2_000_000, "multiples of 32", 6, 1.25),
        Row("a", "a_1", 400_000, "", 3, 0.5),
        Row("c", "c_1", 3_000_000, reason="fails | somewhere", seconds=0.1),
        Row("d", "d_1", 900_000_000, reason="not tried: over 150 million weights"),
    ]
    page = table(rows)
    assert "Of 4 families 3 were tried: 1 work as they are, 1 with images filled up, 1 are refused." in page
    assert page.splitlines()[-4:-1] == [
        "| a | a_1 | 0.4 | works | 3 | 0.5 |  |",
        "| b | b_1 | 2.0 | works padded | 6 | 1.2 | multiples of 32 |",
        "| c | c_1 | 3.0 | refused |  | 0.1 | fails \\| somewhere |",
    ]


def test_the_command_writes_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(families, "smallest_nets", lambda: {"resnet": ("test_resnet", 469_688)})
    families.main(["--out", str(tmp_path / "docs" / "timm.md")])
    assert capsys.readouterr().out.startswith("resnet test_resnet: works, ")
    assert "| resnet | test_resnet | 0.5 | works | 6 |" in (tmp_path / "docs" / "timm.md").read_text()


def test_the_smallest_net_of_each_family(monkeypatch):
    monkeypatch.setattr(families.timm, "list_modules", lambda: ["vgg", "sknet"])
    nets = families.smallest_nets()
    assert nets["vgg"] == ("vgg11", 132_863_336)
    assert nets["sknet"][0] == "skresnet18"
