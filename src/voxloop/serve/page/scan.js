// What a sitting loads: the part of a case around what is asked, never more than it needs.

import { ApiError, bytes } from './api.js';
import { labelsOn, header } from './nifti.js';

const SMALL_VOXELS = 4e6; // a case up to this size is loaded whole
const NEIGHBOURS = 4;
const MARGIN = 24;
const NOT_LOOKED_AT = 255;

/** The box to load for a region: neighbours across `axis`, a margin around a box within slices. */
export function windowFor(item, region, axis) {
  const voxels = item.shape.reduce((product, count) => product * count, 1);
  if (voxels <= SMALL_VOXELS) return { start: [0, 0, 0], stop: [...item.shape] };
  const reach = item.shape.map((count, d) => (d === axis ? NEIGHBOURS : MARGIN));
  return {
    start: region.start.map((first, d) => Math.max(0, first - reach[d])),
    stop: region.stop.map((last, d) => Math.min(item.shape[d], last + reach[d])),
  };
}

/** A window that also holds another box: wider where the server still sends it, else moved. */
export function windowWith(item, box, other, most) {
  const wide = {
    start: box.start.map((first, d) => Math.max(0, Math.min(first, other.start[d]))),
    stop: box.stop.map((last, d) => Math.min(item.shape[d], Math.max(last, other.stop[d]))),
  };
  const voxels = wide.stop.reduce((product, last, d) => product * (last - wide.start[d]), 1);
  return voxels <= most ? wide : null;
}

function parameters(box) {
  return { box: [...box.start, ...box.stop].join() };
}

async function labels(path, query, image) {
  try {
    const { buffer, sent, response } = await bytes(path, query);
    return { voxels: labelsOn(buffer, image), sent, response };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** Values of one map over those of another, where the first has any. */
function over(first, second) {
  if (!first || !second) return first || second;
  return first.map((value, at) => (value === NOT_LOOKED_AT ? second[at] : value));
}

/**
 * Image, known labels and proposal of a box; `etag` of what is known, for later. `again`: number of
 * a revision that no longer counts, and whose labels are shown all the same.
 */
export async function load(item, box, channel = 0) {
  const path = `cases/${encodeURIComponent(item.id)}`;
  const query = parameters(box);
  const imageSoon = bytes(`${path}/image`, { ...query, channel });
  const labelsSoon = imageSoon.then(({ buffer }) => Promise.all([
    labels(`${path}/annotation`, query, header(buffer)),
    item.has_proposal ? labels(`${path}/proposal`, query, header(buffer)) : null,
  ]));
  const image = await imageSoon;
  return {
    box,
    image: image.buffer,
    sent: image.sent,
    async labels(again) {
      const [known, proposal] = await labelsSoon;
      const old = again && await labels(`${path}/annotation`, { ...query, revision: again },
        header(image.buffer));
      return {
        known: over(old?.voxels, known?.voxels) || null,
        etag: known?.response.headers.get('ETag')?.replaceAll('"', '') || 'none',
        proposal: proposal?.voxels || null,
        proposed: proposal?.response.headers.get('X-Proposal') || null,
        sent: (known?.sent || 0) + (proposal?.sent || 0),
      };
    },
  };
}

/** The uncertainty of a box as a NIfTI file; null where no model has spoken yet. */
export async function uncertainty(item, box) {
  if (!item.has_uncertainty) return null;
  try {
    const path = `cases/${encodeURIComponent(item.id)}/uncertainty`;
    return (await bytes(path, parameters(box))).buffer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
