"""What counts as success, in a line of YAML."""

import operator
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from sims.adapted.places import check_place, find

_BOUND = re.compile(r"(\S+)\s*(>=|<=|>|<)\s*(\S+)")
_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_ROLE = "adapter.success"


class Success:
    """A place that holds true or false, or a place, a comparison and a number.

    Raises:
        ValueError: it is neither.
    """

    def __init__(self, text: str) -> None:
        bound = _BOUND.fullmatch(text.strip())
        self._place, self._bound, self._compare = text.strip(), 0.5, operator.ge
        if bound:
            self._place, self._compare = bound[1], _COMPARE[bound[2]]
            try:
                self._bound = float(bound[3])
            except ValueError as error:
                raise ValueError(f"{_ROLE}: {bound[3]!r} in {text!r} must be a number.") from error
        check_place(_ROLE, self._place)
        self._is_bounded = bool(bound)

    def __call__(self, moment: Mapping[str, Any]) -> bool:
        """Whether this step is a success.

        Raises:
            ValueError: the place is missing, or holds something else.
        """
        value = np.asarray(find(moment, self._place, _ROLE))
        kinds = "biuf" if self._is_bounded else "b"
        is_flag = value.dtype.kind in kinds or (value.dtype.kind in "iuf" and value.size == 1 and value in (0, 1))
        if value.size != 1 or not is_flag or not np.isfinite(value).all():
            wanted = "one finite number" if self._is_bounded else "true or false (or give a bound, such as '>= 0.5')"
            raise ValueError(f"{_ROLE}: {self._place} must hold {wanted}, it is {value.tolist()!r}"[:160] + ".")
        return bool(self._compare(float(value.item()), self._bound))
