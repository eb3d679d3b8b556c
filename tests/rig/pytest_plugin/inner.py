"""Runs pytest within a test, with the plugin and nothing of this project's own test set-up."""

from importlib.metadata import entry_points

import pytest

# loaded once and outside: pytester forgets what an inner run has imported, and numpy cannot be loaded twice
import rig.pytest_plugin.stage
import rig.report.write  # noqa: F401


def run_pytest(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    """In this process: a start of its own would cost two seconds."""
    named = any(each.value.startswith("rig.pytest_plugin") for each in entry_points(group="pytest11"))
    plugin = [] if named else ["-p", "rig.pytest_plugin.plugin"]
    return pytester.runpytest_inprocess(*plugin, "-p", "no:cacheprovider", "-p", "no:asyncio", *args)
