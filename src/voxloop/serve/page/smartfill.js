// Smart fill: slices between drawn ones, from the server: by signed distances, or as the model says.

import { ask } from './api.js';
import { toast } from './status.js';
import { encode, overlap } from './voxels.js';

/** Fill the nearest gap between drawn slices, by "distance" to the outlines or by the "model". */
export async function smartFill(view, by = 'distance') {
  const { viewer, painter, region } = view;
  const { grid, axis, labels } = viewer;
  const drawn = [];
  for (let slice = Math.max(grid.start[axis], region.start[axis]);
    slice < Math.min(grid.stop[axis], region.stop[axis]); slice += 1) {
    if (view.touched(slice)) drawn.push(slice);
  }
  const away = ([low, high]) => Math.max(low - viewer.slice, viewer.slice - high, 0);
  const [gap] = drawn.slice(1).map((high, at) => [drawn[at], high])
    .filter(([low, high]) => high - low > 1).sort((one, other) => away(one) - away(other));
  if (!gap) {
    toast('Smart fill needs two drawn slices with at least one slice between them.');
    return;
  }
  const [below, above] = gap;
  const slab = (slice) => {
    const box = overlap(grid.box(), region);
    [box.start[axis], box.stop[axis]] = [slice, slice + 1];
    return encode(grid, labels, box);
  };
  const json = { axis, patches: [slab(below), slab(above)], by };
  const path = `cases/${encodeURIComponent(view.task.item.id)}/fill`;
  const { patches } = await ask(path, { method: 'POST', json });
  painter.take('smart fill', patches);
  toast(below + 2 === above ? `Filled slice ${above}.` : `Filled slices ${below + 2} to ${above}.`);
}
