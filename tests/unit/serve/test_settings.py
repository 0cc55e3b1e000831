"""Settings: flags win over the environment, nonsense is refused by name, secrets are masked."""

from __future__ import annotations

import json

import pytest
from pydantic import SecretStr

from thinfer.errors import UserError
from thinfer.serve.settings import ServeSettings, load_settings


def test_a_flag_wins_over_the_environment_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THINFER_SERVE_PORT", "9001")
    monkeypatch.setenv("THINFER_SERVE_MAX_QUEUE", "77")
    settings = load_settings({"port": 9002, "max_queue": None, "host": None})
    assert (settings.port, settings.max_queue, settings.host) == (9002, 77, "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 70000),
        ("port", -1),
        ("max_queue", 0),
        ("max_batch_tokens", 0),
        ("max_body_bytes", 0),
        ("threads", 0),
        ("ready_timeout_s", 0),
        ("drain_timeout_s", -1.0),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name}.*THINFER_SERVE_{name.upper()}"):
        load_settings({name: value})


def test_a_bad_environment_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINFER_SERVE_PORT", "eighty")
    with pytest.raises(UserError, match="port"):
        load_settings({})


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UserError, match="max_queue must be at least max_batch_texts"):
        load_settings({"max_queue": 4, "max_batch_texts": 8})
    assert load_settings({"max_queue": 4}).max_queue == 4


def test_a_cascade_needs_its_policy_and_a_place_to_go_on_to() -> None:
    for given in ({"cascade": "a.json"}, {"cascade_to": "big"}):
        with pytest.raises(UserError, match="needed together"):
            load_settings(given)
    told = load_settings({"cascade": "a.json", "cascade_to": "http://big:8000"})
    assert told.is_cascade_remote
    assert not load_settings({"cascade": "a.json", "cascade_to": "big"}).is_cascade_remote
    assert not load_settings({}).is_cascade_remote


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    address = "https://someone:hunter2@big:8000/predict"
    with pytest.raises(UserError, match="cascade_key_file") as caught:
        load_settings({"cascade": "a.json", "cascade_to": address})
    assert "hunter2" not in str(caught.value)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UserError, match="max_quue"):
        load_settings({"max_quue": 1})


def test_the_description_masks_secrets() -> None:
    class WithSecret(ServeSettings):
        key: SecretStr = SecretStr("")

    text = WithSecret(key=SecretStr("hunter2")).describe()
    assert "hunter2" not in text
    assert json.loads(text)["max_queue"] == 512
