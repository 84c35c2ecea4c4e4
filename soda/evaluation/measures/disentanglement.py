"""How far single components of z stand for single factors, beside other representations of as many components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soda.evaluation.registry import Beside, Figure, Measure, Quantity, Row, Table

if TYPE_CHECKING:
    from torch import nn

    from soda.evaluation.context import EvaluationContext

SCORES = {
    "dci_d": "Disentanglement",
    "dci_c": "Completeness",
    "dci_i": "Informativeness",
    "modularity": "Modularity",
    "explicitness": "Explicitness",
}
BASELINES = {"pca": "PCA of pixels", "random": "Untrained encoder", "beta_vae": "beta-VAE, same encoder, as many operations"}


def compute(context: EvaluationContext) -> dict[str, Any]:
    """DCI, modularity and explicitness of z, of PCA of pixels, of the untrained encoder and of a beta-VAE."""
    import torch

    from soda.evaluation.disentanglement.dci import FactorData
    from soda.evaluation.disentanglement.dci_forest import disentanglement
    from soda.viz.charts import disentanglement_bars

    if (scene := context.scene) is None:
        return {}
    names, most = [name for name in scene.names if (scene.factors.codes["train"][name] >= 0).any()], context.config.dci_images
    if len(names) < 2:
        return {"notes": [f"No disentanglement: it takes two known factors, and there is {len(names)}."]}
    sets = {
        "SODA": scene.z,
        "pca": scene.pixel_components(context.model.latent_dim),
        "random": scene.encoded(context.untrained[0]),
    }
    vae, seen = _beta_vae(context)
    if vae is not None:
        sets["beta_vae"] = scene.encoded(vae)
    codes = {split: {name: scene.factors.codes[split][name][:most] for name in names} for split in scene.samples}
    scores = {}
    for title, latents in sets.items():
        x = {split: values[:most].double().numpy() for split, values in latents.items()}
        scores[title] = disentanglement(FactorData(x, codes), seed=context.config.seed, jobs=torch.get_num_threads())
    table = {title: {key: getattr(found, key) for key in SCORES} for title, found in scores.items()}
    disentanglement_bars(table, "SODA", context.folder / "disentanglement.png")
    counts = tuple(min(most, len(scene.z[split])) for split in ("train", "test"))
    notes = _notes(context, len(names), counts, seen)
    return {**table.pop("SODA"), "by_factor": scores["SODA"].accuracy, "baselines": table, "notes": notes}


def _beta_vae(context: EvaluationContext) -> tuple[nn.Module | None, int]:
    """The encoder of a beta-VAE, and the images that it trained on; none where the settings give it no share."""
    from soda.evaluation.baselines.beta_vae import images_of_equal_compute, train_beta_vae

    config, trained, train = context.config, context.trained, context.samples["train"]
    if not config.vae_share:
        return None, 0
    images = images_of_equal_compute(trained, config.vae_share)
    beta, device = config.vae_beta, context.device
    return train_beta_vae(trained, train, images=images, beta=beta, device=device, keeping=context.keeping), images


def _notes(context: EvaluationContext, factors: int, counts: tuple[int, ...], seen: int) -> list[str]:
    from soda.evaluation.disentanglement.dci_forest import DEPTHS, TREES
    from soda.evaluation.disentanglement.information import BINS

    config = context.config
    return [
        f"DCI after Eastwood & Williams (2018): one random forest of {TREES} trees for each of {factors} factors, all components "
        f"tried at every split, depth of {', '.join(map(str, DEPTHS))} chosen on validation, importance by mean decrease in "
        f"impurity; {counts[0]:,} training and {counts[1]:,} test pictures; dci_i is accuracy on test, mean over factors. "
        f"Modularity and explicitness after Ridgeway & Mozer (2018): mutual information over {BINS} bins; area under the ROC of "
        "one-against-all logistic regressions (.5 is chance).",
        f"Baselines of {context.model.latent_dim} components each: principal components of the pixels, the untrained encoder"
        + (
            f", and the means of a beta-VAE (beta {config.vae_beta:g}) of the same encoder, on {seen:,} pictures: "
            f"{config.vae_share:g} times the operations of the model's training."
            if seen
            else "; no beta-VAE (evaluate.vae_share is 0)."
        ),
    ]


def _beside(key: str) -> Beside:
    return tuple((f"baselines.{name}.{key}", words) for name, words in BASELINES.items())


MEASURE = Measure(
    key="disentanglement",
    title="Disentanglement",
    place=90,
    compute=compute,
    quantities=(
        *(Quantity(key, title, "{:.3f}", "higher", baselines=_beside(key)) for key, title in SCORES.items()),
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
        ),
    ),
)
