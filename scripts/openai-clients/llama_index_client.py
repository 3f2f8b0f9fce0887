"""LlamaIndex: `structured_predict`, `as_structured_llm`, and completions."""

import os
from importlib.metadata import version

from llama_index.core.prompts import PromptTemplate
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Person(BaseModel):
    """A person."""

    name: str
    age: int


expected = Person(name="Jason", age=25)
common = {"api_base": os.environ["BASE_URL"], "api_key": "sk-any"}
for llm in (
    OpenAI(model="gpt-4o-mini", **common),
    OpenAILike(model="gpt-4o-mini", is_chat_model=True, is_function_calling_model=True, **common),
    OpenAILike(model="gpt-4o-mini", is_chat_model=True, should_use_structured_outputs=True, **common),
):
    assert llm.structured_predict(Person, PromptTemplate("{text}"), text="Jason is 25 years old") == expected
    response = llm.as_structured_llm(Person).chat([ChatMessage(role="user", content="Jason is 25 years old")])
    assert response.raw == expected, response
    *_, last = llm.stream_structured_predict(Person, PromptTemplate("{text}"), text="Jason is 25 years old")
    assert last.model_dump() == expected.model_dump(), last
    assert llm.chat([ChatMessage(role="user", content="Hi")]).message.content == "Hello from the provider."
    assert "".join(part.delta for part in llm.stream_chat([ChatMessage(role="user", content="Hi")])) == "Hello from the provider."
print("llama-index-llms-openai", version("llama-index-llms-openai"), "openai-like", version("llama-index-llms-openai-like"))
