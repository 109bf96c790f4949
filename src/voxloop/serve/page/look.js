// Look at a delivery without being able to change it: for reviews.

import { ask, bytes } from './api.js';
import { el, facts, when } from './dom.js';
import { watchKeys } from './keys.js';
import { labelsOn, header } from './nifti.js';
import { Painter } from './painter.js';
import { judge, verdict } from './review.js';
import { windowFor } from './scan.js';

/** One revision over its image, at the slices that it labels. */
export async function lookPage(app, id, number) {
  const path = `cases/${encodeURIComponent(id)}`;
  const [item, { revisions }] = await Promise.all([ask(path), ask(`${path}/revisions`)]);
  const revision = revisions.find((one) => one.number === number);
  if (!revision) return el('p', {}, 'There is no such revision.');
  const { viewer, stage: { node: stage } } = app.desk;
  const slider = el('input', { type: 'range', id: 'slice' });
  const words = el('output', { for: 'slice' });
  const node = el('section', { class: 'annotate looking' },
    el('div', { class: 'centre' }, stage, el('div', { class: 'slider' },
      el('label', { for: 'slice' }, 'Slice ', words), slider)),
    el('aside', { class: 'about' }, el('h1', {}, `${id}, revision ${number}`),
      facts([['Author', revision.author], ['When', when(revision.created)], ['Tool', revision.tool],
        ['Seconds', revision.seconds && String(Math.round(revision.seconds))]]),
      verdict(revision.review) || (revision.active
        ? judge(app, revision, () => { location.hash = '#/review'; })
        : el('p', {}, 'It was taken back and does not count.')),
      el('p', {}, el('a', { href: '#/review' }, 'To the reviews'))));
  app.onLeave(() => viewer.close());
  return { node, after: () => show(app, { viewer, item, revision, slider, words, path }) };
}

async function show(app, { viewer, item, revision, slider, words, path }) {
  await app.desk.attached();
  const axis = item.slice_axis;
  const box = revision.coverage?.box || await labelledBox(path, item, revision.number);
  const region = windowFor(item, box, axis);
  const query = { box: [...region.start, ...region.stop].join() };
  const image = await bytes(`${path}/image`, query);
  const labels = await bytes(`${path}/annotation`, { ...query, revision: revision.number });
  await viewer.open(image.buffer, region.start, axis);
  viewer.setColours(Object.fromEntries(app.server.labels.map((label) => [label.value, label.colour])));
  const values = labelsOn(labels.buffer, header(image.buffer));
  const { stride, origin } = viewer.grid.strides();
  const [a, b] = viewer.grid.size;
  values.forEach((value, at) => {
    const place = origin + (at % a) * stride[0] + (Math.floor(at / a) % b) * stride[1]
      + Math.floor(at / (a * b)) * stride[2];
    viewer.labels[place] = value === 255 ? 0 : value;
  });
  viewer.uploadAll();
  viewer.setOpacity(0.4);
  [slider.min, slider.max] = [region.start[axis], region.stop[axis] - 1];
  const go = (slice) => {
    viewer.show(slice);
    slider.value = viewer.slice;
    words.textContent = `${viewer.slice + 1} of ${item.shape[axis]}`;
  };
  slider.addEventListener('input', () => go(Number(slider.value)));
  app.onLeave(watchKeys((action) => {
    const step = { next: 1, previous: -1 }[action];
    if (step) go(viewer.slice + step);
    return Boolean(step);
  }));
  const painter = new Painter({ viewer, free: true, save: () => {}, say: () => {},
    region: { start: [0, 0, 0], stop: item.shape } });
  painter.tool = 'look'; // and never ready: nothing can be drawn
  app.desk.stage.connect(viewer, painter, {
    scroll: (step) => go(viewer.slice + step), hover: () => {}, resize: () => {}, window: () => {},
    colour: () => '#ffffff',
  });
  app.desk.stage.node.focus({ preventScroll: true });
  go(Math.floor((box.start[axis] + box.stop[axis] - 1) / 2));
}

/** The box that a delivery covers, from a map of it slice by slice. */
async function labelledBox(path, item, number) {
  const voxels = item.shape.reduce((product, count) => product * count, 1);
  const middle = Math.floor(item.shape[item.slice_axis] / 2);
  const fallback = { start: [0, 0, 0], stop: [...item.shape] };
  [fallback.start[item.slice_axis], fallback.stop[item.slice_axis]] = [middle, middle + 1];
  if (voxels > 64e6) return fallback;
  const { buffer } = await bytes(`${path}/annotation`, { revision: number });
  const found = header(buffer);
  const values = new Uint8Array(buffer, found.offset, voxels);
  const [a, b] = item.shape;
  const start = [...item.shape];
  const stop = [0, 0, 0];
  for (let at = 0; at < voxels; at += 1) {
    if (values[at] === 255) continue;
    const here = [at % a, Math.floor(at / a) % b, Math.floor(at / (a * b))];
    for (let d = 0; d < 3; d += 1) {
      start[d] = Math.min(start[d], here[d]);
      stop[d] = Math.max(stop[d], here[d] + 1);
    }
  }
  return stop[0] ? { start, stop } : fallback;
}
