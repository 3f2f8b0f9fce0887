"""Generates `_sync.py` from `_async.py`. With `--check`, fails if it is out of date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "extractd"
WORDS = {
    "AsyncClient": "Client",
    "AsyncJob": "Job",
    "AsyncGenerator": "Generator",
    "aclosing": "closing",
    "asynccontextmanager": "contextmanager",
    "aiter_sse": "iter_sse",
    "aread": "read",
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
}


def sync(text: str) -> str:
    """Returns the module without `async`."""
    text = text.replace("httpx.AsyncClient", "httpx.Client").replace("import asyncio", "import time")
    text = text.replace("asyncio.sleep", "time.sleep").replace("[result async for", "[result for")
    text = re.sub(r"AsyncGenerator\[(.*), None\]", r"Generator[\1, None, None]", text)
    text = re.sub(r"\basync (def|for|with)\b", r"\1", text)
    text = re.sub(r"\bawait ", "", text)
    for word, other in WORDS.items():
        text = re.sub(rf"\b{word}\b", other, text)
    text = text.replace("Client with async methods. `_sync.py` is generated from this file by `scripts/unasync.py`.",
                        "Client without async. Generated from `_async.py` by `scripts/unasync.py`; do not edit.")
    return text.replace("`async with`", "`with`")


if __name__ == "__main__":
    source, target = PACKAGE / "_async.py", PACKAGE / "_sync.py"
    generated = sync(source.read_text())
    if "--check" in sys.argv:
        sys.exit(0 if target.read_text() == generated else "_sync.py is out of date: run `make clients`")
    target.write_text(generated)
