"""The grid on a cluster, which the user's code chooses and the kit knows nothing of."""

from dataclasses import replace

import joblib
import pandas as pd
from distributed import Client, LocalCluster, get_task_stream

from kit.training.crossval import crossval


def test_a_cluster_gives_the_same_numbers_as_one_process(voices, tiny, tmp_path):
    experiments = [replace(tiny, epochs=1, name=name, mix=mix) for name, mix in (("plain", "none"), ("mixed", "input"))]
    options = {"cache": tmp_path / "cache", "threads": 1, "progress": False}
    serial = crossval(experiments, voices, tmp_path / "serial", n_jobs=1, **options)
    # Workers are processes, as on other machines; no dashboard.
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        with get_task_stream(client) as done, joblib.parallel_config(backend="dask"):
            clustered = crossval(experiments, voices, tmp_path / "cluster", **options)
        assert {task["worker"] for task in done.data} == set(client.scheduler_info()["workers"])
    for one, other in zip(serial, clustered, strict=True):
        assert one.name == other.name
        for name in ("oof.parquet", "test.parquet"):
            pd.testing.assert_frame_equal(pd.read_parquet(one / name), pd.read_parquet(other / name), check_exact=True)
