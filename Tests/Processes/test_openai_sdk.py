"""The official OpenAI package, unmodified, against real processes."""

import openai
import pytest

from weir_processes import eventually

MESSAGES = [{"role": "user", "content": "Tell me about weirs, please."}]


@pytest.fixture
def client(pool):
    return openai.OpenAI(base_url=pool[1].url + "/v1", api_key="none", max_retries=0)


@pytest.fixture
def model(client):
    return client.models.list().data[0].id


def test_an_answer_in_one_piece_has_text_and_usage(client, model):
    answer = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=20, extra_body={"ignore_eos": True})
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 20
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 20


def test_a_streamed_answer_arrives_in_pieces_and_ends_with_usage(client, model):
    pieces = list(
        client.chat.completions.create(
            model=model,
            messages=MESSAGES,
            max_tokens=20,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True},
        )
    )
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text
    assert len(pieces) >= 20
    assert pieces[-1].usage.completion_tokens == 20


def test_plain_completions_work_too(client, model):
    answer = client.completions.create(model=model, prompt="Once upon a time", max_tokens=5, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 5


def test_a_model_that_nobody_serves_is_an_error_object(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=MESSAGES)
    assert caught.value.status_code == 404
    assert caught.value.code == "model_not_found"
    assert "no-such-model" in caught.value.message
    assert caught.value.request_id


def test_a_body_that_is_no_json_is_an_error_object(client, pool):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", cast_to=object, content=b'{"model": ', options={"headers": {"content-type": "application/json"}})
    assert caught.value.status_code == 400
    assert caught.value.type == "invalid_request_error"


def test_closing_a_stream_frees_the_model_server(client, model, pool):
    simulator, gateway = pool
    stream = client.chat.completions.create(
        model=model, messages=MESSAGES, max_tokens=100_000, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    assert simulator.metric("vllm:num_requests_running") == 1
    stream.close()
    eventually(lambda: simulator.metric("vllm:num_requests_running") == 0, "the server still generates")
    eventually(lambda: gateway.metric("weir_requests_in_flight") == 0, "the gateway still counts the request")


def test_a_client_that_gives_up_before_the_answer_frees_the_model_server(client, model, pool):
    simulator, gateway = pool
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.7).chat.completions.create(
            model=model, messages=MESSAGES, max_tokens=100_000, extra_body={"ignore_eos": True}
        )
    eventually(lambda: simulator.metric("vllm:num_requests_running") == 0, "the server still generates")
    eventually(lambda: gateway.metric("weir_requests_in_flight") == 0, "the gateway still counts the request")
