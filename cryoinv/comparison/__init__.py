"""Many methods on one problem: the same particles, seed and schedule, one table and one report."""

from .methods import Method, MethodWords, default_methods, method_from
from .result import MethodResult
from .run import compare
from .table import Comparison

__all__ = ["Comparison", "Method", "MethodResult", "MethodWords", "compare", "default_methods", "method_from"]
