"""A net that starts from another experiment's fold, so that trainings chain: pretrain, fine-tune, distil."""

from pathlib import Path

from kit.parts import part


@part
class StartFrom:
    """Weights of a finished run: `run` is its folder, whose fold k starts fold k, or one best.pt for all folds."""

    run: str

    def check(self):
        if not self.run:
            raise ValueError("run must name a run's folder or a best.pt, got ''")

    def file(self, fold: int) -> Path:
        """The file for a fold. Raises ValueError where it is not there."""
        path = Path(self.run)
        path = path / f"fold{fold}" / "best.pt" if path.is_dir() else path
        if not path.is_file():
            raise ValueError(f"start_from: {path}: no such file; train that fold of the run first")
        return path
