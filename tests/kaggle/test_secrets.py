from pathlib import Path

import pytest

from kit.kaggle.bundle import make_bundle
from kit.kaggle.secrets import SecretError, refuse_secrets
from kit.notebooks import FOLDER

FOUND = {
    "a Kaggle token": "KGAT_" + "0a" * 16,
    "a Kaggle key": '{"username":"ann","key":"' + "0a" * 16 + '"}',
    "an AWS key": "AKIA" + "A1" * 8,
    "a GitHub token": "ghp_" + "a1" * 18,
    "a GitLab token": "glpat-" + "a1" * 10,
    "a Google key": "AIza" + "a" * 35,
    "a Hugging Face token": "hf_" + "aB" * 17,
    "an OpenAI or Anthropic key": "sk-ant-" + "a1" * 20,
    "a Slack token": "xoxb-" + "1" * 12,
    "a Weights & Biases key": "wandb.login(key='" + "0a" * 20 + "')",
    "a JSON web token": "eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + ".c",
    "a private key": "-----BEGIN OPENSSH PRIVATE " + "KEY-----",
    "a password in a URL": "https://ann:hunter2@example.org",
    "a password or token": "os.environ['DB_PASSWORD'] = 'correct-horse-battery'",
    "a home folder": "Path('/Users/ann/data')",
}


@pytest.mark.parametrize("kind", list(FOUND))
def test_a_secret_is_found_by_its_form_and_not_repeated(kind):
    with pytest.raises(SecretError) as caught:
        refuse_secrets({"cell 1": "x = 1", "cell 2": f"import os\n{FOUND[kind]}\n"}, {})
    assert str(caught.value) == f"cell 2, line 2: must hold nothing secret or personal, got what looks like {kind}"


@pytest.mark.parametrize(
    "text",
    ["key = 'sha256'", "token = None", "password = getpass()", "/kaggle/input/home/x", "https://example.org/a:b@c",
     "secret = f'{name}-{number}-{other}'", "hf_hub_download", "sk-learn", "the token is read from the environment"],
)  # fmt: skip
def test_what_only_sounds_like_one_passes(text):
    refuse_secrets({"cell": text}, {})


def test_the_values_of_the_environment_are_looked_for():
    environment = {
        "MY_TOKEN": "hunter2-hunter2",
        "SHORT_KEY": "abc",
        "LONG": "one two three four five six",
        "A": "cell",
    }
    for name in ("MY_TOKEN", "LONG"):
        with pytest.raises(SecretError, match=f"cell, line 1: .* the value of the environment's {name}$"):
            refuse_secrets({"cell": f"x = '{environment[name]}'"}, environment)
    refuse_secrets({"cell": "abc and a cell"}, environment)


def test_this_account_home_folder_is_looked_for(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/srv/ann"))
    with pytest.raises(SecretError, match="a home folder"):
        refuse_secrets({"cell": "'/srv/ann/x'"}, {})
    refuse_secrets({"cell": "'/srv/anna/x'"}, {})


def test_folders_may_stand_in_what_stays_private_but_no_secret():
    environment = {"PWD": "/data/birds/of/the/rainforest", "MY_TOKEN": "hunter2-hunter2"}
    text = "{'weights': '/data/birds/of/the/rainforest/net.pt', 'run': '/home/ann/x'}"
    refuse_secrets({"experiment.json": text}, environment, folders=False)
    with pytest.raises(SecretError, match="a home folder"):
        refuse_secrets({"experiment.json": text}, environment)
    for secret in ("hunter2-hunter2", FOUND["an AWS key"]):
        with pytest.raises(SecretError):
            refuse_secrets({"experiment.json": f"{text}{secret}"}, environment, folders=False)


def test_the_kit_and_its_notebooks_are_clean():
    refuse_secrets({name: content.decode() for name, content in make_bundle().files.items()})
    refuse_secrets({path.name: path.read_text() for path in FOLDER.glob("*.ipynb")}, {})
