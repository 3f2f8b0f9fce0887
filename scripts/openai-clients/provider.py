"""A scripted provider that speaks OpenAI's Chat Completions API. It fills the schema of each request with facts it knows by name.

A text with `[first answer invalid]` is answered with an object without members the first time. Prints its port.
"""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FACTS = {
    "name": "Jason", "age": 25, "email": "jason@example.com", "role": "admin", "city": "Paris", "location": "Paris",
    "title": "Lasagna", "setup": "Why do cats sit on keyboards?", "punchline": "To watch the mouse.", "rating": 7,
    "ingredients": ["pasta", "cheese"], "steps": ["cook", "serve"], "country": "France", "capital": "Paris",
    "x": 2, "y": 3, "a": 2, "b": 3, "unit": "celsius",
}
seen: set[str] = set()
lock = threading.Lock()


def fill(schema, root, name=""):
    """Returns a value of the schema."""
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return fill(target, root, name)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return FACTS[name] if FACTS.get(name) in schema["enum"] else schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            branches = [branch for branch in schema[union] if branch.get("type") != "null"]
            return fill(branches[0], root, name) if branches else None
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object":
        return {key: fill(value, root, key) for key, value in schema.get("properties", {}).items()}
    if kind == "array":
        if isinstance(FACTS.get(name), list) and schema.get("items", {}).get("type") == "string":
            return FACTS[name]
        return [fill(schema.get("items", {}), root, name.rstrip("s")) for _ in range(max(2, schema.get("minItems", 0)))]
    fact = FACTS.get(name)
    if kind == "string":
        return fact if isinstance(fact, str) else f"some {name}"
    if kind in ("integer", "number"):
        return fact if isinstance(fact, (int, float)) else 1
    return kind == "boolean" or None


def schema_in(text):
    """Returns the first JSON Schema within a prompt."""
    decoder = json.JSONDecoder()
    for brace in re.finditer(r"\{", text):
        try:
            value, _ = decoder.raw_decode(text, brace.start())
        except ValueError:
            continue
        if isinstance(value, dict) and ("properties" in value or "$ref" in value):
            return value
    return None


def text_of(message):
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def answer(body):
    """Returns the message of the assistant."""
    messages = body["messages"]
    prompt = "\n\n".join(map(text_of, messages))
    tools = body.get("tools") or []
    choice = body.get("tool_choice")
    is_answered = messages[-1]["role"] == "tool"
    if tools and choice != "none" and (choice in ("required",) or isinstance(choice, dict) or not is_answered):
        wanted = choice["function"]["name"] if isinstance(choice, dict) else None
        chosen = [tool for tool in tools if tool["function"]["name"] == wanted] if wanted else tools
        if wanted is None and is_answered:
            chosen = [tool for tool in tools if "final" in tool["function"]["name"]] or tools[:1]
        elif wanted is None and "both" not in prompt:
            chosen = chosen[:1]
        calls = [
            {"id": f"call_{index}", "type": "function",
             "function": {"name": tool["function"]["name"],
                          "arguments": json.dumps(value_for(prompt, tool["function"].get("parameters", {})))}}
            for index, tool in enumerate(chosen)
        ]
        return {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"
    form = body.get("response_format") or {}
    schema = form["json_schema"]["schema"] if form.get("type") == "json_schema" else schema_in(prompt)
    if schema is None:
        return {"role": "assistant", "content": "{}" if form else "Hello from the provider."}, "stop"
    content = json.dumps(value_for(prompt, schema))
    if not form:
        content = f"Here it is:\n```json\n{content}\n```"
    return {"role": "assistant", "content": content}, "stop"


def value_for(prompt, schema):
    with lock:
        is_first = prompt not in seen
        seen.add(prompt)
    if "[first answer invalid]" in prompt and is_first and "not valid" not in prompt:
        return {}
    return fill(schema, schema)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/chat/completions":
            return self.send(404, {"error": {"message": f"no {self.path}", "type": "invalid_request_error"}})
        if body["model"] == "unknown-model":
            error = {"message": "The model `unknown-model` does not exist", "type": "invalid_request_error", "code": "model_not_found"}
            return self.send(404, {"error": error})
        message, reason = answer(body)
        usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
        common = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
            return self.send(200, common | {"object": "chat.completion", "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for delta, reason in deltas(message, reason):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            self.event(common | {"object": "chat.completion.chunk", "choices": [choice]})
            time.sleep(0.01)
        if (body.get("stream_options") or {}).get("include_usage"):
            self.event(common | {"object": "chat.completion.chunk", "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, value):
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()

    def send(self, status, value):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def deltas(message, reason):
    yield {"role": "assistant", "content": ""}, None
    pieces = lambda text: [text[start:start + 6] for start in range(0, len(text), 6)]
    for piece in pieces(message["content"] or ""):
        yield {"content": piece}, None
    for index, call in enumerate(message.get("tool_calls") or []):
        function = {"name": call["function"]["name"], "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": function}]}, None
        for piece in pieces(call["function"]["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None
    yield {}, reason


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
