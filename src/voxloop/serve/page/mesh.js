// A case's surfaces in 3D. Nothing is loaded before it is asked for.

import { askIfAny, bytes } from './api.js';
import { el } from './dom.js';

/** A panel with the meshes of a case, or null where there is none. */
export async function meshPanel(app, caseId) {
  const path = `cases/${encodeURIComponent(caseId)}/meshes`;
  const found = (await askIfAny(path))?.meshes || [];
  if (!found.length) return null;
  const canvas = el('canvas', { 'aria-label': 'Surfaces in 3D; arrow keys turn, plus and minus enlarge',
    role: 'application', tabindex: '0' });
  const stage = el('div', { class: 'stage solid', hidden: true }, canvas);
  const state = el('p', { class: 'quiet', role: 'status' });
  const boxes = found.map((mesh) => el('label', { class: 'choice' },
    el('input', { type: 'checkbox', value: mesh.label, checked: true }),
    el('span', { class: 'swatch', style: { background: mesh.colour } }), mesh.label,
    mesh.passed === false ? ' (certificate not passed)' : null));
  const show = el('button', { type: 'button' }, 'Show in 3D');
  show.addEventListener('click', async () => {
    show.disabled = true;
    state.textContent = 'Loading the surfaces …';
    try {
      stage.hidden = false;
      app.onLeave(await draw(canvas, path, found, boxes));
      state.textContent = 'Drag or the arrow keys turn them, the wheel or + and − enlarge.';
      canvas.focus({ preventScroll: true });
      stage.scrollIntoView({ block: 'nearest' });
      show.hidden = true;
    } catch (error) {
      stage.hidden = true;
      show.disabled = false;
      state.textContent = error.message;
    }
  });
  return el('section', {}, el('h2', {}, 'Surfaces'), el('div', { class: 'row' }, boxes, show),
    state, stage);
}

const TURNS = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };
const SCALES = { '+': 1.15, '=': 1.15, '-': 1 / 1.15 };

/** Draw; returns what gives the graphics back, of which browsers have but a few. */
async function draw(canvas, path, found, boxes) {
  const { Niivue } = await import('./vendor/niivue.js');
  const nv = new Niivue({ logLevel: 'error', dragAndDropEnabled: false, isResizeCanvas: true,
    backColor: [0.07, 0.08, 0.1, 1], show3Dcrosshair: false, isOrientCube: true, loadingText: '' });
  await nv.attachToCanvas(canvas, false);
  for (const mesh of found) {
    const { buffer } = await bytes(`${path}/${encodeURIComponent(mesh.label)}`);
    const colour = [1, 3, 5].map((at) => parseInt(mesh.colour.slice(at, at + 2), 16));
    await nv.addMeshFromUrl({ url: `${mesh.label}.stl`, name: `${mesh.label}.stl`, buffer,
      rgba255: [...colour, 255] });
  }
  boxes.forEach((box, at) => box.querySelector('input').addEventListener('change', (event) => {
    nv.setMeshProperty(nv.meshes[at].id, 'visible', event.target.checked);
  }));
  canvas.addEventListener('keydown', (event) => {
    if (event.key !== '?') event.stopImmediatePropagation(); // NiiVue's own keys stay off
    const turn = TURNS[event.key];
    const factor = SCALES[event.key];
    if (turn) nv.setRenderAzimuthElevation(nv.scene.renderAzimuth + turn[0], nv.scene.renderElevation + turn[1]);
    if (factor) nv.setScale(Math.min(Math.max(nv.scene.volScaleMultiplier * factor, 0.5), 4));
    if (turn || factor) event.preventDefault();
  }, { capture: true });
  return () => {
    const { gl } = nv;
    nv.cleanup();
    gl.getExtension('WEBGL_lose_context')?.loseContext();
  };
}
