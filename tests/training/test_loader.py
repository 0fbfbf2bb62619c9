from kit.data.mixup import Mixup
from kit.training.config import Config
from kit.training.loader import train_loader


def tensors(batch):
    plan = batch.plan
    return {"mel": batch.mel, "mask": batch.mask, "target": batch.target, "lam": plan.lam, "perm": plan.perm}


def test_batches_of_workers_are_served_on_the_cpu_and_moved(store, meta):
    """A process that is forked can't use the GPU of its parent."""
    config = Config(name="a", segment_frames=150, batch_size=8, workers=2)
    rows, mixup = store.rows("train"), Mixup(("input",), probability=1.0)
    batches = list(train_loader(config, store, rows[8:], rows[:8], mixup, meta))
    assert len(batches) == 5 and any(batch.mask is not None for batch in batches)
    for batch in batches:
        moved = batch.to(meta.device)
        for name, value in tensors(batch).items():
            assert value is tensors(moved)[name] is None or (value.is_cpu and tensors(moved)[name].is_meta), name
        assert moved.row is batch.row and moved.weight is None and moved.plan.place == "input"


def test_batches_of_this_process_are_served_on_the_device(store, meta):
    """Read from disk and moved there, too, where a GPU can't hold the store."""
    config = Config(name="a", segment_frames=150, batch_size=8)
    rows = store.rows("train")
    loader = train_loader(config, store, rows[8:], rows[:8], Mixup(("input",), probability=1.0), meta)
    assert loader.dataset.features is None
    for batch in loader:
        assert all(value is None or value.is_meta for value in tensors(batch).values()) and batch.row.is_cpu
