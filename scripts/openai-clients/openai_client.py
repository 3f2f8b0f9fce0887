"""The official `openai` package."""

import os

import openai
from pydantic import BaseModel

client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key="sk-any", max_retries=0)
TEXT = [{"role": "system", "content": "Extract."}, {"role": "user", "content": "Jason is 25 years old"}]


class User(BaseModel):
    name: str
    age: int


def tool(name):
    return {"type": "function", "function": {"name": name, "parameters": User.model_json_schema()}}


def format_of(model):
    return {"type": "json_schema", "json_schema": {"name": model.__name__, "schema": model.model_json_schema()}}


def rejected(kind, **fields):
    try:
        client.chat.completions.create(**{"model": "gpt-4o-mini", "messages": TEXT} | fields)
    except kind as error:
        return error
    raise AssertionError(f"not rejected: {fields}")


# Structured outputs, as in the guide.
parsed = client.chat.completions.parse(model="gpt-4o-mini", messages=TEXT, response_format=User)
assert parsed.choices[0].message.parsed == User(name="Jason", age=25), parsed
assert parsed.usage.total_tokens == 30 and parsed.model == "gpt-4o-mini", parsed
assert parsed.choices[0].finish_reason == "stop" and parsed.object == "chat.completion"
assert parsed.model_extra["extractd"]["attempts"] == 1

# An invalid answer is asked for again, and paid for.
invalid = [{"role": "user", "content": "Jason is 25 [first answer invalid]"}]
parsed = client.chat.completions.parse(model="gpt-4o-mini", messages=invalid, response_format=User)
assert parsed.choices[0].message.parsed.age == 25 and parsed.usage.total_tokens == 60, parsed

# JSON mode.
done = client.chat.completions.create(
    model="gpt-4o-mini", response_format={"type": "json_object"},
    messages=[{"role": "user", "content": f"Jason is 25. Answer in JSON as {User.model_json_schema()}".replace("'", '"')}])
assert User.model_validate_json(done.choices[0].message.content).age == 25, done

# One forced tool, by name and as the only one.
for choice, reason in (({"type": "function", "function": {"name": "User"}}, "stop"), ("required", "tool_calls")):
    done = client.chat.completions.create(model="gpt-4o-mini", messages=TEXT, tools=[tool("User")], tool_choice=choice)
    call = done.choices[0].message.tool_calls[0]
    assert call.function.name == "User" and User.model_validate_json(call.function.arguments).name == "Jason", done
    assert done.choices[0].finish_reason == reason and call.id.startswith("call_"), done

# Several tools, and their results.
both = [{"role": "user", "content": "Call both"}]
done = client.chat.completions.create(model="gpt-4o-mini", messages=both, tools=[tool("A"), tool("B")])
assert [call.function.name for call in done.choices[0].message.tool_calls] == ["A", "B"], done
results = [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in done.choices[0].message.tool_calls]
messages = both + [done.choices[0].message.model_dump(exclude_none=True)] + results
done = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[tool("A"), tool("B")])
assert done.choices[0].message.content == "Hello from the provider.", done

# Free text, and streams of all of these.
done = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}])
assert done.choices[0].message.content == "Hello from the provider." and done.usage.total_tokens == 30

def streamed(**fields):
    stream = client.chat.completions.create(model="gpt-4o-mini", stream=True, **{"messages": TEXT} | fields)
    chunks = list(stream)
    content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return chunks, content

chunks, content = streamed(messages=[{"role": "user", "content": "Hi"}])
assert content == "Hello from the provider." and all(chunk.choices for chunk in chunks), chunks
chunks, content = streamed(messages=[{"role": "user", "content": "Hi"}], stream_options={"include_usage": True})
assert chunks[-1].usage.total_tokens == 30 and not chunks[-1].choices, chunks
chunks, content = streamed(response_format=format_of(User), stream_options={"include_usage": True})
assert User.model_validate_json(content).age == 25 and len(chunks) > 3, chunks
assert chunks[-1].usage.total_tokens == 30 and chunks[-2].choices[0].finish_reason == "stop", chunks
chunks, content = streamed(messages=invalid + TEXT, response_format=format_of(User), stream_options={"include_usage": True})
assert User.model_validate_json(content).age == 25 and chunks[-1].usage.total_tokens == 60, chunks
chunks, _ = streamed(tools=[tool("User")], tool_choice="required")
calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
assert calls[0].function.name == "User" and calls[0].id, chunks
assert User.model_validate_json("".join(call.function.arguments for call in calls)).age == 25, chunks
chunks, _ = streamed(messages=both, tools=[tool("A"), tool("B")])
assert {call.index for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []} == {0, 1}, chunks
with client.chat.completions.stream(model="gpt-4o-mini", messages=TEXT, response_format=User) as stream:
    events = [event.type for event in stream]
    assert stream.get_final_completion().choices[0].message.parsed == User(name="Jason", age=25)
