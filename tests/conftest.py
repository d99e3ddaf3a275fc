from __future__ import annotations

import readers


def pytest_report_header() -> str:
    """Says which readers will judge the archives; those that are missing are skipped."""
    return f"readers: {readers.report()}"
