"""What is known about polars' functions by name: which aggregate, which keep the number of values, which take a deciding argument.

Names are those the plan visitor gives: a bare word (`fill_null`) or a family and a member (`StringFunction.ToUppercase`).
A name that stands in no table here is assumed to change the number of values, and all its arguments count as direct.
"""

from __future__ import annotations

from typing import Any, Final

from mlstudio_lab.data.lineage.columns import FILTER, SORT, WINDOW


def words(text: str) -> frozenset[str]:
    """The words of a text, for tables of names."""
    return frozenset(text.split())


AGGREGATING: Final = words(
    """
    all any approx_n_unique arg_max arg_min arg_unique_count concatvertical corr count cov entropy first has_nulls item
    kurtosis last max max_by mean median min min_by n_unique null_count product quantile skew std sum unique_counts var
    """
)
"""Functions that give one value for many."""

_AGGREGATING_FAMILIES: Final = ("", "BitwiseFunction", "BooleanFunction", "StringFunction")

PASSING: Final = words(
    """
    bottom_k bottom_k_by drop_nans drop_nulls gather_every reverse sample sample_frac sample_n set_sorted_flag top_k top_k_by
    unique unique_stable
    """
)
"""Functions that pass values on as they are, in another order or fewer of them."""

_COUNTED: Final = words("bottom_k bottom_k_by gather_every sample sample_frac sample_n top_k top_k_by")
"""Functions that give fewer values, as many as the number of rows says and not the values."""

_FAMILIES: Final = words(
    """
    ArrayFunction BinaryFunction BitwiseFunction BooleanFunction CategoricalFunction EwmFunction ExtensionFunction
    ListFunction PowFunction RollingFunction RollingFunctionBy StringFunction StructFunction TemporalFunction
    TrigonometricFunction
    """
)
"""Families whose members keep the number of values."""

_KEEPING: Final = words(
    """
    abs acos acosh arccos arccosh arcsin arcsinh arctan arctanh arctan2 arg_sort as_struct asin asinh atan atan2 atanh
    backward_fill bitwise_count_ones business_day_count cbrt ceil clip coalesce concat_expr_elementwise cos cosh cot cum_count
    cum_max cum_min cum_prod cum_sum cut degrees diff ewm_mean ewm_std ewm_var exp expm1 fill_nan fill_null
    fill_null_with_strategy fillnull floor forward_fill fused gather_or_null hash interpolate interpolate_by is_duplicated
    is_first_distinct is_last_distinct is_unique log log10 log1p lower_bound max_horizontal mean_horizontal min_horizontal
    negate pct_change peak_max peak_min qcut radians random rank reinterpret replace replace_strict reverse rle_id round
    round_sf row_encode set_sorted_flag shift shift_and_fill shrink_type sign sin sinh sqrt sum_horizontal tan tanh
    to_physical truncate upper_bound
    """
)
"""Bare functions that keep the number of values."""

DECIDED_BY: Final[dict[str, int]] = {
    "max_by": SORT,
    "min_by": SORT,
    "top_k_by": SORT,
    "bottom_k_by": SORT,
    "arg_sort_by": SORT,
    "maxby": WINDOW,
    "meanby": WINDOW,
    "minby": WINDOW,
    "medianby": WINDOW,
    "quantileby": WINDOW,
    "rankby": WINDOW,
    "stdby": WINDOW,
    "sumby": WINDOW,
    "varby": WINDOW,
    "gather": FILTER,
}
"""Functions whose last argument decides which values are used but gives none; the lane it goes to."""


def name_of(function: tuple[Any, ...]) -> tuple[str, str]:
    """A function's family ("" for bare words) and its member in lower case."""
    family, _, member = str(function[0]).rpartition(".")
    return family, member.lower()


def aggregates(family: str, member: str) -> bool:
    """Whether the function gives one value for many; a list's or a window's sum is one value for each row."""
    return member in AGGREGATING and family in _AGGREGATING_FAMILIES


def keeps_length(family: str, member: str) -> bool:
    """Whether the function gives as many values as it takes."""
    if family == "RangeFunction":
        return member.endswith("ranges")
    return family in _FAMILIES if family else member in _KEEPING


def counts_rows(member: str) -> bool:
    """Whether the number of values the function gives depends on the number of rows only."""
    return member in _COUNTED
