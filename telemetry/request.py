"""An export as a receiver got it."""

from __future__ import annotations

import attrs

__all__ = ["Request"]


@attrs.frozen(eq=False)
class Request:
    """One export as it came in: path, headers (lower-case names), size of the inflated body.

    By gRPC the path is the one that HTTP has for the signal, and the headers are the metadata.
    """

    path: str
    headers: dict[str, str]
    size: int
