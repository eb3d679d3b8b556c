"""The page's own style and script, which stand as files beside this module."""

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=4)
def own_file(name: str) -> str:
    """Return the text of one of them."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
