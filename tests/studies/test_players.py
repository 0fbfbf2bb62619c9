import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
import soundfile

from kit.studies import players


def heard(text):
    return soundfile.read(io.BytesIO(base64.b64decode(re.search(r'base64,([^"]+)"', text)[1])))


def test_a_player_plays_the_wave_at_its_rate():
    wave = 0.01 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)
    sound, rate = heard(players.player(wave))
    spectrum = np.abs(np.fft.rfft(sound[:16000]))
    assert rate == 16000 and abs(spectrum.argmax() * 16000 / 16000 - 500) <= 2
    assert np.abs(sound).max() == pytest.approx(0.9, abs=0.1)  # a quiet one is heard too


def test_a_row_is_its_own_stretch_of_the_file(voices):
    name = voices.train["id"][3]
    whole = soundfile.read(voices.folder / voices.train["audio"][3], dtype="float32")[0]
    assert np.array_equal(players.row_wave(voices, name, 0.5), whole[:8000])
    with pytest.raises(KeyError, match="train must have a row 'nobody'"):
        players.row_wave(voices, "nobody")


def test_a_table_has_players_where_there_is_a_row_and_text_elsewhere(voices):
    table = pd.DataFrame({"id": [voices.train["id"][0], ""], "class": ["<b>", "c"], "p": [0.12345, 0.5]})
    html = players.listening(table, voices, {"id": "to hear"}).data
    assert html.count("<audio") == 1 and "<th>to hear</th>" in html and "<td></td>" in html
    assert "&lt;b&gt;" in html and "<td>0.123</td>" in html
    assert len(heard(html)[0]) >= 16000
