"""One formula for each parameter, as matrices with centred and scaled columns.

A formula is one of formulaic's, its right side alone: ``"age + C(sex)"``. It may name columns,
functions such as ``log``, ``C``, ``poly`` or ``bs``, and operators; anything else is refused, since
formulas are evaluated.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from formulaic import Formula, ModelSpec
from formulaic.errors import DataMismatchWarning, FormulaicError

from parsimony.core.errors import nearest
from parsimony.estimate.errors import EstimatorDataError, EstimatorInputError
from parsimony.estimate.survival.family import Array
from parsimony.estimate.survival.outcome import Column

INTERCEPT = "Intercept"
_FUNCTIONS = {
    "C", "I", "Q", "bs", "cc", "center", "contr", "cr", "cs", "exp", "log", "log10", "log2", "poly",
    "scale", "sqrt", "sum", "treatment",
}  # fmt: skip
_TOO_FLAT = 1e-10


@dataclass
class Design:
    """The columns of one parameter's linear predictor.

    Attributes:
        formula: as given.
        terms: names of the q columns.
        matrix: centred and scaled, [n, q].
        back: coefficients of the columns as given = ``back`` @ those of ``matrix``, [q, q].
        spec: that makes the same columns of new rows.
        means: of the columns as given, [q].
    """

    formula: str
    terms: list[str]
    matrix: Array = field(repr=False)
    back: Array = field(repr=False)
    spec: ModelSpec = field(repr=False)
    means: Array = field(repr=False)

    @classmethod
    def of(cls, formula: str, X: pd.DataFrame, *, parameter: str, file: str = "X") -> Design:
        """Build from a table.

        Raises:
            EstimatorInputError: a formula that cannot be read, or names what is not there.
            EstimatorDataError: a missing value, or columns that say the same.
        """
        raw, spec = _materialise(formula, X, parameter, file)
        terms, given = list(raw.columns), raw.to_numpy(float)
        means, spread = given.mean(axis=0), given.std(axis=0)
        constant = spread <= _TOO_FLAT * np.maximum(np.abs(means), 1e-300)
        base = terms.index(INTERCEPT) if INTERCEPT in terms else None
        for column in np.flatnonzero(constant):
            if column != base:
                raise EstimatorDataError(
                    f"the column '{terms[column]}' of the formula of {parameter} is constant",
                    file=file, got=float(means[column]), hint="Leave it out",
                )  # fmt: skip
        scale = np.where(constant, 1.0, spread)
        centre = np.where(constant, 0.0, means) if base is not None else np.zeros(len(terms))
        matrix = np.asfortranarray((given - centre) / scale)
        back = np.diag(1 / scale)
        if base is not None:
            back[base] = -centre / scale
            back[base, base] = 1.0
        design = cls(formula, terms, matrix, back, spec, means)
        design._refuse_doubles(parameter, file)
        return design

    @property
    def constant(self) -> bool:
        """Whether the intercept is all there is."""
        return self.terms == [INTERCEPT]

    def columns_of(self, X: pd.DataFrame, *, parameter: str, file: str = "X") -> Array:
        """The columns as given for new rows, [rows, q].

        Raises:
            EstimatorDataError: a missing value or a level that the fit has not seen.
        """
        if self.constant:
            return np.ones((len(X), 1))
        _complete(X, self.spec.required_variables, file)
        with warnings.catch_warnings():
            warnings.simplefilter("error", DataMismatchWarning)
            try:
                found = self.spec.get_model_matrix(X, context={}, na_action="raise")
            except DataMismatchWarning as warning:
                raise EstimatorDataError(
                    f"a value that the fit has not seen ({warning})", file=file,
                    hint="Leave such rows out, or fit with them",
                ) from None  # fmt: skip
            except FormulaicError as error:
                raise EstimatorInputError(
                    f"the formula '{self.formula}' of {parameter} does not fit these rows ({error})"
                ) from None
        return np.asarray(found, float)

    def _refuse_doubles(self, parameter: str, file: str) -> None:
        if len(self.terms) < 2:
            return
        norms = np.linalg.norm(self.matrix, axis=0)
        values, vectors = np.linalg.eigh((self.matrix / norms).T @ (self.matrix / norms))
        if values[0] < _TOO_FLAT:
            names = [t for t, v in zip(self.terms, vectors[:, 0], strict=True) if abs(v) > 1e-3]
            raise EstimatorDataError(
                f"columns of the formula of {parameter} say the same: {', '.join(names)}",
                file=file, hint="Leave one of them out",
            )  # fmt: skip


def default_formula(X: pd.DataFrame) -> str:
    """All columns, each once; the intercept alone where there are none."""
    return " + ".join(f"`{name}`" for name in X.columns) or "1"


def _materialise(
    formula: str, X: pd.DataFrame, parameter: str, file: str
) -> tuple[pd.DataFrame, ModelSpec]:
    right = formula.strip().removeprefix("~").strip() or "1"
    if "~" in right or "|" in right:
        raise EstimatorInputError(
            f"the formula of {parameter} has a left side or several parts", got=formula,
            hint="Write the right side alone, such as 'age + C(sex)'",
        )  # fmt: skip
    try:
        parsed = Formula(right)
        names = {str(factor) for term in parsed for factor in term.factors}
    except FormulaicError as error:
        raise EstimatorInputError(
            f"the formula of {parameter} cannot be read ({error})", got=formula
        ) from None
    used: set[str] = set()
    for name in names:
        used |= _variables(name, X, parameter)
    _complete(X, used, file)
    try:
        found = parsed.get_model_matrix(
            X if len(X.columns) else pd.DataFrame(index=X.index), context={}, na_action="raise"
        )
    except FormulaicError as error:
        raise EstimatorInputError(
            f"the formula of {parameter} cannot be evaluated ({error})", got=formula
        ) from None
    return pd.DataFrame(found), found.model_spec


def _variables(factor: str, X: pd.DataFrame, parameter: str) -> set[str]:
    """Columns that a factor names; refuses what is neither a column, a known function nor plain."""
    if factor in X.columns or factor == "1":
        return {factor} & set(X.columns)
    try:
        tree = ast.parse(factor.replace("`", ""), mode="eval")
    except SyntaxError:
        tree = ast.parse("unreadable", mode="eval")
    allowed = (
        ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp,
        ast.operator, ast.unaryop, ast.keyword, ast.List, ast.Tuple,
    )  # fmt: skip
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and (id(node) in called or node.id in _FUNCTIONS):
            if node.id not in _FUNCTIONS:
                raise EstimatorInputError(
                    f"the formula of {parameter} uses an unknown function '{node.id}'",
                    hint=nearest(node.id, _FUNCTIONS),
                )
        elif isinstance(node, ast.Name):
            if node.id not in X.columns:
                raise EstimatorInputError(
                    f"the formula of {parameter} names a column that is not there", got=factor,
                    hint=nearest(node.id, map(str, X.columns)),
                )  # fmt: skip
            found.add(node.id)
        elif not isinstance(node, allowed):
            raise EstimatorInputError(
                f"the formula of {parameter} may only use columns, functions and operators",
                got=factor,
            )
    return found


def _complete(X: pd.DataFrame, names: set[str], file: str) -> None:
    """Refuse a missing or infinite value in the columns that a formula uses."""
    for name in sorted(set(map(str, names)) & set(X.columns)):
        values, column = X[name], Column(file, name)
        column.refuse(
            values.isna(), values, "a covariate is missing (NaN)", "Fill it in or drop the rows"
        )
        if values.dtype.kind == "f":
            column.refuse(np.isinf(values), values, "a covariate must be finite (no inf)")
