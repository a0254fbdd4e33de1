# pyarrow ships no types: every name is Any, where pyright would else read its source and find half of it.
from typing import Any

def __getattr__(name: str) -> Any: ...
