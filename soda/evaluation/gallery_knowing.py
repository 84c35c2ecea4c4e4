"""Groups of metrics of what z knows: sections by factor, and disentanglement beside its baselines."""

from __future__ import annotations

from typing import Any

import torch

from soda.evaluation.beta_vae import images_of_equal_compute, train_beta_vae
from soda.evaluation.disentanglement import BINS, DEPTHS, TREES, FactorData, disentanglement
from soda.evaluation.gallery_figures import disentanglement_bars, section_matrix
from soda.evaluation.gallery_scene import FactorScene
from soda.evaluation.sections import MAX_TRAIN, probe_factor, section_probes

PIXEL_COMPONENTS = 256  # of the pixel probes: nearly all of the variance, at a tenth of the cost
COMMON = 4  # factors whose probes stand beside those of pixels and of the untrained encoder

Metrics = dict[str, Any]


def section_group(scene: FactorScene) -> Metrics:
    """How well each section, and z, tell each factor; for the commonest ones beside pixels and the untrained encoder."""
    model, factors = scene.subject.model, scene.factors
    divisible = model.latent_dim % model.sections == 0
    l2 = scene.config.probe_l2[::2]  # dozens of probes: half of the candidates
    probes = section_probes(scene.z, factors, scene.names, model.sections if divisible else 1, l2)
    section_matrix(probes, scene.folder / "section_factors.png")
    by_factor: Metrics = {}
    for k, name in enumerate(scene.names):
        by_factor[name] = {"linear_top1": float(probes.whole[k]), "majority_top1": float(probes.majority[k])}
        by_factor[name] |= {f"section_{s}": float(row[k]) for s, row in enumerate(probes.by_section)}
    raw, random = scene.pixel_components(PIXEL_COMPONENTS), scene.encoded(scene.subject.untrained)
    for name in scene.names[:COMMON]:
        by_factor[name]["pixels_linear_top1"] = probe_factor(raw, factors, name, l2)
        by_factor[name]["random_linear_top1"] = probe_factor(random, factors, name, l2)
    spread = float((probes.lift.max(0) - probes.lift.min(0)).mean())
    notes = [
        "The linear probe of the labels, on each of the known factors: from every section alone, from all of z, and for the "
        f"{COMMON} commonest factors from the first {PIXEL_COMPONENTS} principal components of the pixels and from the untrained "
        f"encoder; at most {MAX_TRAIN:,} training pictures, every second candidate of the L2. Section 0 is the finest.",
        "section_spread: best section minus worst, of the way from always naming the commonest value to all right, mean over "
        "factors; 0 when all sections know the same.",
    ]
    if not model.denoiser.layer_modulation:
        notes.append("The model was trained without layer modulation: its sections are arbitrary parts of z.")
    return {"by_factor": by_factor, "section_spread": spread, "notes": notes}


def disentanglement_group(scene: FactorScene) -> Metrics:
    """DCI, modularity and explicitness of z, of PCA of pixels, of the untrained encoder and of a beta-VAE."""
    subject, config = scene.subject, scene.config
    names = [name for name in scene.names if (scene.factors.codes["train"][name] >= 0).any()]
    if len(names) < 2:
        return {"notes": [f"No disentanglement: it takes two known factors, and there is {len(names)}."]}
    dim = subject.model.latent_dim
    sets = {"SODA": scene.z, "pca": scene.pixel_components(dim), "random": scene.encoded(subject.untrained)}
    seen = images_of_equal_compute(subject.trained, config.vae_share) if config.vae_share else 0
    if seen:
        vae = train_beta_vae(
            subject.trained,
            subject.samples["train"],
            images=seen,
            beta=config.vae_beta,
            device=subject.device,
            keeping=subject.keeping,
        )
        sets["beta_vae"] = scene.encoded(vae)
    codes = {split: {name: scene.factors.codes[split][name][: config.dci_images] for name in names} for split in scene.positions}
    scores = {}
    for title, latents in sets.items():
        x = {split: values[: config.dci_images].double().numpy() for split, values in latents.items()}
        scores[title] = disentanglement(FactorData(x, codes), seed=config.seed, jobs=torch.get_num_threads())
    table = {
        title: {key: getattr(found, key) for key in ("dci_d", "dci_c", "dci_i", "modularity", "explicitness")}
        for title, found in scores.items()
    }
    disentanglement_bars(table, "SODA", scene.folder / "disentanglement.png")
    notes = [
        f"DCI after Eastwood & Williams (2018): one random forest of {TREES} trees for each of {len(names)} factors, all "
        f"components tried at every split, depth of {', '.join(map(str, DEPTHS))} chosen on validation, importance by mean "
        f"decrease in impurity; {min(config.dci_images, len(scene.z['train'])):,} training and "
        f"{min(config.dci_images, len(scene.z['test'])):,} test pictures; dci_i is accuracy on test, mean over factors. "
        f"Modularity and explicitness after Ridgeway & Mozer (2018): mutual information over {BINS} bins; area under the ROC of "
        "one-against-all logistic regressions (.5 is chance).",
        f"Baselines of {dim} components each: principal components of the pixels, the untrained encoder"
        + (
            f", and the means of a beta-VAE (beta {config.vae_beta:g}) of the same encoder, on {seen:,} pictures: "
            f"{config.vae_share:g} times the operations of the model's training."
            if seen
            else "; no beta-VAE (evaluate.vae_share is 0)."
        ),
    ]
    return {
        **table.pop("SODA"),
        "by_factor": scores["SODA"].accuracy,
        "baselines": table,
        "notes": notes,
    }
