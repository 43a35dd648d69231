"""From an experiment file to an ``Experiment``, or to one sentence that says what is wrong with it."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from qfedfm.core.config import nearest
from qfedfm.core.errors import NotBuiltError, RequestError
from qfedfm.experiment.config import Experiment


def load(path: str | Path, overrides: Mapping[str, Any] | Iterable[str] = ()) -> Experiment:
    """Reads an experiment file.

    Args:
        path: A YAML file, or a run's folder (its ``config.yaml``).
        overrides: ``{"key.path": value}``, or ``"key.path=value"`` strings whose values are YAML.

    Raises:
        RequestError: One sentence: which key or file, and what would be right.
    """
    return experiment(read_yaml(path), overrides, str(path))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file; duplicate keys are refused."""
    import yaml

    path = Path(path)
    if path.is_dir():
        path = path / "config.yaml"
    if not path.is_file():
        raise RequestError(f"{path}: there is no such file; give the path of an experiment file (YAML)")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise RequestError(
                    f"{path}: the key {key!r} stands twice (line {node.start_mark.line + 1}); keep one"
                )
        return dict(
            zip(keys, (loader.construct_object(value, deep=True) for _, value in node.value), strict=True)
        )

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        content = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        place = f" in line {where.line + 1}, column {where.column + 1}" if where else ""
        raise RequestError(f"{path}: not valid YAML{place}: {getattr(error, 'problem', error)}") from error
    if content is None:
        raise RequestError(f"{path}: the file is empty; an experiment file holds at least a name")
    if not isinstance(content, dict):
        raise RequestError(f"{path}: holds a {type(content).__name__}, expected keys and values")
    return content


def experiment(
    content: Mapping[str, Any],
    overrides: Mapping[str, Any] | Iterable[str] = (),
    source: str = "the configuration",
) -> Experiment:
    """Returns the experiment that ``content`` with ``overrides`` describes; see :func:`load`."""
    changed = _with_kinds(override(content, overrides), Experiment().plain())
    try:
        return Experiment.model_validate(changed)
    except ValidationError as error:
        built, sentence = explain(error, Experiment)
        raise (RequestError if built else NotBuiltError)(f"{source}: {sentence}") from None


def _with_kinds(content: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``content`` in which a part that gives options but no kind is of the default kind."""
    result = dict(content)
    for key, default in defaults.items():
        given = result.get(key)
        if isinstance(given, Mapping) and isinstance(default, Mapping):
            if "kind" in default:
                given = {"kind": default["kind"], **given}
            result[key] = _with_kinds(given, default)
    return result


def override(content: Mapping[str, Any], overrides: Mapping[str, Any] | Iterable[str]) -> dict[str, Any]:
    """Returns a copy of ``content`` with each ``key.path`` set to its value."""
    import copy

    import yaml

    result = copy.deepcopy(dict(content))
    if not isinstance(overrides, Mapping):
        parsed = {}
        for entry in overrides:
            path, equals, value = entry.partition("=")
            if not equals or not path.strip():
                raise RequestError(f"-o {entry}: expected key.path=value, for example -o federation.rounds=3")
            try:
                parsed[path.strip()] = yaml.safe_load(value)
            except yaml.YAMLError as error:
                raise RequestError(f"-o {entry}: the value is not valid YAML") from error
        overrides = parsed
    for path, value in overrides.items():
        keys = path.split(".")
        place = result
        for key in keys[:-1]:
            inner = place.setdefault(key, {})
            if inner is None:
                inner = place[key] = {}
            if not isinstance(inner, dict):
                raise RequestError(f"-o {path}: {key!r} holds a value, not a group of keys")
            place = inner
        place[keys[-1]] = copy.deepcopy(value)
    return result


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[bool, str]:
    """Returns (whether the part is built, one sentence) for the first thing that is wrong."""
    details = error.errors(include_url=False)
    first = min(
        enumerate(details),
        key=lambda pair: (_cause(pair[1]) is None and pair[1]["type"] != "extra_forbidden", pair[0]),
    )[1]
    cause = _cause(first)
    if cause is not None:
        return not isinstance(cause, NotBuiltError), str(cause)
    path, owner, kind = _walk(model, first["loc"])
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        valid = list(owner.model_fields) if owner else []
        of = f" of kind {kind}" if kind else ""
        hint = nearest(path[-1], valid)
        group = ".".join(path[:-1])
        if kind and "did you mean" not in hint:
            hint += f"; to change the kind give the whole part, e.g. {group}={{kind: {kind}}}"
        return True, f"unknown key {where!r}{of}{hint}"
    if first["type"] == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in str(first["ctx"]["expected_tags"]).split(",")]
        got = str(first["ctx"]["tag"])
        return True, f"{where}.kind is {got!r}{nearest(got, tags)}; one of {', '.join(sorted(tags))}"
    if first["type"] == "union_tag_not_found":
        return True, f"{where} needs a kind, for example {{kind: ...}}"
    if first["type"] == "missing":
        return True, f"{where} is missing"
    given = first.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float | bool | None) else ""
    message = first["msg"][0].lower() + first["msg"][1:]
    return True, f"{where}: {message}{shown}"


def _cause(detail: Any) -> RequestError | None:
    cause = detail.get("ctx", {}).get("error")
    return cause if isinstance(cause, RequestError) else None


def _walk(
    model: type[BaseModel], location: Sequence[str | int]
) -> tuple[list[str], type[BaseModel] | None, str | None]:
    """Follows an error's location; union tags in it are dropped from the path that a user sees.

    Returns the path, the model that owns its last key, and that model's kind if it is one of a union.
    """
    path: list[str] = []
    owner: type[BaseModel] | None = model
    kind: str | None = None
    current: Any = model
    for step in location:
        members = _models(current)
        tagged = [m for m in members if isinstance(step, str) and _kind(m) == step]
        if tagged and not any(step in m.model_fields for m in members):
            current, owner, kind = tagged[0], tagged[0], str(step)
            continue
        path.append(str(step))
        holders = [m for m in members if isinstance(step, str) and step in m.model_fields]
        if members:
            owner = holders[0] if holders else members[0]
            if len(members) > 1 and not tagged:
                kind = None
            current = owner.model_fields[step].annotation if holders and isinstance(step, str) else None
            if holders and _models(current) and step != location[-1]:
                kind = None
        elif isinstance(step, int):
            arguments = get_args(current)
            current = arguments[0] if arguments else None
    return path, owner, kind


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for part in get_args(annotation) for m in _models(part)]
    if hasattr(annotation, "__metadata__"):
        return _models(get_args(annotation)[0])
    return []


def _kind(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return field.default if field and isinstance(field.default, str) else None
