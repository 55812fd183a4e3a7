"""Every annotated call of the package is checked while the tests run: types by beartype, shapes by jaxtyping."""

import ast
import functools
from collections.abc import Callable
from typing import Any

import warp as wp
from beartype import BeartypeConf, beartype
from jaxtyping import _import_hook

STRICT = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as type checkers have it


def check_annotations() -> None:
    """Call it before the package is imported. Warp compiles its functions from their text: those are left alone."""
    is_no_type_check = _import_hook._is_no_type_check

    def is_exempt(decorator: ast.AST) -> bool:
        is_warp = isinstance(decorator, ast.Attribute) and ast.unparse(decorator.value) == "wp"
        return is_warp or is_no_type_check(decorator)

    _import_hook._is_no_type_check = is_exempt
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
