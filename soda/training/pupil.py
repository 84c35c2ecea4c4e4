"""A network that learns from a teacher beside the diffusion loss: its encoder's features are held to the teacher's vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from soda.common.seeds import seed_of
from soda.config import TrainConfig
from soda.model.batch import LossDraws, ViewBatch
from soda.model.encoder import encode_with_features, last_layer
from soda.model.network import SodaNetwork


class Pupil(nn.Module):
    """A network and the head that it shows what it has learnt with; the head is no part of the model that is kept.

    width: of the teacher's vectors. The head is linear, so that what the teacher knows lies open in the features (FitNets, Romero
    et al. 2015, arXiv 1412.6550, held by the cosine). z goes on to be made of them, and to be all that the denoiser sees.
    """

    def __init__(self, network: SodaNetwork, width: int, settings: TrainConfig) -> None:
        super().__init__()
        self.network, self.weight = network, settings.teacher.weight
        torch.manual_seed(seed_of("head", settings.seed))
        last = last_layer(network.encoder)
        self.head = nn.Linear(last.in_features if isinstance(last, nn.Linear) else network.latent_dim, width)
        self.distance = torch.zeros(())  # of the last batch: 1 - cosine, for the curves

    def forward(self, batch: ViewBatch, draws: LossDraws) -> Tensor:
        """The loss of the network and `weight` times 1 - cosine between head and lesson, both means over the batch.

        The lesson is of the picture as it is, the features of its view: what changes a view and not the picture is not learnt.
        """
        assert batch.lesson is not None
        cameras = None if batch.source_cameras is None else batch.source_cameras[:, 0]
        z, features = encode_with_features(self.network.encoder, batch.sources[:, 0], cameras)
        loss = self.network.loss(batch, draws, encoded=(z, None))
        distance = 1 - F.cosine_similarity(self.head(features).float(), batch.lesson.float(), dim=1).mean()
        self.distance = distance.detach()
        return loss + self.weight * distance
