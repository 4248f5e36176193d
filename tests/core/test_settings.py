"""Settings: what the environment may say, and what is never said again."""

from __future__ import annotations

import pytest

from mlstudio_lab.core.errors import BadInput
from mlstudio_lab.settings import Settings


@pytest.mark.parametrize("text", ["two", "-1", "1.5", "²", "٣", " 2"])
def test_a_count_that_is_none_is_refused_with_its_variable(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        Settings.read({"MLSTUDIO_LOCAL_WORKERS": text})
    assert caught.value.subject == "MLSTUDIO_LOCAL_WORKERS"


def test_a_token_is_used_and_never_shown() -> None:
    settings = Settings.read({"MLSTUDIO_TOKEN": "s3cret-token", "MLSTUDIO_URL": "https://studio.example.org"})
    assert settings.token == "s3cret-token"
    assert "s3cret-token" not in repr(settings)


def test_arguments_win_over_the_environment() -> None:
    settings = Settings.read({"MLSTUDIO_HOME": "/data/one", "MLSTUDIO_URL": "https://one"}, home="/data/two", url="")
    assert (settings.home.as_posix(), settings.url) == ("/data/two", "")
