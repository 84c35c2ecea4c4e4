"""How far single components of z stand for single factors, beside other representations of as many components."""

from __future__ import annotations

from soda.evaluation.registry import Figure, Measure, Quantity, Row, Table

SCORES = {
    "dci_d": "Disentanglement",
    "dci_c": "Completeness",
    "dci_i": "Informativeness",
    "modularity": "Modularity",
    "explicitness": "Explicitness",
}
BASELINES = {
    "pca": "PCA of pixels",
    "random": "Untrained encoder",
    "beta_vae": "beta-VAE, same encoder, as many operations",
}

MEASURE = Measure(
    key="disentanglement",
    title="Disentanglement",
    place=90,
    quantities=(
        *(
            Quantity(
                key,
                title,
                "{:.3f}",
                "higher",
                baselines=tuple((f"baselines.{name}.{key}", words) for name, words in BASELINES.items()),
            )
            for key, title in SCORES.items()
        ),
        *(Quantity(f"baselines.*.{key}", f"{title}: {{}}", "{:.3f}", "higher") for key, title in SCORES.items()),
        Quantity("by_factor.*", "Informativeness about {}", "{:.3f}", "higher"),
    ),
    tables=(
        Table(
            "Disentanglement",
            ("Representation", *SCORES.values()),
            (
                Row("SODA latent", tuple(SCORES), ours=True),
                *(Row(title, tuple(f"baselines.{name}.{key}" for key in SCORES)) for name, title in BASELINES.items()),
            ),
        ),
    ),
    figures=(
        Figure(
            "disentanglement",
            "Disentanglement",
            "How far single components of the latent stand for single factors, beside other representations of as many "
            "components.",
            (
                ("DCI disentanglement", "dci_d"),
                ("PCA of pixels", "baselines.pca.dci_d"),
                ("untrained encoder", "baselines.random.dci_d"),
                ("beta-VAE", "baselines.beta_vae.dci_d"),
            ),
            chart=True,
            shipped=True,
        ),
    ),
)
