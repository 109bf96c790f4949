// NiiVue behind a small door: it renders slices; pointer, keys and drawing are ours.
//
// The drawing is NiiVue's own bitmap (display order), but only the part that changed is sent to
// the graphics card, and never the whole volume for each move of the pen.

import { Niivue } from './vendor/niivue.js';
import { Grid } from './voxels.js';
import { header } from './nifti.js';

const SLICE_TYPE = [2, 1, 0]; // display axis x, y, z -> sagittal, coronal, axial
const DRAWING_TEXTURE = 33984 + 7;
const OPTIONS = {
  interactive: false, // no listeners of NiiVue's: no key, wheel, drop or drag of its own
  isRadiologicalConvention: true,
  isNearestInterpolation: false,
  crosshairWidth: 0,
  maxDrawUndoBitmaps: 1,
  backColor: [0.07, 0.08, 0.1, 1],
  isOrientationTextVisible: false, // ours can be read on bright tissue, too
  logLevel: 'error',
  loadingText: '',
};

const DIRECTIONS = ['LR', 'PA', 'IS']; // of the display's axes, the lower end first

// violet, which no label has: from faint to strong
const DOUBT = { R: [60, 120, 190], G: [20, 60, 130], B: [120, 220, 255], A: [0, 130, 255], I: [0, 90, 255] };

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** One slice at a time of a box of a case, with a drawing over it. */
export class Viewer {
  constructor(canvas) {
    this.canvas = canvas;
    this.nv = new Niivue(OPTIONS);
    this.onDrawn = () => {};
    this.slice = 0;
    this.frame = 0;
  }

  async attach() {
    await this.nv.attachToCanvas(this.canvas, false);
  }

  /** Do things that load images one after the other, so that no two cases ever mix. */
  inTurn(run) {
    this.turn = (this.turn || Promise.resolve()).then(run, run);
    return this.turn;
  }

  /** Show a NIfTI file that holds a case's box from `start` on; slices lie across file axis `axis`. */
  open(buffer, start, axis) {
    return this.inTurn(() => this.load(buffer, start, axis));
  }

  async load(buffer, start, axis) {
    this.empty();
    this.image = header(buffer);
    await this.nv.loadFromArrayBuffer(buffer, 'image.nii');
    const volume = this.nv.volumes[0];
    if (this.nv.volumes.length !== 1) throw new Error('The browser cannot show this image.');
    this.grid = new Grid(start, this.image.shape, volume.permRAS);
    this.axis = axis;
    this.across = this.grid.displayAxis(axis);
    this.plane = [0, 1, 2].filter((d) => d !== this.across);
    const mm = volume.pixDimsRAS.slice(1, 4).map(Math.abs);
    this.spacing = this.plane.map((d) => mm[d]);
    this.mm = mm;
    this.nv.setSliceType(SLICE_TYPE[this.across]);
    this.nv.createEmptyDrawing();
    this.labels = this.nv.drawBitmap;
    if (this.labels.length !== this.grid.count) throw new Error('The drawing has another size.');
    this.range = [volume.cal_min, volume.cal_max];
  }

  /** End a task: nothing is shown, and the next one begins with the whole slice in view. */
  close() {
    this.empty();
    this.resetView();
  }

  /** Forget image and drawing; the drawing first, it would stay otherwise. */
  empty() {
    this.nv.closeDrawing();
    while (this.nv.volumes.length) this.nv.removeVolumeByIndex(0);
    this.grid = null;
    this.labels = null;
  }

  /** Colours of the label values: {value: "#rrggbb"}. */
  setColours(colours) {
    const most = Math.max(1, ...Object.keys(colours).map(Number));
    const map = { R: [0], G: [0], B: [0], A: [0], labels: [''] };
    for (let value = 1; value <= most; value += 1) {
      const [red, green, blue] = rgb(colours[value] || '#7f7f7f');
      map.R.push(red);
      map.G.push(green);
      map.B.push(blue);
      map.A.push(255);
      map.labels.push(String(value));
    }
    this.nv.setDrawColormap(map);
  }

  /** How strongly labels cover the image, 0 to 1; their rim stays visible. */
  setOpacity(opacity) {
    this.nv.drawRimOpacity = opacity > 0 ? Math.min(1, opacity + 0.45) : -1;
    this.nv.setDrawOpacity(opacity);
    this.onDrawn();
  }

  /** Show the slice with this number of the file. */
  show(slice) {
    this.slice = Math.min(Math.max(slice, this.grid.start[this.axis]), this.grid.stop[this.axis] - 1);
    const at = this.grid.toShown(this.grid.box().start);
    const depth = this.depth();
    const centre = [0, 1, 2].map((d) =>
      (d === this.across ? (depth + 0.5) / this.grid.shown[d] : 0.5));
    if (at) this.nv.scene.crosshairPos = centre;
    this.redraw();
  }

  /** The shown slice as a display position. */
  depth(slice = this.slice) {
    const file = [...this.grid.start];
    file[this.axis] = slice;
    return this.grid.toShown(file)[this.across];
  }

