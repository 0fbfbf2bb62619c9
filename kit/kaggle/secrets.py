"""What must not leave this machine: keys and tokens, home folders, values of the environment."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

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
    "a home folder": r"(?<![\w.])(/home/[\w.-]+|/Users/[\w.-]+|[A-Za-z]:\\+Users\\+[\w.-]+)",
}
SECRET_NAMES = re.compile(r"(?i)key|token|secret|passw|credential|auth")
LONG = 24  # characters of an environment value that cannot be in a text by chance


class SecretError(ValueError):
    """Something that must not be sent; the message says where and what kind, never the thing itself."""


def refuse_secrets(texts: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> None:
    """Raises SecretError naming the first text and its line with a key, a home folder or an environment value.

    Of the environment, values of 8 characters under a name such as *_TOKEN are looked for, and all longer than 24.
    """
    for name, text in texts.items():
        for kind, found in _finds(text, environment):
            line = text.count("\n", 0, found) + 1
            raise SecretError(f"{name}, line {line}: must hold nothing secret or personal, got what looks like {kind}")


def _finds(text: str, environment: Mapping[str, str]):
    for kind, pattern in KINDS.items():
        if match := re.search(pattern, text):
            yield kind, match.start()
    home = str(Path.home())
    if len(home) > 1 and (match := re.search(re.escape(home) + r"(?![\w.-])", text)):
        yield "a home folder", match.start()
    for name, value in environment.items():
        if len(value) >= (8 if SECRET_NAMES.search(name) else LONG) and value in text:
            yield f"the value of the environment's {name}", text.index(value)
