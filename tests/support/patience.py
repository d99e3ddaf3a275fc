"""How long tests wait for what ends by itself."""

from __future__ import annotations

HUNG = 600
"""Seconds after which a process or a thread must be taken to hang, however slow the machine is."""
