"""GLB (binary glTF 2.0): what telephones, headsets and web pages show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import write_bytes
from voxloop.mesh.colour_scale import ColourScale
from voxloop.mesh.formats.written import Written
from voxloop.mesh.part import Part, checked_parts

__all__ = ["write_glb"]

Array = npt.NDArray[Any]

_AXES = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
"""Rows: glTF's x, y, z in RAS. The head is up (+Y) and the patient looks at the viewer (+Z), so
that the patient's left is at the viewer's right, as across a table. A rotation: its determinant
is +1, so that left stays left."""

_METRES = 0.001
_FLOAT, _SHORT, _INT, _BYTE = 5126, 5123, 5125, 5121
_VERTICES, _INDICES = 34962, 34963


def write_glb(path: Path, parts: Sequence[Part]) -> Written:
    """Write a GLB in metres with +Y up, one node per part, atomically.

    The model stands on the ground (y = 0) around the vertical axis, where a viewer puts it on a
    table; `to_world` leads back to the scan. Colours are those of the parts, or of the values
    per vertex where there are any; the format wants them linear, so they are taken out of sRGB.

    Raises:
        UsageError: if there are no parts.
        StorageError: if the disk refuses; what was there before is unchanged.
    """
    chosen = checked_parts(parts)
    from_world = _from_world(chosen)
    scale = ColourScale.of_parts(chosen)
    names = tuple(part.name for part in chosen)
    document = _Document()
    for part in chosen:
        document.add(part, from_world, scale)
    write_bytes(path, document.to_bytes())
    to_world = np.asarray(np.linalg.inv(from_world), dtype=np.float64)
    return Written((path,), "GLB", "m", "Y up", to_world, names, scale)


def _from_world(parts: tuple[Part, ...]) -> npt.NDArray[np.float64]:
    bounds = np.array([part.mesh.bounds_mm for part in parts])
    low, high = bounds[:, 0].min(axis=0), bounds[:, 1].max(axis=0)
    ground = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]]
    matrix = np.eye(4)
    matrix[:3, :3] = _METRES * _AXES
    matrix[:3, 3] = -matrix[:3, :3] @ np.array(ground)
    return matrix


class _Document:
    """A glTF asset under construction: its JSON tables and its one buffer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []
        self._nodes: list[dict[str, Any]] = []
        self._meshes: list[dict[str, Any]] = []
        self._materials: list[dict[str, Any]] = []

    def add(
        self, part: Part, from_world: npt.NDArray[np.float64], scale: ColourScale | None
    ) -> None:
        """Append a part as a node with a mesh and a material of its own."""
        used, faces = np.unique(part.mesh.faces, return_inverse=True)
        places = part.mesh.vertices_mm[used] @ from_world[:3, :3].T + from_world[:3, 3]
        attributes = {
            "POSITION": self._accessor(places.astype("<f4"), "VEC3", _FLOAT, bounds=True),
            "NORMAL": self._accessor(_unit(part.mesh.vertex_normals[used]), "VEC3", _FLOAT),
        }
        colour = [*_linear(np.array(part.colour)).tolist(), 1.0]
        if scale is not None and part.values is not None:
            shades = np.full((len(used), 4), 255, dtype=np.uint8)
            shades[:, :3] = np.rint(255 * _linear(scale.rgb(part.values[used])))
            attributes["COLOR_0"] = self._accessor(shades, "VEC4", _BYTE, normalized=True)
            colour = [1.0, 1.0, 1.0, 1.0]  # the two are multiplied
        # the highest short means "start anew" to graphics cards
        kind, dtype = (_SHORT, "<u2") if len(used) < 65535 else (_INT, "<u4")
        corners = faces.astype(dtype).reshape(-1)
        number = len(self._meshes)
        primitive = {
            "attributes": attributes,
            "indices": self._accessor(corners, "SCALAR", kind, target=_INDICES),
            "material": number,
            "mode": 4,
        }
        surface = {"baseColorFactor": colour, "metallicFactor": 0.0, "roughnessFactor": 0.6}
        self._meshes.append({"name": part.name, "primitives": [primitive]})
        self._materials.append({"name": part.name, "pbrMetallicRoughness": surface})
        self._nodes.append({"name": part.name, "mesh": number})

    def to_bytes(self) -> bytes:
        """The file: a header, the JSON chunk, the binary chunk."""
        document = {
            "asset": {"version": "2.0", "generator": "Voxloop"},
            "scene": 0,
            "scenes": [{"nodes": list(range(len(self._nodes)))}],
            "nodes": self._nodes,
            "meshes": self._meshes,
            "materials": self._materials,
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [{"byteLength": len(self._buffer)}],
        }
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        words = np.array(
            [0x46546C67, 2, 28 + len(text) + len(self._buffer), len(text), 0x4E4F534A], dtype="<u4"
        )
        binary = np.array([len(self._buffer), 0x004E4942], dtype="<u4")
        return words.tobytes() + text + binary.tobytes() + bytes(self._buffer)

    def _accessor(
        self,
        array: Array,
        shape: str,
        kind: int,
        *,
        target: int = _VERTICES,
        bounds: bool = False,
        normalized: bool = False,
    ) -> int:
        content = np.ascontiguousarray(array).tobytes()
        self._views.append(
            {
                "buffer": 0,
                "byteOffset": len(self._buffer),
                "byteLength": len(content),
                "target": target,
            }
        )
        self._buffer += content + b"\0" * (-len(content) % 4)
        accessor: dict[str, Any] = {
            "bufferView": len(self._views) - 1,
            "componentType": kind,
            "count": len(array),
            "type": shape,
        }
        if bounds:
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        if normalized:
            accessor["normalized"] = True
        self._accessors.append(accessor)
        return len(self._accessors) - 1


def _unit(normals: npt.NDArray[np.float64]) -> Array:
    turned = normals @ _AXES.T
    lengths = np.linalg.norm(turned, axis=1, keepdims=True)
    # a vertex of faces without area has no normal, but the format wants one
    return np.where(lengths > 0.5, turned, [0.0, 1.0, 0.0]).astype("<f4")


def _linear(levels: Array) -> npt.NDArray[np.float64]:
    """Levels 0 to 255 in sRGB as linear light 0 to 1 (IEC 61966-2-1)."""
    share = np.asarray(levels, dtype=np.float64) / 255
    return np.asarray(np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4))
