"""Parameters of a scenario: ``[parameters]`` names them, ``"${speed_mps}"`` stands for one.

A text that is one reference and nothing else becomes the parameter's own type. Between the braces stand names, numbers,
``+ - * /`` and parentheses, so that one parameter can move a whole story: ``"${start_m / speed_mps + 60}"``.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from rig.errors import ScenarioError
from rig.scenario.tables import Scalar

_REFERENCE: Final = re.compile(r"\$\{([^{}]*)\}")

_NAME: Final = re.compile(r"[^\W\d]\w*")

_BINARY: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}

_LONGEST: Final = 200
"""Characters between two braces; what is longer is no arithmetic that a person reads."""


def merge_parameters(defaults: object, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Take the defaults of ``[parameters]`` and what was set in their place, with the defaults' types.

    Raises
    ------
    ScenarioError
        A default is no number, text or switch; a parameter is set that there is not, or to another type.
    """
    if not isinstance(defaults, dict):
        raise ScenarioError(f"parameters: expected a table of names and values, got {defaults!r:.60}")
    for name, value in defaults.items():
        if not isinstance(value, bool | int | float | str):
            raise ScenarioError(f"parameters.{name}: expected a number, a text, true or false, got {value!r:.60}")
        if not name.isidentifier():
            raise ScenarioError(
                f"parameters.{name}: expected a name of letters, digits and _, so that ${{{name}}} works"
            )
    out: dict[str, Scalar] = dict(defaults)
    for name, value in given.items():
        if name not in out:
            known = ", ".join(out) or "it has none"
            raise ScenarioError(f"parameter {name!r} is not known. Expected one of: {known}")
        out[name] = _typed(name, value, out[name])
    return out


def _typed(name: str, value: Scalar, default: Scalar) -> Scalar:
    """Read a value as the default's type; a text from a command line is read, a whole number may become a decimal."""
    kind = "true or false" if isinstance(default, bool) else "a text" if isinstance(default, str) else "a number"
    wrong = ScenarioError(f"parameter {name!r}: expected {kind} (its default is {default!r}), got {value!r}")
    if isinstance(default, str):
        if isinstance(value, str):
            return value
        raise wrong
    if isinstance(default, bool):
        words = {"true": True, "false": False}
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value in words:
            return words[value]
        raise wrong
    if isinstance(value, bool):
        raise wrong
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            raise wrong from None
        value = int(value) if re.fullmatch(r"[+-]?\d+", value) else number
    if not math.isfinite(value):
        raise wrong
    return value


def substitute(data: Any, parameters: Mapping[str, Scalar]) -> tuple[Any, set[str]]:  # Any: TOML is nested data
    """Put the parameters in their places; also give the names of those that found one.

    Raises
    ------
    ScenarioError
        A reference names no parameter or is no arithmetic. The message says where.
    """
    used: set[str] = set()
    return _put(data, parameters, used, ""), used


def mentioned(data: Any) -> set[str]:  # Any: see substitute
    """Give the names that references in some data hold, whatever they are."""
    if isinstance(data, dict):
        return set().union(*map(mentioned, data.values()))
    if isinstance(data, list):
        return set().union(*map(mentioned, data))
    found = _REFERENCE.findall(data) if isinstance(data, str) else []
    return {name for text in found for name in _NAME.findall(text)}


def _put(value: Any, parameters: Mapping[str, Scalar], used: set[str], where: str) -> Any:  # Any: see substitute
    if isinstance(value, dict):
        return {k: _put(v, parameters, used, f"{where}.{k}".lstrip(".")) for k, v in value.items()}
    if isinstance(value, list):
        return [_put(v, parameters, used, f"{where}[{i}]") for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole is not None:
        return _evaluate(whole[1], parameters, used, where)
    text = _REFERENCE.sub(lambda match: _text(_evaluate(match[1], parameters, used, where)), value)
    if "${" in text:
        raise ScenarioError(f"{where}: {value!r}: expected }} after ${{")
    return text


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:.12g}"


def _evaluate(text: str, parameters: Mapping[str, Scalar], used: set[str], where: str) -> Scalar:
    what = f"{where}: ${{{text}}}"
    if len(text) > _LONGEST:
        raise ScenarioError(f"{where}: expected at most {_LONGEST} characters between braces, got {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ScenarioError(f"{what}: expected a parameter's name, or arithmetic of names and numbers") from None
    if isinstance(tree, ast.Name):
        return _named(tree.id, parameters, used, what)
    try:
        number = _number(tree, parameters, used, what)
    except (ZeroDivisionError, OverflowError) as exc:
        given = ", ".join(f"{node.id} = {parameters[node.id]}" for node in ast.walk(tree) if isinstance(node, ast.Name))
        raise ScenarioError(f"{what}: {exc}, with {given or 'these numbers'}") from None
    if not math.isfinite(number):
        raise ScenarioError(f"{what}: expected a finite number, got {number}")
    # a count such as a seed must stay one
    return int(number) if number == int(number) else number


def _named(name: str, parameters: Mapping[str, Scalar], used: set[str], what: str) -> Scalar:
    if name not in parameters:
        known = ", ".join(parameters) or "there are none"
        raise ScenarioError(f"{what}: parameter {name!r} is not known. Expected one of: {known}")
    used.add(name)
    return parameters[name]


def _number(tree: ast.expr, parameters: Mapping[str, Scalar], used: set[str], what: str) -> float:
    match tree:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            named = _named(name, parameters, used, what)
            if isinstance(named, bool | str):
                raise ScenarioError(f"{what}: {name} is {named!r}. Expected a number in arithmetic")
            return named
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, parameters, used, what)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_number(left, parameters, used, what), _number(right, parameters, used, what))
        case _:
            raise ScenarioError(f"{what}: expected names, numbers, + - * / and parentheses only")
