"""``python -m rig.demo.verb VERB ...``: the ``tagrig`` command of this very installation, wherever its script lies."""

from rig.cli import main

if __name__ == "__main__":
    main()
