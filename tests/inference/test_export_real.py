"""Exported nets in prediction, on real folders: PyTorch's labels on all rows where one class is clearly best."""

import numpy as np
import pytest

from kit.competition.competition import open_competition
from kit.inference.export import export
from kit.inference.predict import predict
from kit.presets import preset
from kit.training.crossval import crossval

for name in ("onnx", "onnxscript", "onnxruntime", "openvino"):
    pytest.importorskip(name)

BOUND = 1e-4  # of probabilities, as export holds them to
STEPS = 80  # a net that tells classes apart, so that its labels are not those of noise


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["keywords40", "speakers240"])
def test_labels_are_pytorchs(shared_data, tmp_path, name, capsys):
    competition = open_competition(shared_data / name)
    options = {"cache": tmp_path / "cache", "progress": False}
    experiment = preset("demo").but(name=name, loop__epochs=1, loop__epoch_steps=STEPS)
    (run,) = crossval(experiment, competition, tmp_path / "runs", folds=[0], n_jobs=1, threads=1, **options)
    expected = predict(run, competition, threads=1, **options)
    whole = expected[list(competition.classes)].to_numpy()
    assert len(np.unique(whole.argmax(1))) > 20  # not one label for all
    two = np.sort(whole, axis=1)[:, -2:]
    clear = two[:, 1] - two[:, 0] > 2 * BOUND
    for engine in ("onnx", "openvino"):
        export(run, engine, cache=tmp_path / "cache")
        given = predict(run, competition, threads=1, engine=engine, **options)
        assert given["id"].equals(expected["id"])
        other = given[list(competition.classes)].to_numpy()
        far = np.abs(other - whole).max()
        same = other.argmax(1) == whole.argmax(1)
        with capsys.disabled():
            print(f"\n{name} by {engine}: {len(whole)} rows, {clear.sum()} clear, {same.sum()} labels equal, "
                  f"largest difference of probabilities {far:.1e}")  # fmt: skip
        assert 0 < far < BOUND
        assert clear.mean() > 0.8 and same[clear].all()
