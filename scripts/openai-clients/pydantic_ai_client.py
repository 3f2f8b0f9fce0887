"""pydantic-ai, in its output modes, with and without tools of its own."""

import asyncio
import os
from importlib.metadata import version

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class CityLocation(BaseModel):
    city: str
    country: str


class Person(BaseModel):
    name: str
    age: int


model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(base_url=os.environ["BASE_URL"], api_key="sk-any"))
expected = CityLocation(city="Paris", country="France")
for output in (CityLocation, ToolOutput(CityLocation), NativeOutput(CityLocation), PromptedOutput(CityLocation)):
    result = Agent(model, output_type=output).run_sync("Where were the olympics held in 2024?")
    assert result.output == expected, (output, result)
    assert result.usage.total_tokens >= 30, result.usage

agent = Agent(model, output_type=[CityLocation, Person])
assert agent.run_sync("Where were the olympics held in 2024?").output == expected

agent = Agent(model, output_type=CityLocation)
asked = []


@agent.tool_plain
def country_of(city: str) -> str:
    asked.append(city)
    return "France"


result = agent.run_sync("Where were the olympics held in 2024?")
assert result.output == expected and asked == ["Paris"], (result, asked)
assert Agent(model).run_sync("Hi").output == "Hello from the provider."


async def stream():
    for output in (CityLocation, NativeOutput(CityLocation)):
        async with Agent(model, output_type=output).run_stream("Where were the olympics held in 2024?") as result:
            versions = [version async for version in result.stream_output(debounce_by=None)]
        assert versions[-1] == expected, versions


asyncio.run(stream())
print("pydantic-ai", version("pydantic-ai-slim"))
