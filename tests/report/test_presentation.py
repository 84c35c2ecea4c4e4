"""The gallery's tables on the report's page: what was measured, beside its baselines, and nothing else."""

from __future__ import annotations

from soda.report.gallery import gallery_tables
from soda.report.parts import Parts


def test_tables_show_what_there_is() -> None:
    scores = {"dci_d": 0.5, "dci_c": 0.25, "dci_i": 0.9, "modularity": 0.8, "explicitness": 0.95}
    metrics = {
        "reconstruction": {"psnr": 20.0, "psnr@10": 20.5, "ssim@10": 0.8, "lpips_like@10": 0.1, "exact_psnr@100": 35.0},
        "mix": {"style_accuracy": 0.8, "content_retrieval": 0.5, "content_chance": 0.01, "style_accuracy_style_alone": 0.9},
        "sections": {"by_factor": {"hair": {"linear_top1": 0.9, "majority_top1": 0.2}}},
        "attributes": {"best_match": {"hair": {"direction": 3, "score": 0.7, "others": 0.1, "random_score": 0.3}}},
        "disentanglement": {**scores, "baselines": {"pca": {"dci_d": 0.1}}},
    }
    tables = {table.section: table for table in gallery_tables(Parts(metrics))}
    assert tables["reconstruction"].rows == [
        ["z alone, 10 steps", "20.5", "0.8", "0.1", "–"],
        ["z and inverted noise, 100 steps", "35", "–", "–", "–"],
    ]
    assert tables["mix"].rows[0] == ["Mixes", "80.0%", "50.0%"]
    assert tables["mix"].rows[-1] == ["Chance", "–", "1.0%"]
    assert tables["sections"].rows == [["hair", "90.0%", "–", "–", "20.0%"]]
    assert tables["attributes"].rows == [["hair", "3", "70.0%", "10.0%", "30.0%", "–"]]
    assert tables["disentanglement"].rows == [
        ["SODA latent", "0.500", "0.250", "0.900", "0.800", "0.950"],
        ["PCA of pixels", "0.100", "–", "–", "–", "–"],
    ]
    assert tables["disentanglement"].ours == {0}
    for table in tables.values():
        assert all(len(row) == len(table.headings) for row in table.rows)


def test_nothing_measured_gives_no_table() -> None:
    assert gallery_tables(Parts({})) == []
    assert gallery_tables(Parts({"mix": {}, "reconstruction": {"psnr": 20.0}})) == []
