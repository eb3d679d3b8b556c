"""The bench: emulators, truth, demo, reports and the ``tagrig`` command."""
