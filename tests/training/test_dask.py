"""The grid on a cluster, which the user's code chooses and the kit knows nothing of."""

import joblib
import pandas as pd
from distributed import Client, LocalCluster, get_task_stream

from kit.data.mixup import Mixup
from kit.training.crossval import crossval


def test_a_cluster_gives_the_same_numbers_as_one_process(voices, tiny, tmp_path):
    experiments = [
        tiny.but(loop__epochs=1, name=name, mix=mix) for name, mix in (("plain", None), ("mixed", Mixup("input")))
    ]
    options = {"cache": tmp_path / "cache", "threads": 1, "progress": False}
    serial = crossval(experiments, voices, tmp_path / "serial", n_jobs=1, **options)
    # Workers are processes, as on other machines; no dashboard.
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        with get_task_stream(client) as done, joblib.parallel_config(backend="dask"):
            clustered = crossval(experiments, voices, tmp_path / "cluster", **options)
        assert {task["worker"] for task in done.data} == set(client.scheduler_info()["workers"])
    for one, other in zip(serial, clustered, strict=True):
        assert one.name == other.name
        pd.testing.assert_frame_equal(one.oof, other.oof, check_exact=True)
        pd.testing.assert_frame_equal(one.test, other.test, check_exact=True)
