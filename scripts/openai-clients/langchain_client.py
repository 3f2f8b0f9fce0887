"""LangChain's `with_structured_output`, in its three methods."""

import os
from importlib.metadata import version

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field


class Joke(BaseModel):
    """Joke to tell user."""

    setup: str = Field(description="The setup of the joke")
    punchline: str = Field(description="The punchline to the joke")
    rating: int | None = Field(default=None, description="How funny the joke is, from 1 to 10")


llm = ChatOpenAI(model="gpt-4o-mini", base_url=os.environ["BASE_URL"], api_key="sk-any")
for method in ("function_calling", "json_schema"):
    joke = llm.with_structured_output(Joke, method=method).invoke("Tell me a joke about cats")
    assert joke.rating == 7, (method, joke)
    both = llm.with_structured_output(Joke, method=method, include_raw=True).invoke("Tell me a joke about cats")
    assert both["parsed"] == joke and both["raw"].usage_metadata["total_tokens"] >= 30, both
    *_, last = llm.with_structured_output(Joke, method=method).stream("Tell me a joke about cats")
    assert last == joke, (method, last)
prompt = f"Tell me a joke as JSON: {__import__('json').dumps(Joke.model_json_schema())}"
assert llm.with_structured_output(Joke, method="json_mode").invoke(prompt).rating == 7


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies."""
    return a * b


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


message = llm.bind_tools([multiply, add]).invoke("What is 2 * 3 and 2 + 3? Use both.")
assert [call["name"] for call in message.tool_calls] == ["multiply", "add"], message
assert llm.invoke("Hi").content == "Hello from the provider."
assert "".join(chunk.content for chunk in llm.stream("Hi")) == "Hello from the provider."
print("langchain-openai", version("langchain-openai"))
