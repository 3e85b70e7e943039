"""Whether two trees of bokeh models would look and act the same: all that was set, ids put aside."""

from typing import Any

import numpy as np
from bokeh.model import Model


def told(root: Model) -> Any:
    """Everything about `root` and what it refers to, as plain data; a model met before is told by its number."""
    numbers: dict[str, int] = {}

    def tell(value: Any) -> Any:
        if isinstance(value, Model):
            if value.id in numbers:
                return numbers[value.id]
            numbers[value.id] = len(numbers)
            # what was set, and models that bokeh makes for a default; its public function takes 100 times as long
            own = {**value._unstable_default_values, **value._property_values}
            plain = {name: one for name, one in own.items() if not value.lookup(name).readonly}
            # what was set to its default, or to nothing, looks as if it had never been set
            usual = {name: value.lookup(name).property.themed_default(type(value), name, None) for name in plain}
            other = [name for name, one in plain.items() if not (isinstance(one, dict | list) and not one)]
            other = [name for name in other if repr(plain[name]) != repr(usual[name]) or isinstance(plain[name], Model)]
            return [type(value).__name__, {name: tell(plain[name]) for name in sorted(other)}]
        if isinstance(value, np.ndarray):
            return [str(value.dtype), value.tolist()]
        if isinstance(value, dict):
            return {key: tell(value[key]) for key in sorted(value)}
        if isinstance(value, list | tuple):
            return [tell(one) for one in value]
        return repr(value)

    return tell(root)
