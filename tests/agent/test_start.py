"""What an agent loads before it serves: what predictions need, and nothing that a rare feature brings."""

from __future__ import annotations

import subprocess
import sys

LATER = ("paho", "edgekit.wire", "zstandard", "tuf", "cryptography", "edge_agent.exchange.exchange")


def test_nothing_rare_is_imported_before_the_device_serves() -> None:
    code = f"import sys, edge_agent.config, edge_agent.runtime as r; print([n for n in {LATER} if n in sys.modules], r)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("[] <module"), done.stdout + done.stderr


def test_the_control_finds_what_is_imported() -> None:
    code = f"import sys, edge_agent.exchange.exchange; print([n for n in {LATER} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['edge_agent.exchange.exchange']", done.stderr
