"""Instructor, with examples of its documentation in each mode; only the base URL is not theirs."""

import os
from importlib.metadata import version
from typing import Iterable, List

import instructor
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field, field_validator

BASE_URL = os.environ["BASE_URL"]
openai_client = OpenAI(base_url=BASE_URL, api_key="sk-any")


class UserInfo(BaseModel):
    name: str
    age: int


class ExtractUser(BaseModel):
    """Correctly extracted user information."""

    name: str = Field(description="The name of the user")
    age: int


modes = [instructor.Mode.TOOLS, instructor.Mode.JSON, instructor.Mode.JSON_SCHEMA, instructor.Mode.MD_JSON]
for mode in modes:
    client = instructor.from_openai(openai_client, mode=mode)
    user = client.chat.completions.create(
        model="gpt-4o-mini",
        response_model=ExtractUser,
        messages=[{"role": "user", "content": "Extract Jason is 25 years old."}],
    )
    assert (user.name, user.age) == ("Jason", 25), (mode, user)

    # https://python.useinstructor.com/concepts/partial/
    versions = list(client.chat.completions.create_partial(
        model="gpt-4o-mini",
        response_model=UserInfo,
        messages=[{"role": "user", "content": "Jason is 25"}],
    ))
    assert versions[-1].age == 25 and len(versions) > 1, (mode, versions)

    # https://python.useinstructor.com/concepts/iterable/
    users = list(client.chat.completions.create_iterable(
        model="gpt-4o-mini",
        response_model=UserInfo,
        messages=[{"role": "user", "content": "Jason is 25 and so is Jason"}],
    ))
    assert users and users[0] == UserInfo(name="Jason", age=25), (mode, users)

    user, completion = client.chat.completions.create_with_completion(
        model="gpt-4o-mini",
        response_model=UserInfo,
        messages=[{"role": "system", "content": "You are exact."}, {"role": "user", "content": "Jason is 25 years old"}],
    )
    assert user.name == "Jason" and completion.usage.total_tokens >= 30, (mode, completion)

# https://python.useinstructor.com/concepts/reask_validation/: the client validates too, and asks again.
attempts = []


class Loud(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def is_asked_twice(cls, name):
        attempts.append(name)
        if len(attempts) == 1:
            raise ValueError("Name must be asked for twice.")
        return name


client = instructor.from_openai(openai_client)
loud = client.chat.completions.create(
    model="gpt-4o-mini", response_model=Loud, max_retries=2,
    messages=[{"role": "user", "content": "Extract `jason is 25 years old`"}],
)
assert loud.name == "Jason" and len(attempts) >= 2, attempts


# Several tools.
class Weather(BaseModel):
    location: str
    units: str


class GoogleSearch(BaseModel):
    query: str


from typing import Union

client = instructor.from_openai(openai_client, mode=instructor.Mode.PARALLEL_TOOLS)
calls = list(client.chat.completions.create(
    model="gpt-4o-mini",
    messages=[
        {"role": "system", "content": "You must always use tools"},
        {"role": "user", "content": "What is the weather in toronto and dallas and who won the super bowl? Use both."},
    ],
    response_model=Iterable[Union[Weather, GoogleSearch]],
))
assert [type(call) for call in calls] == [Weather, GoogleSearch], calls


# https://python.useinstructor.com/concepts/lists/ and nested models.
class Address(BaseModel):
    city: str
    country: str


class Person(BaseModel):
    name: str
    addresses: List[Address]


client = instructor.from_provider("openai/gpt-4o-mini", base_url=BASE_URL, api_key="sk-any")
person = client.chat.completions.create(response_model=Person, messages=[{"role": "user", "content": "Jason lives in Paris, France"}])
assert person.addresses[0].city == "Paris", person
people = client.chat.completions.create(response_model=List[UserInfo], messages=[{"role": "user", "content": "Jason is 25"}])
assert list(people)[0].age == 25, people


client = instructor.from_openai(openai_client, mode=instructor.Mode.RESPONSES_TOOLS)
user = client.responses.create(model="gpt-4o-mini", input="Extract Jason is 25 years old.", response_model=UserInfo)
assert (user.name, user.age) == ("Jason", 25), user


async def asynchronously():
    client = instructor.from_openai(AsyncOpenAI(base_url=BASE_URL, api_key="sk-any"))
    users = await asyncio.gather(*(client.chat.completions.create(
        model="gpt-4o-mini", response_model=UserInfo, messages=[{"role": "user", "content": f"Jason {n} is 25"}]) for n in range(20)))
    assert all(user.age == 25 for user in users)


import asyncio

asyncio.run(asynchronously())
print("instructor", version("instructor"), "with openai", version("openai"), ", ".join(mode.name for mode in modes), "PARALLEL_TOOLS, RESPONSES_TOOLS")
