"""The project's own suites on small tables: what passes, and what each of them refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gates.gate_builders import check_project_suite
from recsys.errors import GateRefused

RELEVANCES = ("", "_type_gender", "_type_colour", "_type_gender_colour")
MODEL = {
    "accuracy": 0.9,
    "precision_at_10": 0.8,
    "ndcg_over_chance": 0.7,
    "ndcg_over_chance_type_gender_colour": 0.2,
    **{f"ndcg_at_10{suffix}_change": 0.0 for suffix in RELEVANCES},
    **{f"ndcg_at_10{suffix}_change_high": 0.0 for suffix in RELEVANCES},
    "embedding_nan_share": 0.0,
    "embedding_norm_error": 1e-6,
    "collapsed_dimension_share": 0.0,
    "effective_rank": 40.0,
    "duplicate_max_distance": 0.0,
    "parity_max_difference": 1e-5,
    "exposure_coverage_of_chance": 0.9,
    "largest_hub_share": 0.01,
    "least_exposed_segment_ratio": 0.9,
}
SLICE = {
    "slice": "articleType=Watches",
    "queries": 200,
    "ndcg_at_10": 0.7,
    "large_ndcg_at_10": 0.7,
    "change": 0.0,
    "change_low": -0.05,
    "change_high": 0.05,
}
MODEL_PROBES = {
    "parity_batch": 6e-7,
    "parity_single": 6e-7,
    "parity_from_bytes": 6e-7,
    "least_label_recall_high": 0.8,
    "kept_png": 1.0,
    "kept_webp": 1.0,
    "kept_jpeg_95": 0.9,
    "kept_larger": 0.85,
    "kept_shift": 0.5,
    "changed_another_product": 0.0,
    "changed_blank": 0.0,
    "jpeg_50_overlap_at_10": 0.73,
    "jpeg_20_overlap_at_10": 0.41,
    "blur_1_overlap_at_10": 0.56,
    "blur_2_overlap_at_10": 0.22,
    "rotation_5_overlap_at_10": 0.53,
    "rotation_10_overlap_at_10": 0.28,
    "brightness_125_overlap_at_10": 0.42,
    "noise_8_overlap_at_10": 0.28,
    "crop_90_overlap_at_10": 0.16,
    "least_precision_kept": 0.23,
    "fgsm_2_accuracy": 0.44,
    "model_bytes": 1.3e6,
    "multiply_adds": 1.8e7,
    "encode_within_budget": True,
}
SELECTIVITIES = ("10_percent", "1_percent", "0_1_percent", "5_items")
INDEX = {
    "recall_at_10": 1.0,
    **{f"recall_at_10_of_{name}": 1.0 for name in SELECTIVITIES},
    "rows_share": 1.0,
    "dimension_matches": 1,
    "self_found_share": 1.0,
}
SERVICE = {
    "requests": 0,
    "error_share": 0.0,
    "rejected_share": 0.0,
    "empty_share": 0.0,
    "p50_ms": 0.0,
    "p99_ms": 0.0,
}
PROBE = {
    "product_id": "1",
    "status_code": 200,
    "release_matches": True,
    "results": 10,
    "top_score": 0.98,
    "self_returned": False,
}
ROLLBACK = {"precision_at_10_gain": 0.01, "rolled_back_from": False}


@pytest.mark.parametrize(
    ("suite", "good", "changes"),
    [
        ("model", MODEL, {"accuracy": 0.49}),
        ("model", MODEL, {"precision_at_10": 0.3}),
        ("model", MODEL, {"ndcg_over_chance": 0.29}),
        ("model", MODEL, {"ndcg_over_chance_type_gender_colour": 0.04}),
        *(("model", MODEL, {f"ndcg_at_10{item}_change": -0.11}) for item in RELEVANCES),
        *(("model", MODEL, {f"ndcg_at_10{item}_change_high": -0.011}) for item in RELEVANCES),
        ("model", MODEL, {"ndcg_at_10_change": float("nan")}),
        ("model", MODEL, {"embedding_nan_share": 0.001}),
        ("model", MODEL, {"collapsed_dimension_share": 0.6}),
        ("model", MODEL, {"effective_rank": 2.5}),
        ("model", MODEL, {"duplicate_max_distance": 0.1}),
        ("model", MODEL, {"embedding_norm_error": float("nan")}),
        ("model", MODEL, {"parity_max_difference": 0.01}),
        ("model_slices", SLICE, {"change_high": -0.11}),
        ("model_slices", SLICE, {"change_high": float("nan")}),
        ("model_slices", SLICE, {"large_ndcg_at_10": 0.19}),
        ("model_probes", MODEL_PROBES, {"parity_batch": 0.01}),
        ("model_probes", MODEL_PROBES, {"parity_single": float("inf")}),
        ("model_probes", MODEL_PROBES, {"parity_from_bytes": float("nan")}),
        ("model_probes", MODEL_PROBES, {"least_label_recall_high": 0.11}),
        ("model_probes", MODEL_PROBES, {"kept_png": 0.99}),
        ("model_probes", MODEL_PROBES, {"kept_webp": 0.99}),
        ("model_probes", MODEL_PROBES, {"kept_jpeg_95": 0.6}),
        ("model_probes", MODEL_PROBES, {"kept_larger": 0.5}),
        ("model_probes", MODEL_PROBES, {"kept_shift": 0.1}),
        ("model_probes", MODEL_PROBES, {"changed_another_product": 0.3}),
        ("model_probes", MODEL_PROBES, {"changed_blank": 0.6}),
        ("model_probes", MODEL_PROBES, {"jpeg_50_overlap_at_10": 0.3}),
        ("model_probes", MODEL_PROBES, {"blur_1_overlap_at_10": 0.2}),
        ("model_probes", MODEL_PROBES, {"rotation_5_overlap_at_10": 0.2}),
        ("model_probes", MODEL_PROBES, {"brightness_125_overlap_at_10": 0.1}),
        ("model_probes", MODEL_PROBES, {"model_bytes": 6e7}),
        ("model_probes", MODEL_PROBES, {"multiply_adds": 6e8}),
        ("model_probes", MODEL_PROBES, {"encode_within_budget": False}),
        ("index", INDEX, {"recall_at_10": 0.98}),
        *(("index", INDEX, {f"recall_at_10_of_{name}": 0.98}) for name in SELECTIVITIES),
        ("index", INDEX, {"rows_share": 0.999}),
        ("index", INDEX, {"dimension_matches": 0}),
        ("service", SERVICE, {"error_share": 0.06}),
        ("service", SERVICE, {"empty_share": 0.06}),
        ("deployment", PROBE, {"status_code": 500}),
        ("deployment", PROBE, {"release_matches": False}),
        ("deployment", PROBE, {"results": 0, "top_score": None}),
        ("deployment", PROBE, {"top_score": 1.01}),
        ("deployment", PROBE, {"self_returned": True}),
        ("rollback", ROLLBACK, {"precision_at_10_gain": 0.0}),
        ("rollback", ROLLBACK, {"precision_at_10_gain": float("nan")}),
        ("rollback", ROLLBACK, {"rolled_back_from": True}),
    ],
)
def test_one_bad_figure_is_refused(
    tmp_path: Path, suite: str, good: dict[str, Any], changes: dict[str, Any]
) -> None:
    with pytest.raises(GateRefused) as refusal:
        check_project_suite(tmp_path, suite, pd.DataFrame([{**good, **changes}]))
    assert next(iter(changes)) in str(refusal.value)


@pytest.mark.parametrize(
    ("suite", "good"),
    [
        ("model", MODEL),
        ("model_slices", SLICE),
        ("model_probes", MODEL_PROBES),
        ("index", INDEX),
        ("service", SERVICE),
        ("deployment", PROBE),
        ("rollback", ROLLBACK),
    ],
)
def test_good_figures_pass_without_a_warning(
    tmp_path: Path, suite: str, good: dict[str, Any]
) -> None:
    assert check_project_suite(tmp_path, suite, pd.DataFrame([good])).failures == ()


def test_a_slow_hour_is_told_but_passes(tmp_path: Path) -> None:
    table = pd.DataFrame([{**SERVICE, "requests": 7, "p99_ms": 1500.0, "rejected_share": 0.6}])
    failures = check_project_suite(tmp_path, "service", table).failures
    assert {failure.column for failure in failures} == {"p99_ms", "rejected_share"}
    assert {failure.severity for failure in failures} == {"warning"}


def test_one_collapsed_slice_among_many_is_refused(tmp_path: Path) -> None:
    table = pd.DataFrame([SLICE] * 50 + [{**SLICE, "change_high": -0.2}])
    with pytest.raises(GateRefused, match="change_high"):
        check_project_suite(tmp_path, "model_slices", table)


def test_hubs_and_hidden_segments_are_told_but_pass(tmp_path: Path) -> None:
    biased = {
        "exposure_coverage_of_chance": 0.4,
        "largest_hub_share": 0.3,
        "least_exposed_segment_ratio": 0.4,
    }
    failures = check_project_suite(tmp_path, "model", pd.DataFrame([{**MODEL, **biased}])).failures
    assert {failure.column for failure in failures} == set(biased)


@pytest.mark.parametrize(
    "column",
    [
        "noise_8_overlap_at_10",
        "crop_90_overlap_at_10",
        "jpeg_20_overlap_at_10",
        "rotation_10_overlap_at_10",
        "blur_2_overlap_at_10",
        "least_precision_kept",
        "fgsm_2_accuracy",
    ],
)
def test_what_no_model_bears_well_is_told_but_passes(tmp_path: Path, column: str) -> None:
    table = pd.DataFrame([{**MODEL_PROBES, column: 0.0}])
    (failure,) = check_project_suite(tmp_path, "model_probes", table).failures
    assert (failure.column, failure.severity) == (column, "warning")


def test_one_bad_probe_among_good_ones_is_refused(tmp_path: Path) -> None:
    table = pd.DataFrame([PROBE, {**PROBE, "results": 0, "top_score": None}])
    with pytest.raises(GateRefused, match="top_score"):
        check_project_suite(tmp_path, "deployment", table)


def test_a_deployment_that_was_asked_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateRefused):
        check_project_suite(tmp_path, "deployment", pd.DataFrame([PROBE]).head(0))


def test_figures_without_a_needed_column_are_refused(tmp_path: Path) -> None:
    table = pd.DataFrame([MODEL]).drop(columns="ndcg_at_10_change")
    with pytest.raises(GateRefused, match="no column ndcg_at_10_change"):
        check_project_suite(tmp_path, "model", table)