  /** Draw with the next frame of the screen. */
  redraw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.nv.drawScene();
      this.onDrawn();
    });
  }

  /** Send the drawing between two display positions (both included) to the graphics card. */
  upload(low, high) {
    const size = low.map((value, d) => high[d] - value + 1);
    const part = new Uint8Array(size[0] * size[1] * size[2]);
    let at = 0;
    for (let k = low[2]; k <= high[2]; k += 1) {
      for (let j = low[1]; j <= high[1]; j += 1) {
        const from = this.grid.index([low[0], j, k]);
        part.set(this.labels.subarray(from, from + size[0]), at);
        at += size[0];
      }
    }
    const { gl } = this.nv;
    gl.activeTexture(DRAWING_TEXTURE);
    gl.bindTexture(gl.TEXTURE_3D, this.nv.drawTexture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, ...low, ...size, gl.RED, gl.UNSIGNED_BYTE, part);
    this.redraw();
  }

  uploadAll() {
    this.upload([0, 0, 0], this.grid.shown.map((count) => count - 1));
  }

  /** Where plane positions lie on the canvas: [x, y] = origin + u * perU + v * perV, in CSS pixels. */
  frameOfSlice() {
    const tile = this.nv.screenSlices[0];
    if (!tile || !this.grid) return null;
    const ratio = this.nv.uiData.dpr || 1;
    const [left, top, width, height] = tile.leftTopWidthHeight;
    const corner = (d) => {
      const mm = this.nv.frac2mm([0, 1, 2].map((axis) => (axis === d ? 1 : 0)));
      const x = (mm[this.plane[0]] - tile.leftTopMM[0]) / tile.fovMM[0];
      const y = (mm[this.plane[1]] - tile.leftTopMM[1]) / tile.fovMM[1];
      return [left + x * width, top + (1 - y) * height].map((value) => value / ratio);
    };
    const origin = corner(-1);
    const per = (d) => corner(d).map((value, which) =>
      (value - origin[which]) / this.grid.shown[d]);
    return { origin, perU: per(this.plane[0]), perV: per(this.plane[1]) };
  }

  /** Letters of the directions in which the patient lies at the edges of the shown slice. */
  sides() {
    const { perU, perV } = this.frameOfSlice();
    const [u, v] = this.plane.map((d) => DIRECTIONS[d]);
    const ends = (letters, rises) => (rises ? [...letters] : [...letters].reverse());
    const [left, right] = ends(u, perU[0] > 0);
    const [top, bottom] = ends(v, perV[1] > 0);
    return { left, right, top, bottom };
  }

  /** Centre of a voxel of the shown slice, in CSS pixels of the canvas. */
  pointOf(position) {
    const frame = this.frameOfSlice();
    if (!frame) return null;
    const u = position[this.plane[0]] + 0.5;
    const v = position[this.plane[1]] + 0.5;
    return frame.origin.map((value, which) =>
      value + u * frame.perU[which] + v * frame.perV[which]);
  }

  /** Voxel of the shown slice under a point of the canvas; it may lie outside the slice. */
  positionAt(x, y) {
    const frame = this.frameOfSlice();
    if (!frame) return null;
    const [dx, dy] = [x - frame.origin[0], y - frame.origin[1]];
    const det = frame.perU[0] * frame.perV[1] - frame.perU[1] * frame.perV[0];
    const position = [0, 0, 0];
    position[this.across] = this.depth();
    position[this.plane[0]] = Math.floor((dx * frame.perV[1] - dy * frame.perV[0]) / det);
    position[this.plane[1]] = Math.floor((dy * frame.perU[0] - dx * frame.perU[1]) / det);
    return position;
  }

  isInside(position) {
    return position.every((value, d) => value >= 0 && value < this.grid.shown[d]);
  }

  /** The image's value at a display position, in the file's units. */
  intensity(position) {
    const volume = this.nv.volumes[0];
    const file = this.grid.toFile(position).map((value, axis) => value - this.grid.start[axis]);
    const [a, b] = this.grid.size;
    return volume.img[file[0] + a * (file[1] + b * file[2])] * volume.hdr.scl_slope
      + volume.hdr.scl_inter;
  }

  /** Show values from `low` (black) to `high` (white). */
  setRange(low, high) {
    const volume = this.nv.volumes[0];
    this.range = [low, Math.max(high, low + 1e-6)];
    [volume.cal_min, volume.cal_max] = this.range;
    this.nv.updateGLVolume();
    this.redraw();
  }

  /** Enlarge by a factor about a display position. */
  zoom(factor, about) {
    const pan = this.nv.scene.pan2Dxyzmm;
    const zoom = Math.min(Math.max(pan[3] * factor, 0.5), 20);
    const mm = this.nv.frac2mm(about.map((value, d) => (value + 0.5) / this.grid.shown[d]));
    const next = [0, 1, 2].map((d) => pan[d] + (pan[3] - zoom) * mm[d]);
    this.nv.setPan2Dxyzmm([...next, zoom]);
    this.redraw();
  }

  /** Move the image by CSS pixels. */
  pan(dx, dy) {
    const pan = [...this.nv.scene.pan2Dxyzmm];
    const frame = this.frameOfSlice();
    if (!frame) return;
    const right = this.spacing[0] / frame.perU[0];
    const down = this.spacing[1] / frame.perV[1];
    pan[this.plane[0]] += dx * right * pan[3];
    pan[this.plane[1]] += dy * down * pan[3];
    this.nv.setPan2Dxyzmm(pan);
    this.redraw();
  }

  resetView() {
    this.nv.setPan2Dxyzmm([0, 0, 0, 1]);
    this.redraw();
  }

  /** Lay a second image over the first, e.g. the uncertainty; null takes it away. */
  setOverlay(buffer) {
    return this.inTurn(() => this.lay(buffer));
  }

  async lay(buffer) {
    if (!this.grid) return;
    while (this.nv.volumes.length > 1) this.nv.removeVolumeByIndex(1);
    if (buffer) {
      await this.nv.loadFromArrayBuffer(buffer, 'overlay.nii');
      const volume = this.nv.volumes[1];
      this.nv.addColormap('doubt', DOUBT);
      volume.colormap = 'doubt';
      volume.cal_min = 1;
      volume.cal_max = 255;
      this.nv.setOpacity(1, 0.6);
      this.nv.updateGLVolume();
    }
    this.redraw();
  }
}
