"""The contract of every estimator of parameters; inherit it to test one.

    from parsimony.testing.estimator_contract import EstimatorContract

    class TestMine(EstimatorContract):
        estimator = Mine(random_state=0)

        def data(self):
            return X, y

What scikit-learn asks of any estimator (parameters kept as they were given, results with a
trailing underscore, nothing before ``fit``), and what parsimony adds: a ``summary_`` with an
interval for each estimate, a ``diagnosis_`` in words, and files without pickle.
"""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError

PICKLES = {".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".bin"}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal throughout: tables, arrays, containers or anything else."""
    if type(one) is not type(other):
        return False
    if isinstance(one, pd.DataFrame | pd.Series | pd.Index):
        return bool(one.equals(other))
    if isinstance(one, np.ndarray):
        exact = one.dtype.names is not None or one.dtype.kind not in "fc"
        return bool(np.array_equal(one, other, equal_nan=not exact))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other or bool(np.all(one == other))


class EstimatorContract:
    """What users of ``estimate`` rely on; set ``estimator`` and ``data`` where it is inherited.

    Attributes:
        estimator: not fitted, with parameters under which a fit takes a second or two.
    """

    estimator: ClassVar[BaseEstimator]

    def data(self) -> tuple[Any, Any]:
        """X and y of a fit; y may be ``None``."""
        raise NotImplementedError("the class that inherits EstimatorContract gives the data")

    def asked(self, X: Any) -> Any:  # noqa: N803 (scikit-learn's name)
        """What ``predict`` gets; the X of the fit unless a class says otherwise."""
        return X

    @pytest.fixture(scope="class")
    def given(self, request: Any) -> tuple[Any, Any]:
        """The data, built once; no check changes them."""
        return request.cls().data()  # type: ignore[no-any-return]

    @pytest.fixture(scope="class")
    def fitted(self, request: Any, given: tuple[Any, Any]) -> Any:
        """The estimator after ``fit``, shared by the checks, not changed."""
        return clone(request.cls.estimator).fit(*given)

    def test_parameters_are_kept_as_given(self) -> None:
        estimator = self.estimator
        given = estimator.get_params(deep=False)
        again = type(estimator)(**given)
        assert all(again.get_params(deep=False)[name] is value for name, value in given.items())
        twin = clone(estimator)
        assert twin is not estimator
        assert same(twin.get_params(deep=False), given)
        assert all(p.kind is not p.VAR_KEYWORD for p in _arguments(type(estimator)))

    def test_parameters_can_be_set(self) -> None:
        estimator = clone(self.estimator)
        assert estimator.set_params(**self.estimator.get_params(deep=False)) is estimator
        with pytest.raises(ValueError, match="no_such_parameter"):
            estimator.set_params(no_such_parameter=1)

    def test_nothing_is_there_before_fit(self, given: tuple[Any, Any]) -> None:
        estimator = clone(self.estimator)
        early = [name for name in vars(estimator) if name.endswith("_")]
        assert not early, f"set before fit: {early}"
        with pytest.raises(NotFittedError):
            estimator.predict(self.asked(given[0]))

    def test_fit_leaves_parameters_and_data_alone(self, given: tuple[Any, Any]) -> None:
        estimator = clone(self.estimator)
        parameters = copy.deepcopy(estimator.get_params(deep=False))
        before = copy.deepcopy(given)
        assert estimator.fit(*given) is estimator, "fit must return the estimator"
        estimator.predict(self.asked(given[0]))
        assert same(estimator.get_params(deep=False), parameters), "fit has changed a parameter"
        assert same(given, before), "fit or predict has changed its input"

    def test_results_end_in_an_underscore(self, fitted: Any) -> None:
        parameters = fitted.get_params(deep=False)
        found = [name for name in vars(fitted) if name not in parameters]
        wrong = [name for name in found if not (name.endswith("_") or name.startswith("_"))]
        assert not wrong, f"neither a parameter nor a result of fit: {wrong}"
        assert any(name.endswith("_") and not name.startswith("_") for name in found)

    def test_the_same_seed_gives_the_same_numbers(
        self, fitted: Any, given: tuple[Any, Any]
    ) -> None:
        again = clone(self.estimator).fit(*given)
        assert same(again.summary_, fitted.summary_)
        asked = self.asked(given[0])
        assert same(again.predict(asked), fitted.predict(asked))

    def test_a_second_fit_forgets_the_first(self, fitted: Any, given: tuple[Any, Any]) -> None:
        twice = clone(self.estimator).fit(*given).fit(*given)
        assert same(twice.summary_, fitted.summary_)

    def test_the_summary_has_an_interval_for_each_estimate(self, fitted: Any) -> None:
        summary = fitted.summary_
        assert isinstance(summary, pd.DataFrame)
        assert {"estimate", "low", "high"} <= set(summary.columns)
        assert len(summary) and summary.index.is_unique
        known = summary[["estimate", "low", "high"]].dropna()
        assert (known["low"] <= known["estimate"]).all(), "an interval lies above its estimate"
        assert (known["estimate"] <= known["high"]).all(), "an interval lies below its estimate"

    def test_the_diagnosis_is_in_words(self, fitted: Any) -> None:
        assert isinstance(fitted.diagnosis_, list)
        assert all(isinstance(text, str) and text.strip() for text in fitted.diagnosis_)

    def test_the_class_says_what_it_is(self) -> None:
        kind = type(self.estimator)
        assert inspect.getdoc(kind)
        public = {n: m for n, m in vars(kind).items() if callable(m) and not n.startswith("_")}
        bare = [name for name, method in public.items() if not inspect.getdoc(method)]
        assert not bare, f"methods without a docstring: {bare}"

    def test_a_saved_estimator_answers_the_same(
        self, fitted: Any, given: tuple[Any, Any], tmp_path: Path
    ) -> None:
        if not hasattr(fitted, "save"):
            pytest.skip("the estimator has no files")
        place = tmp_path / "saved"
        fitted.save(place)
        files = [place] if place.is_file() else [f for f in place.rglob("*") if f.is_file()]
        assert files, "save has written nothing"
        pickles = [str(file) for file in files if file.suffix in PICKLES]
        assert not pickles, f"files that could hold code: {pickles}"
        again = type(fitted).load(place)
        asked = self.asked(given[0])
        assert same(again.predict(asked), fitted.predict(asked))
        assert same(again.get_params(deep=False), fitted.get_params(deep=False))


def _arguments(kind: type) -> list[inspect.Parameter]:
    return list(inspect.signature(kind).parameters.values())