assert "content.delta" in events and "content.done" in events, events

# Models.
names = [model.id for model in client.models.list()]
assert "openai/gpt-4o-mini" in names, names
assert client.models.retrieve("gpt-4o-mini").object == "model"
assert client.models.retrieve("openai/gpt-4o-mini").owned_by == "openai"

# What is not supported says so.
for kind, param, fields in (
    (openai.BadRequestError, "n", {"n": 2}),
    (openai.BadRequestError, "modalities", {"modalities": ["text", "audio"]}),
    (openai.BadRequestError, "audio", {"audio": {"voice": "alloy", "format": "wav"}}),
    (openai.BadRequestError, "logprobs", {"logprobs": True, "response_format": format_of(User)}),
    (openai.BadRequestError, "stop", {"stop": ["x"], "response_format": format_of(User)}),
    (openai.BadRequestError, "messages[0].content[0]", {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}],
        "response_format": format_of(User)}),
    (openai.BadRequestError, "temperature", {"temperature": 3, "response_format": format_of(User)}),
    (openai.BadRequestError, "response_format.json_schema.schema.type", {
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "text"}}}}),
    (openai.BadRequestError, "messages", {"messages": []}),
    (openai.NotFoundError, None, {"model": "unknown-model"}),
):
    error = rejected(kind, **fields)
    assert error.param == param and error.type == "invalid_request_error" and error.body["message"], error
for call in (lambda: client.embeddings.create(model="a", input="b"), lambda: client.models.retrieve("none")):
    try:
        call()
        raise AssertionError("not rejected")
    except openai.NotFoundError as error:
        assert "/v1/models" in str(error), error
# Responses.
response = client.responses.parse(model="gpt-4o-mini", instructions="Extract.", input="Jason is 25 years old", text_format=User)
assert response.output_parsed == User(name="Jason", age=25) and response.usage.total_tokens == 30, response
assert response.status == "completed" and response.model_extra["extractd"]["attempts"] == 1, response
response = client.responses.create(model="gpt-4o-mini", input=[{"role": "user", "content": "Hi"}])
assert response.output_text == "Hello from the provider.", response
function = {"type": "function", "name": "User", "parameters": User.model_json_schema(), "strict": False}
for choice in ("required", {"type": "function", "name": "User"}):
    response = client.responses.create(model="gpt-4o-mini", input="Jason is 25", tools=[function], tool_choice=choice)
    assert User.model_validate_json(response.output[0].arguments).age == 25, response
both = [{"role": "user", "content": "Call both"}]
functions = [function | {"name": name} for name in "AB"]
response = client.responses.create(model="gpt-4o-mini", input=both, tools=functions)
assert [call.name for call in response.output] == ["A", "B"], response
both += [call.model_dump() for call in response.output]
both += [{"type": "function_call_output", "call_id": call.call_id, "output": "done"} for call in response.output]
response = client.responses.create(model="gpt-4o-mini", input=both, tools=functions)
assert response.output_text == "Hello from the provider.", response
with client.responses.stream(model="gpt-4o-mini", input="Jason is 25 years old", text_format=User) as stream:
    kinds = [event.type for event in stream]
    response = stream.get_final_response()
assert response.output_parsed == User(name="Jason", age=25) and response.usage.total_tokens == 30, response
assert kinds[0] == "response.created" and kinds[-1] == "response.completed" and kinds.count("response.output_text.delta") > 1, kinds
for fields, expected in ({"input": "Hi"}, "output_text"), ({"input": "Call both", "tools": functions}, "function_call_arguments"):
    events = list(client.responses.create(model="gpt-4o-mini", stream=True, **fields))
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    assert f"response.{expected}.done" in [event.type for event in events], events
    assert len(events[-1].response.output) == (2 if "tools" in fields else 1), events[-1]
for param, fields in (
    ("previous_response_id", {"previous_response_id": "resp_1"}),
    ("tools[0].type", {"tools": [{"type": "web_search"}]}),
    ("text.format.schema.type", {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "text"}}}}),
    ("input[0].content[0]", {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "a"}]}]}),
):
    try:
        client.responses.create(**{"model": "gpt-4o-mini", "input": "Hi"} | fields)
        raise AssertionError(f"not rejected: {fields}")
    except openai.BadRequestError as error:
        assert error.param == param, error
try:
    client.responses.retrieve("resp_1")
    raise AssertionError("not rejected")
except openai.NotFoundError as error:
    assert "not stored" in str(error), error
print("openai", openai.__version__)
