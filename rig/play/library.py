"""Scenarios by name: those that come with this project, and those of the folder one works in."""

import difflib
from pathlib import Path
from typing import Final

from rig.demo.settings import STORY
from rig.errors import ScenarioError

FOLDER: Final = Path("fixtures") / "scenarios"
"""Where scenarios stand, below the folder one works in and below this project's own."""


def scenario_folders() -> list[Path]:
    """Return where names are looked up, in order."""
    ours = Path(__file__).resolve().parents[2] / FOLDER
    return [folder for folder in dict.fromkeys((FOLDER.resolve(), ours)) if folder.is_dir()]


def scenario_names() -> dict[str, Path]:
    """Return all scenarios that have a name; ``demo`` is the story of `tagrig demo`."""
    found = {"demo": STORY}
    for folder in reversed(scenario_folders()):
        found |= {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return found


def find_scenario(text: str, *, others: tuple[str, ...] = ()) -> Path:
    """Return the file of a path or a name.

    Parameters
    ----------
    text : str
    others : tuple of str
        What else the person could have meant, for the message.

    Raises
    ------
    ScenarioError
        There is neither such a file nor such a name.
    """
    path = Path(text)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise ScenarioError(f"{text}: there is no such file")
        return path
    names = scenario_names()
    if text in names:
        return names[text]
    known = [*others, *names]
    near = difflib.get_close_matches(text, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ScenarioError(f"{text!r} is neither a file nor a name.{hint} Expected one of: {', '.join(known)}")
