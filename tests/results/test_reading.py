import numpy as np
import pandas as pd

from kit.results.reading import compare_reading, cv_reading


def test_a_cv_table_is_read_with_its_interval_and_without_nan():
    table = pd.DataFrame({"name": ["a", "b"], "metric": "accuracy", "seeds": 1, "mean": 0.5, "sd": [0.02, np.nan]})
    table = table.assign(oof=0.51, low=0.4, high=0.6, minutes=1.26, parameters=1234567)
    found = cv_reading(table)
    assert found.iloc[0].tolist() == [
        "a", "accuracy", 1, "0.500 ± 0.020", "0.510 [0.400, 0.600]", "1.3", "1,234,567"
    ]  # fmt: skip
    assert found["mean of folds ± sd"][1] == "0.500"


def test_a_comparison_is_read_with_what_is_corrected_and_what_is_not():
    table = pd.DataFrame({"name": ["base", "b"], "seeds": 2, "score": 0.5, "delta": [0.0, 0.1], "low": [np.nan, 0.02]})
    table = table.assign(high=[np.nan, 0.18], p=[np.nan, 0.01], p_holm=[np.nan, 0.02], verdict=["", "differs"])
    found = compare_reading(table)
    assert found.iloc[0].tolist() == ["base", 2, "0.500", "", "", ""]
    assert found.iloc[1].tolist() == ["b", 2, "0.500", "+0.100 [+0.020, +0.180]", "0.020", "differs"]
