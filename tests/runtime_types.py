"""Every annotated call of the package is checked while the tests run: types by beartype, shapes by jaxtyping."""

import ast
import builtins
import functools
import re
from collections.abc import Callable
from types import FunctionType
from typing import Any, get_args

import jaxtyping
import warp as wp
from beartype import BeartypeConf, beartype
from jaxtyping import _decorator, _import_hook

STRICT = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as type checkers have it


def check_annotations() -> None:
    """Call it before the package is imported. Warp compiles its functions from their text: those are left alone."""
    is_no_type_check = _import_hook._is_no_type_check

    def is_exempt(decorator: ast.AST) -> bool:
        is_warp = isinstance(decorator, ast.Attribute) and ast.unparse(decorator.value) == "wp"
        return is_warp or is_no_type_check(decorator)

    _import_hook._is_no_type_check = is_exempt
    jaxtyping.jaxtyped = _decorator.jaxtyped = functools.partial(checked_by_need, _decorator.jaxtyped)
    _import_hook.install_import_hook("faithfusion", "runtime_types.checked")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its calls checked. Configurations are left alone, since they refuse wrong values in words. A Warp
    struct is a value, not a class: what is said to be one is not checked."""
    if function.__qualname__.endswith(("Config.__init__", "Options.__init__")):
        return function
    for name, hint in function.__annotations__.items():
        if wp.types.type_is_struct(hint):
            function.__annotations__[name] = Any
    strict = functools.cache(lambda: STRICT(function))  # at the first call; most functions have none in one process
    return lambda *args, **kwargs: strict()(*args, **kwargs)


def checked_by_need(jaxtyped: Callable[..., Any], function: Any = None, *, typechecker: Any) -> Any:
    """Beartype alone for functions of plain types, at a tenth of the cost of `jaxtyped`, which all others get."""
    if function is None:
        return functools.partial(checked_by_need, jaxtyped, typechecker=typechecker)
    if not isinstance(function, FunctionType) or function.__name__ == "__init__" or not is_plain(function):
        return jaxtyped(function, typechecker=typechecker)
    strict = typechecker(function)

    @functools.wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        return (function if jaxtyping.config.jaxtyping_disable else strict)(*args, **kwargs)

    return call


def is_plain(function: FunctionType) -> bool:
    """Whether all types that a function names are known by now and none of them is jaxtyping's or Warp's."""

    def is_known(hint: object) -> bool:
        if isinstance(hint, str):
            words = re.findall(r"(?<![\w.])[A-Za-z_]\w*", hint)
            known = vars(builtins) | function.__globals__
            return all(word in known and is_known(known[word]) for word in words)
        is_special = getattr(hint, "__module__", None) == "jaxtyping" or wp.types.type_is_struct(hint)
        return not is_special and all(map(is_known, get_args(hint)))

    return all(map(is_known, function.__annotations__.values()))
