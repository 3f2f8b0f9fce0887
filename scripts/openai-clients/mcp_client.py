"""The official `mcp` package: over HTTP, and over the standard input of `extractd mcp`."""

import asyncio
import json
import os
import urllib.request

from mcp import Client, StdioServerParameters

BASE = os.environ["BASE_URL"].removesuffix("/v1")
TEXT = "Jason is 25 years old"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def register(name):
    request = urllib.request.Request(f"{BASE}/v1/schemas/{name}", json.dumps(SCHEMA).encode(), method="PUT",
                                     headers={"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status in (200, 201)


async def check(server, label):
    async with Client(server) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"extract", "extract_batch", "start_job", "job_status", "job_results"}, tools
        one = await client.call_tool("extract", {"input": TEXT, "schema": SCHEMA})
        assert not one.is_error and one.structured_content["data"] == {"name": "Jason", "age": 25}, one
        several = await client.call_tool("extract_batch", {"inputs": [TEXT, TEXT], "schema": "person"})
        assert [item["data"]["age"] for item in several.structured_content["results"]] == [25, 25], several
        job = (await client.call_tool("start_job", {"inputs": [TEXT] * 3, "schema": SCHEMA})).structured_content
        for _ in range(200):
            status = (await client.call_tool("job_status", {"id": job["id"]})).structured_content
            if status["status"] == "completed":
                break
            await asyncio.sleep(0.05)
        page = (await client.call_tool("job_results", {"id": job["id"]})).structured_content
        assert len(page["data"]) == 3, page
        schemas = (await client.list_resources()).resources
        assert [str(schema.uri) for schema in schemas] == ["extractd://schemas/person"], schemas
        text = (await client.read_resource(schemas[0].uri)).contents[0].text
        assert json.loads(text) == SCHEMA, text
        wrong = await client.call_tool("extract", {"input": TEXT, "sheme": SCHEMA})
        assert wrong.is_error and "schema" in wrong.content[0].text, wrong
        print(f"mcp_client: {label}: ok, protocol {client.protocol_version}")


async def main():
    register("person")
    await check(f"{BASE}/mcp", "HTTP")
    stdio = StdioServerParameters(command=os.environ["EXTRACTD"], args=["mcp"], env={"EXTRACTD_SERVER": BASE})
    await check(stdio, "standard input")


asyncio.run(main())
