"""The way to beat: a batch as the course's notebooks make it, one file and one mask at a time."""

import random
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset


class SourceDataset(Dataset):
    """A file an item: load, crop, mask."""

    def __init__(self, folder: Path, paths: list[str], targets: list[int], segment_frames: int):
        self.folder, self.paths, self.targets, self.segment_frames = folder, paths, targets, segment_frames

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        mel = torch.load(self.folder / self.paths[index])
        if len(mel) > self.segment_frames:
            start = random.randint(0, len(mel) - self.segment_frames)
            mel = mel[start : start + self.segment_frames]
        mel = torch.FloatTensor(mel.float()).clone()
        mask_in_place(mel)
        return mel, self.targets[index]


def mask_in_place(mel: torch.Tensor) -> None:
    """Two masks over time and two over frequency, of one item (T, F)."""
    for _ in range(2):
        width = random.randint(0, 10)
        start = random.randint(0, len(mel) - width)
        mel[start : start + width] = -20
    for _ in range(2):
        width = random.randint(0, 8)
        start = random.randint(0, mel.shape[1] - width)
        mel[:, start : start + width] = -20


def source_loader(
    folder: Path, paths: list[str], targets: list[int], segment_frames: int, workers: int = 0
) -> DataLoader:
    def collate(batch):
        mels, targets = zip(*batch, strict=True)
        return pad_sequence(mels, batch_first=True, padding_value=-20), torch.LongTensor(targets)

    dataset = SourceDataset(folder, paths, targets, segment_frames)
    return DataLoader(dataset, batch_size=32, shuffle=True, drop_last=True, collate_fn=collate, num_workers=workers)
