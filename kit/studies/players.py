"""Tables to listen to: rows of a competition as players in the cells of a table."""

import base64
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kit.competition.competition import Competition
from kit.data.audio import load_wave

if TYPE_CHECKING:
    from IPython.display import HTML

PLAYED_HZ, PLAYED_SECONDS = 16000, 4.0


def player(wave: np.ndarray, rate_hz: int = PLAYED_HZ) -> str:
    """A wave (N,) as an HTML player of an MP3 of full loudness, which takes a tenth of a WAV's place."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, 0.9 * wave / max(1e-6, np.abs(wave).max()), rate_hz, format="MP3")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<audio controls preload="none" src="data:audio/mpeg;base64,{data}"></audio>'


def row_wave(competition: Competition, name: str, seconds: float = PLAYED_SECONDS) -> np.ndarray:
    """The first seconds of a training row at 16 kHz. Raises KeyError where no row has the id."""
    row = competition.train.loc[competition.train["id"] == name]
    if row.empty:
        raise KeyError(f"train must have a row {name!r}")
    row = row.iloc[0]
    start = row.get("start_seconds", 0.0)
    first = 0 if pd.isna(start) else round(start * PLAYED_HZ)
    return load_wave(competition.folder / row["audio"], PLAYED_HZ)[first : first + round(seconds * PLAYED_HZ)].numpy()


def listening(table: pd.DataFrame, competition: Competition, heard: Mapping[str, str]) -> "HTML":
    """The table for a notebook, numbers with three decimals; in each column of `heard`, which holds ids of training

    rows, players stand under the title given, where the folder has audio. An empty id has none.
    """
    from IPython.display import HTML

    shown = {}
    for column in table:
        plays = column in heard and "audio" in competition.train
        shown[heard.get(column, column)] = [_cell(value, competition, plays) for value in table[column]]
    return HTML(pd.DataFrame(shown).to_html(index=False, border=0, escape=False))


def _cell(value: object, competition: Competition, plays: bool) -> str:
    if plays and value:
        return player(row_wave(competition, str(value)))
    return f"{value:.3f}" if isinstance(value, float) else html.escape(str(value))
