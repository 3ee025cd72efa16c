"""The search table: seeds are joined, outcomes are told apart, the best comes first."""

from __future__ import annotations

from parsimony.report import figures, search
from parsimony.report.schema import Result


def test_seeds_of_one_setting_share_a_line(result_json) -> None:
    result = Result.model_validate(result_json)
    steps = search.steps(result)
    assert len(steps) == 12 + 6 + 6
    final = [step for step in steps if step.rung == 2]
    assert [step.seeds for step in final] == [[0, 1, 2]] * 6
    trials = [t.validation for t in result.trials if t.rung == 2 and t.candidate == "ia3"]
    mean = next(step.validation for step in final if step.candidate == "ia3")
    assert mean is not None
    assert abs(mean - sum(v for v in trials if v is not None) / 3) < 1e-12


def test_outcomes(result_json) -> None:
    steps = search.steps(Result.model_validate(result_json))
    assert {step.state for step in steps if step.rung == 1} == {"promoted"}
    assert {step.state for step in steps if step.rung == 2} == {"finalist"}
    assert [step.state for step in steps if step.rung == 0].count("stopped") == 6


def test_rungs_count_settings_and_promotions(result_json) -> None:
    rungs = search.rungs(search.steps(Result.model_validate(result_json)))
    assert [(r.rung, r.settings, r.steps, r.promoted) for r in rungs] == [
        (0, 12, "30", 6),
        (1, 6, "120", 6),
        (2, 6, "480", 0),
    ]


def test_the_best_of_a_rung_comes_first_in_either_direction(result_json) -> None:
    for higher in (True, False):
        result_json["metric"]["higher_is_better"] = higher
        result_json["trials"][0]["validation"] = None
        steps = [s for s in search.steps(Result.model_validate(result_json)) if s.rung == 0]
        assert steps[-1].validation is None
        values = [s.validation for s in steps[:-1]]
        assert values == sorted(values, reverse=higher)


def test_a_finalist_has_the_settings_of_its_row(result_json) -> None:
    result = Result.model_validate(result_json)
    first, slower = result.trials[0], result.trials[1]
    assert first.candidate == slower.candidate
    assert figures.is_finalist(result, first)
    assert not figures.is_finalist(result, slower)


def test_the_recommended_candidate_has_the_first_colour(result_json) -> None:
    series = figures.series(Result.model_validate(result_json))
    assert series["lora r=4"] == 0
    assert sorted(series.values()) == list(range(6))
