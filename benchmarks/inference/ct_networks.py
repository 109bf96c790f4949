"""A full-size CT and networks for it: trained on pieces of its tissue, or of random weights."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from voxloop.compute.memory import GIB
from voxloop.dataset.annotation import Annotation, merge
from voxloop.io.formats import read_geometry, read_volume
from voxloop.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from voxloop.model.unet import UNet, build_network
from voxloop.plan.fingerprint import Fingerprint
from voxloop.plan.plan import Plan
from voxloop.plan.planner import make_plan
from voxloop.predict.engines.verify import sample_tile
from voxloop.train.config import TrainConfig
from voxloop.train.loop import train
from voxloop.train.prepare import AnnotatedCase, prepare_cases
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.resample import resample_linear
from voxloop.volume.volume import LabelMap, Volume

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from telling import Teller

SEED = 0
Weights = Literal["trained", "random", "undecided"]
_STEPS = 1000
_TISSUE_HU = 0.0
"""Above it lie muscle, organs, vessels and bone; below fat, air and lung."""

_CLEARER = 4.0
"""Random logits differ by about one, trained ones by several."""

_LABELLED = 0.05
"""Of a made-up tile; about what the liver or all bones fill of such a scan."""


def ct_scan(data: Path, shape: tuple[int, int, int]) -> Volume:
    """The shared CT at the wanted number of voxels; whole Hounsfield units."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(data / "dicom" / "chaos_ct_liver" / "DICOM_anon"))
    reader.SetFileNames(names)
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32)
    matrix = np.eye(4)
    directions = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, :3] = np.diag([-1, -1, 1]) @ directions  # from LPS to RAS
    matrix[:3, 3] = np.array([-1, -1, 1]) * image.GetOrigin()
    source = Geometry.from_affine(array.shape, matrix)
    spacing = np.array(source.spacing_mm) * source.shape / shape
    target = source.resampled((spacing[0], spacing[1], spacing[2]))
    values = np.rint(resample_linear(array, source, target)).astype(np.int16)
    return Volume(np.asfortranarray(values), target)


def ct_model(work: Path, labels: int, scan: Path, weights: Weights) -> Path:
    """The file of a model for such scans; only a trained one is kept from run to run."""
    path = work / f"model-{labels}-{weights}.safetensors"
    plan = ct_plan(read_geometry(scan), labels)
    if weights == "trained":
        if not path.exists():
            # which of many like pieces this is, nothing but its place tells
            plan = dataclasses.replace(plan, use_position=True)
            save_checkpoint(path, _trained(read_volume(scan), plan, work / f"training-{labels}"))
        return path
    network = seeded_network(plan)
    if weights == "random":
        decide(network, plan)
    save_checkpoint(path, Checkpoint(plan, network.state_dict(), {}))
    return path


def _trained(scan: Volume, plan: Plan, folder: Path) -> Checkpoint:
    """A network that has learned the pieces of this very scan."""
    label_map = LabelMap(
        tissue_pieces(scan.array, scan.geometry.spacing_mm, len(plan.labels)),
        scan.geometry,
        plan.table,
    )
    target = merge([Annotation.of_whole(label_map)], scan.geometry.shape, plan.table)
    case = AnnotatedCase("ct", lambda: (scan,), scan.geometry, target, "ct")
    config = TrainConfig(steps=_STEPS, seed=SEED)
    prepared = prepare_cases([case], plan, folder / "cache")
    return load_checkpoint(
        train(plan, prepared, config, folder, Teller(f"{len(plan.labels)} labels")).path
    )


def tissue_pieces(
    values: npt.NDArray[np.number], spacing_mm: tuple[float, float, float], pieces: int
) -> npt.NDArray[np.uint8]:
    """Tissue cut into compact pieces of about the same size, numbered from 1: k-means of places.

    Args:
        values: Hounsfield units.
        spacing_mm: of the voxels.
        pieces: how many, 255 at most.
    """
    from scipy import ndimage
    from scipy.cluster.vq import kmeans2
    from scipy.spatial import cKDTree

    smooth = ndimage.gaussian_filter(values.astype(np.float32), 2 / np.array(spacing_mm))
    inside = np.argwhere(smooth > _TISSUE_HU)
    places = inside * np.array(spacing_mm)
    some = places[:: max(1, len(places) // 20_000)]
    centres, _ = kmeans2(some, pieces, minit="++", seed=SEED)
    found = np.zeros(values.shape, np.uint8, order="F")
    found[tuple(inside.T)] = 1 + cKDTree(centres).query(places)[1]
    return found


def seeded_network(plan: Plan) -> UNet:
    """A network of random weights, the same in every run."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        return build_network(plan)


@torch.no_grad()
def decide(network: UNet, plan: Plan) -> None:
    """Make random logits clearer, and the background's the highest nearly everywhere."""
    network.head.weight.mul_(_CLEARER)
    if network.head.bias is not None:
        network.head.bias.mul_(_CLEARER)
        logits = network(torch.from_numpy(sample_tile(plan)))
        margin = logits[:, 1:].amax(dim=1) - logits[:, 0]
        background = network.head.bias.view(network.classes, -1)[0]
        background += torch.quantile(margin.flatten(), 1 - _LABELLED)


def ct_plan(geometry: Geometry, labels: int) -> Plan:
    """The plan that scans of this grid and so many labels get."""
    canonical = geometry.canonical()
    fingerprint = Fingerprint(
        cases=1,
        shape=canonical.shape,
        largest_shape=canonical.shape,
        spacing_mm=canonical.spacing_mm,
        is_ct=True,
        foreground_range=((-200.0, 300.0),),
        foreground_mean_sd=((50.0, 100.0),),
        annotated_vox=canonical.voxel_count,
        label_cases=dict.fromkeys(range(1, labels + 1), 1),
    )
    table = LabelTable({n: f"label {n}" for n in range(1, labels + 1)})
    return make_plan(fingerprint, table, ("CT",), 64 * GIB)
