"""pydantic-ai, in its output modes, with and without tools of its own."""

import asyncio
import os
from importlib.metadata import version

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


class CityLocation(BaseModel):
    city: str
    country: str


class Person(BaseModel):
    name: str
    age: int


expected = CityLocation(city="Paris", country="France")
question = "Where were the olympics held in 2024?"


async def streamed(model):
    for output in (CityLocation, NativeOutput(CityLocation)):
        async with Agent(model, output_type=output).run_stream(question) as result:
            versions = [version async for version in result.stream_output(debounce_by=None)]
        assert versions[-1] == expected, versions


def check(model):
    for output in (CityLocation, ToolOutput(CityLocation), NativeOutput(CityLocation), PromptedOutput(CityLocation)):
        result = Agent(model, output_type=output).run_sync(question)
        assert result.output == expected, (output, result)
        assert result.usage.total_tokens >= 30, result.usage
    assert Agent(model, output_type=[CityLocation, Person]).run_sync(question).output == expected
    agent = Agent(model, output_type=CityLocation)
    asked = []

    @agent.tool_plain
    def country_of(city: str) -> str:
        asked.append(city)
        return "France"

    result = agent.run_sync(question)
    assert result.output == expected and asked == ["Paris"], (result, asked)
    assert Agent(model).run_sync("Hi").output == "Hello from the provider."
    asyncio.run(streamed(model))


provider = OpenAIProvider(base_url=os.environ["BASE_URL"], api_key="sk-any")
for kind in (OpenAIChatModel, OpenAIResponsesModel):
    check(kind("gpt-4o-mini", provider=provider))
print("pydantic-ai", version("pydantic-ai-slim"))
