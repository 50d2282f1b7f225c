"""The requirement ledger ties tests to the requirements that they prove.

A test names the rows of ``tests/requirements.toml`` that it stands for::

    @pytest.mark.requirement("SB-02", "BR-16")
    def test_only_the_asked_event_types_arrive(): ...

The mark works on functions, on classes, as a module's ``pytestmark`` and in ``pytest.param``.
``python -m ledger`` reads the claims from the source, without running anything, and prints
what is covered and what is open. A claim of an unknown id is an error, there and when
pytest collects the tests (``ledger.plugin``).
"""

from .catalogue import Catalogue, CatalogueError, load
from .claims import Claim, UnreadableClaim, collect
from .report import Report

__all__ = [
    "Catalogue",
    "CatalogueError",
    "Claim",
    "Report",
    "UnreadableClaim",
    "collect",
    "load",
]
