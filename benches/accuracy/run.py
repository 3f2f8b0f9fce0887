#!/usr/bin/env python3
"""Measures the share of fields that a model gets right on sixty texts of five kinds (standard library only).

    python3 benches/accuracy/run.py [--url http://127.0.0.1:8080] [--show]

A field is a leaf of the right answer; it is right if the result has an equal value at the same place. Strings are compared without
regard to case and to white space at the ends.
"""
import argparse
import json
import os
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


def leaves(value, place=()):
    """Yields the path and value of each leaf."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from leaves(member, (*place, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*place, index))
    else:
        yield place, value


def plain(value):
    return value.strip().lower() if isinstance(value, str) else value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--show", action="store_true", help="print each wrong field")
    arguments = parser.parse_args()
    with open(os.path.join(HERE, "texts.json"), encoding="utf-8") as file:
        kinds = json.load(file)
    all_right = all_fields = tokens = 0
    for kind, task in kinds.items():
        body = {
            "inputs": [text for text, _ in task["items"]],
            "schema": task["schema"],
            "timeout_ms": 600_000,
        }
        request = urllib.request.Request(
            arguments.url + "/v1/extract/batch",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=3600) as response:
            results = json.load(response)["results"]
        right = fields = 0
        for (text, expected), result in zip(task["items"], results):
            tokens += result.get("usage", {}).get("input_tokens", 0)
            found = dict(leaves(result.get("data") or {}))
            for place, value in leaves(expected):
                fields += 1
                if plain(found.get(place)) == plain(value):
                    right += 1
                elif arguments.show:
                    print(f"  {text}\n    {place}: {found.get(place)!r} instead of {value!r}")
        print(f"{kind:10} {right:4} of {fields:4} fields right ({right / fields:.0%})")
        all_right, all_fields = all_right + right, all_fields + fields
    print(f"{'all':10} {all_right:4} of {all_fields:4} fields right ({all_right / all_fields:.1%}), {tokens} prompt tokens")


if __name__ == "__main__":
    main()
