"""Creates a job with the Python client and follows it to its end. Prints the job's ID, then each result's index and age."""

from __future__ import annotations

import asyncio
import sys

from extractd import AsyncClient, Client, Result
from pydantic import BaseModel


class Person(BaseModel):
    """A person as the simulated model finds one."""

    name: str
    age: int


def text(number: int) -> str:
    """Returns the text of an item. Its number is the age, so that a result shows where it belongs."""
    return f"John Smith is a {number}-year-old engineer"


def report(result: Result[Person]) -> None:
    """Prints one result."""
    print(result.index, result.value.age)


def follow(url: str, items: int) -> None:
    """Follows with the client of plain methods."""
    with Client(url) as client:
        job = client.create_job(Person, [text(number) for number in range(items)])
        print(job.id, flush=True)
        for result in job.results():
            report(result)


async def follow_async(url: str, items: int) -> None:
    """Follows with the client of async methods."""
    async with AsyncClient(url) as client:
        job = await client.create_job(Person, [text(number) for number in range(items)])
        print(job.id, flush=True)
        async for result in job.results():
            report(result)


if __name__ == "__main__":
    kind, server, count = sys.argv[1:]
    if kind == "async":
        asyncio.run(follow_async(server, int(count)))
    else:
        follow(server, int(count))
