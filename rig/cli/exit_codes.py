"""What the exit code of every verb means; part of the contract with CI jobs."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of ``tagrig``."""

    OK = 0
    VERDICT_FAIL = 1
    """The thing under test broke a limit or an expectation."""
    USAGE = 2
    """The command line, a configuration or an input file is wrong."""
    BENCH_BROKEN = 3
    """The bench could not judge: a port, a broker or a process is missing or died."""
    BUDGET_EXCEEDED = 4
    """Everything was right but slower than its budget."""
