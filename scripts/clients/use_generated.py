"""Extract, batch and jobs with the client that openapi-python-client generates."""

from __future__ import annotations

import sys
import time
from typing import Any

from extractd_client import Client
from extractd_client.api.extraction import extract, extract_batch
from extractd_client.api.jobs import create_job, get_job, list_job_results, stream_job_events
from extractd_client.models import BatchRequest, BatchResult, ExtractRequest, Job, JobRequest, Problem, Result, ResultList

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
TEXTS = ["John Smith is 30 years old", "Sarah Johnson is 25 years old"]


def main(url: str) -> None:
    client = Client(base_url=url)
    one = extract.sync(client=client, body=ExtractRequest.from_dict({"input": TEXTS[0], "schema": SCHEMA}))
    assert isinstance(one, Result) and one.data is not None, one
    many = extract_batch.sync(client=client, body=BatchRequest.from_dict({"inputs": TEXTS, "schema": SCHEMA}))
    assert isinstance(many, BatchResult) and len(many.results) == 2, many
    wrong = extract.sync(client=client, body=ExtractRequest.from_dict({"input": "a", "schema": "nothing"}))
    assert isinstance(wrong, Problem) and wrong.status == 422, wrong
    job = create_job.sync(client=client, body=JobRequest.from_dict({"inputs": TEXTS, "schema": SCHEMA}))
    assert isinstance(job, Job), job
    for _ in range(200):
        state = get_job.sync(job.id, client=client)
        assert isinstance(state, Job)
        if state.status.value == "completed":
            break
        time.sleep(0.05)
    results = list_job_results.sync(job.id, client=client)
    assert isinstance(results, ResultList) and [result.index for result in results.data] == [0, 1], results
    events = stream_job_events.sync(job.id, client=client)
    assert isinstance(events, str) and "event: done" in events, events


if __name__ == "__main__":
    main(sys.argv[1])
