"""Notebook 09 on the folders of 2024 and 2025, where no window of a soundscape is annotated."""

import nbformat
import pytest

from kit.competition.competition import open_competition
from kit.notebooks import numbered, run_notebooks
from kit.results.check import check_submission
from tests.competition.birdclef_folders import as_year


@pytest.mark.nightly
@pytest.mark.parametrize("year", [2024, 2025])
def test_notebook_09_reads_a_folder_without_annotated_windows(chorus_folder, tmp_path, monkeypatch, year):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    folder = as_year(chorus_folder, tmp_path / str(year), year)
    parameters = {"data": str(folder), "preset": "tiny", "seed": 0}
    run_notebooks(numbered(["09"]), parameters, tmp_path / "out", subject="birdclef", work=tmp_path)
    (path,) = (tmp_path / "out").glob("09_*.ipynb")
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    shown = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    assert "'no soundscape is annotated: all scores below are of clips'" in shown
    assert ('"no soundscape\'s name tells its site"' in shown) == (year == 2024)
    assert not [text for text in shown if "NaN" in text or "Empty DataFrame" in text or "FilePeak" in text]
    (file,) = (tmp_path / "submissions").glob("*/*.csv")
    check_submission(file, open_competition(folder))
