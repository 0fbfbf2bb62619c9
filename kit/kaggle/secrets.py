"""What must not leave this machine: keys and tokens, home folders, values of the environment."""

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

HOME = "a home folder"
# A kind of key and its form, where its maker gave it one that can be told from other text.
KINDS = {
    "a Kaggle token": r"\bKGAT_[0-9A-Za-z]{16,}",
    "a Kaggle key": r"""(?i)\bkey["']?\s*[:=]\s*["'][0-9a-f]{32}["']""",
    "an AWS key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\b(gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{40,})",
    "a GitLab token": r"\bglpat-[0-9A-Za-z_-]{20,}",
    "a Google key": r"\bAIza[0-9A-Za-z_-]{35}",
    "a Hugging Face token": r"\bhf_[0-9A-Za-z]{30,}",
    "an OpenAI or Anthropic key": r"\bsk-[0-9A-Za-z_-]{20,}",
    "a Slack token": r"\bxox[abeprs]-[0-9A-Za-z-]{10,}",
    "a Weights & Biases key": r"""(?i)wandb.{0,40}["'][0-9a-f]{40}["']""",
    "a JSON web token": r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in a URL": r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]+:[^\s/:@'\"{]+@",
    "a password or token": r"""(?i)(passw(or)?d|secret|token|api_?key)\w*["']?\]?\s*[:=]\s*["'][^"'\s{}]{12,}["']""",
    HOME: r"(?<![\w.])(/home/[\w.-]+|/Users/[\w.-]+|[A-Za-z]:\\+Users\\+[\w.-]+)",
}
SECRET_NAMES = re.compile(r"(?i)key|token|secret|passw|credential|auth")
LONG = 24  # characters of an environment value that cannot be in a text by chance


class SecretError(ValueError):
    """Something that must not be sent; the message says where and what kind, never the thing itself."""


def refuse_secrets(texts: Mapping[str, str], environment: Mapping[str, str] = os.environ, folders: bool = True) -> None:
    """Raises SecretError naming the first text and its line with a key, a home folder or an environment value.

    Of the environment, values of 8 characters under a name such as *_TOKEN are looked for, and all longer than 24.
    folders False lets home folders and those longer values pass, as they stand in an experiment that stays private.
    """
    for name, text in texts.items():
        for kind, found in _finds(text, environment, folders):
            line = text.count("\n", 0, found) + 1
            raise SecretError(f"{name}, line {line}: must hold nothing secret or personal, got what looks like {kind}")


def _finds(text: str, environment: Mapping[str, str], folders: bool) -> Iterator[tuple[str, int]]:
    yield from (found for found in _forms(text) if folders or found[0] != HOME)
    home = str(Path.home())
    if folders and len(home) > 1 and (match := re.search(re.escape(home) + r"(?![\w.-])", text)):
        yield HOME, match.start()
    for name, value in environment.items():
        secret = bool(SECRET_NAMES.search(name))
        if (secret or folders) and len(value) >= (8 if secret else LONG) and value in text:
            yield f"the value of the environment's {name}", text.index(value)


@cache  # the kit's own files are looked at for each push
def _forms(text: str) -> tuple[tuple[str, int], ...]:
    matches = ((kind, re.search(pattern, text)) for kind, pattern in KINDS.items())
    return tuple((kind, match.start()) for kind, match in matches if match)
