// The drawing of one sitting: tools, undo, what was looked at, and what goes to the server.

import { Change, UndoStack } from './undo.js';
import { area, disc, line, stamp } from './tools.js';
import { Grid, around, encode, overlap, spread } from './voxels.js';

const NOT_LOOKED_AT = 255;

/** Draws into a viewer's labels within a region, and hands every change on as a patch. */
export class Painter {
  /** `region`: the file's box that may be drawn in; `free`: slices count once they are touched. */
  constructor({ viewer, region, free, save, say }) {
    Object.assign(this, { viewer, region, free, save, say });
    this.undoStack = new UndoStack();
    this.ready = false; // strokes before the known labels are there would be lost
    this.tool = 'brush';
    this.value = 1;
    this.size = 5;
    this.range = null;
    this.change = null;
    this.looked = new Set();
    this.patches = [];
  }

  /** Lay known labels, the proposal and earlier patches into a freshly opened image. */
  begin(known, proposal) {
    const { grid, labels } = this.viewer;
    const { stride, origin } = grid.strides();
    const [a, b, c] = grid.size;
    let number = 0;
    for (let k = 0; k < c; k += 1) {
      for (let j = 0; j < b; j += 1) {
        let place = origin + j * stride[1] + k * stride[2];
        for (let i = 0; i < a; i += 1, number += 1, place += stride[0]) {
          const value = known ? known[number] : NOT_LOOKED_AT;
          labels[place] = value === NOT_LOOKED_AT ? (proposal ? proposal[number] : 0) : value;
        }
      }
    }
    this.proposal = proposal;
    this.base = labels.slice();
    for (const patch of this.patches) this.lay(patch);
    this.viewer.uploadAll();
  }

  /** Take the patches of an earlier sitting. */
  resume(patches) {
    for (const patch of patches) {
      this.patches.push(patch);
      this.lay(patch);
      this.remember(patch);
    }
    if (patches.length) this.viewer.uploadAll();
  }

  lay(patch) {
    const { grid, labels } = this.viewer;
    spread(grid, patch, (place, value) => {
      labels[place] = value === NOT_LOOKED_AT ? this.base[place] : value;
    });
  }

  remember(patch) {
    if (!this.free) return;
    const taken = patch.rle.length === 2 && patch.rle[0] === NOT_LOOKED_AT;
    const { axis } = this.viewer;
    for (let slice = patch.start[axis]; slice < patch.stop[axis]; slice += 1) {
      if (taken) this.looked.delete(slice);
      else this.looked.add(slice);
    }
  }

  /** Whether a display position may be drawn in. */
  allowed(position) {
    const file = this.viewer.grid.toFile(position);
    return file.every((value, axis) =>
      value >= this.region.start[axis] && value < this.region.stop[axis]);
  }

  sliceAllowed() {
    const { axis, slice } = this.viewer;
    return slice >= this.region.start[axis] && slice < this.region.stop[axis];
  }

  /** The pen comes down. */
  press(position) {
    if (!this.ready || this.tool === 'look') return;
    if (!this.sliceAllowed()) {
      this.say('This slice is a neighbour, for orientation only. A goes back to the asked one.');
      return;
    }
    if (this.tool === 'fill') {
      this.fill(position);
      return;
    }
    const { grid, plane, spacing } = this.viewer;
    this.change = new Change(grid, this.tool);
    this.offsets = disc(this.size, spacing);
    this.last = position;
    this.stampAt(position, plane);
    this.show();
  }

  /** The pen moves on, being down. */
  drag(position) {
    if (!this.change) return;
    const { plane } = this.viewer;
    for (const at of line(this.last, position)) this.stampAt(at, plane);
    this.last = position;
    this.show();
  }

  stampAt(position, plane) {
    const { viewer } = this;
    const { grid, labels } = viewer;
    const value = this.tool === 'eraser' ? 0 : this.value;
    stamp(grid, plane, position, this.offsets, (place) => {
      const at = grid.position(place);
      if (!this.allowed(at)) return;
      if (this.tool === 'threshold' && !this.inRange(viewer.intensity(at))) return;
      this.change.set(labels, place, value);
    });
  }

  inRange(intensity) {
    return !this.range || (intensity >= this.range[0] && intensity <= this.range[1]);
  }

  show() {
    const { low, high } = this.change;
    if (high[0] >= 0) this.viewer.upload(low, high);
  }

  /** The pen goes up: the stroke becomes a step and a patch. */
  release() {
    if (!this.change) return;
    const step = this.change.done(this.viewer.labels);
    this.change = null;
    if (step) this.keep(step);
  }

  cancel() {
    if (!this.change || !this.viewer.grid) return;
    this.change.revert(this.viewer.labels);
    this.change = null;
    this.viewer.uploadAll();
  }

  keep(step) {
    this.undoStack.push(step);
    this.pass(step.box);
  }

  /** Send what lies in a file's box now; a slice that is touched first is sent as a whole. */
  pass(box) {
    const { grid, labels, axis } = this.viewer;
    let sent = box;
    if (this.free) {
      const fresh = [];
      for (let slice = box.start[axis]; slice < box.stop[axis]; slice += 1) {
        if (!this.looked.has(slice)) fresh.push(slice);
        this.looked.add(slice);
      }
      if (fresh.length) {
        sent = grid.box();
        sent.start[axis] = box.start[axis];
        sent.stop[axis] = box.stop[axis];
      }
    }
    const patch = encode(grid, labels, sent);
    this.patches.push(patch);
    this.save(patch);
  }

  /** Fill the area of equal value around a position, if its outline is closed. */
  fill(position) {
    const { grid, plane, labels } = this.viewer;
    if (!this.viewer.isInside(position) || !this.allowed(position)) return;
    const found = area(grid, plane, position, labels);
    if (found.open) {
      this.say('Nothing filled: the outline is open, or there is none.');
      return;
    }
    this.write('fill', found.places, () => this.value);
  }

  /** Set places to values as one step. */
  write(name, places, value) {
    const { grid, labels } = this.viewer;
    const change = new Change(grid, name);
    for (const place of places) {
      if (this.allowed(grid.position(place))) change.set(labels, place, value(place));
    }
    const step = change.done(labels);
    if (!step) return false;
    this.viewer.upload(change.low, change.high);
    this.keep(step);
    return true;
  }

  /** All places of the shown slice. */
  slicePlaces() {
    const { grid, across } = this.viewer;
    const low = [0, 0, 0];
    const high = grid.shown.map((count) => count - 1);
    low[across] = this.viewer.depth();
    high[across] = low[across];
    const places = [];
    for (let z = low[2]; z <= high[2]; z += 1) {
      for (let y = low[1]; y <= high[1]; y += 1) {
        for (let x = low[0]; x <= high[0]; x += 1) places.push(grid.index([x, y, z]));
      }
    }
    return places;
  }

  clearSlice() {
    return this.write('clear slice', this.slicePlaces(), () => 0);
  }

  /** Put the model's proposal back on the shown slice. */
  proposeSlice() {
    if (!this.proposal) return false;
    const { grid } = this.viewer;
    return this.write('proposal', this.slicePlaces(), (place) => {
      const file = grid.toFile(grid.position(place)).map((v, axis) => v - grid.start[axis]);
      return this.proposal[file[0] + grid.size[0] * (file[1] + grid.size[1] * file[2])];
    });
  }

  /** Take patches from the server as one step. */
  take(name, patches) {
    const { grid, labels } = this.viewer;
    const change = new Change(grid, name);
    for (const patch of patches) {
      spread(grid, patch, (place, value) => {
        if (value !== NOT_LOOKED_AT && this.allowed(grid.position(place))) {
          change.set(labels, place, value);
        }
      });
    }
    const step = change.done(labels);
    if (step) {
      this.undoStack.push(step);
      this.viewer.upload(change.low, change.high);
    }
    // what was drawn there already counts as well
    const shared = overlap(patches.reduce(around), overlap(grid.box(), this.region));
    if (shared && (step || this.free)) this.pass(shared);
  }

  /** Mark or unmark the shown slice as looked at, whatever is drawn in it. */
  toggleLooked() {
    const { grid, axis, slice } = this.viewer;
    const box = grid.box();
    [box.start[axis], box.stop[axis]] = [slice, slice + 1];
    if (!this.looked.has(slice)) {
      this.pass(box);
      return true;
    }
    this.looked.delete(slice);
    const voxels = box.stop.reduce((product, last, d) => product * (last - box.start[d]), 1);
    const patch = { ...box, rle: [NOT_LOOKED_AT, voxels] };
    this.patches.push(patch);
    this.lay(patch);
    this.viewer.uploadAll();
    this.save(patch);
    return false;
  }

  /** Undo (back) or redo; the window must hold the step: `reach` opens it there if need be. */
  async step(back, reach) {
    this.cancel();
    const found = this.undoStack.next(back);
    if (!found) {
      this.say(back ? 'Nothing to undo.' : 'Nothing to redo.');
      return;
    }
    if (!this.viewer.grid.holds(found.box)) await reach(found.box);
    const step = found.on(this.viewer.grid);
    step.write(this.viewer.labels, back);
    this.undoStack.moved(back);
    const { grid, axis } = this.viewer;
    const corners = [step.box.start, step.box.stop.map((last) => last - 1)].map((c) => grid.toShown(c));
    const low = [0, 1, 2].map((d) => Math.min(corners[0][d], corners[1][d]));
    const high = [0, 1, 2].map((d) => Math.max(corners[0][d], corners[1][d]));
    this.viewer.upload(low, high);
    if (this.viewer.slice < step.box.start[axis] || this.viewer.slice >= step.box.stop[axis]) {
      this.viewer.show(step.box.start[axis]);
    }
    this.pass(step.box);
    this.say(`${back ? 'Undone' : 'Redone'}: ${step.name}.`);
  }

  /** What is to be submitted. */
  submission() {
    const { grid, labels, axis } = this.viewer;
    if (!this.free) return [encode(grid, labels, this.region)];
    // slices outside the window are known from their patches only: replay those in order
    const shape = this.region.stop;
    const kept = [];
    for (const slice of [...this.looked].sort((a, b) => a - b)) {
      const box = { start: [0, 0, 0], stop: [...shape] };
      [box.start[axis], box.stop[axis]] = [slice, slice + 1];
      if (grid.holds(box)) kept.push(encode(grid, labels, box));
      else kept.push(...this.patches.filter((patch) => overlap(patch, box)).map(
        (patch) => cut(patch, axis, slice)));
    }
    return kept;
  }
}

/** The part of a patch that lies in one slice. */
function cut(patch, axis, slice) {
  const start = [...patch.start];
  const stop = [...patch.stop];
  [start[axis], stop[axis]] = [slice, slice + 1];
  const size = stop.map((last, d) => last - start[d]);
  const values = new Uint8Array(size[0] * size[1] * size[2]);
  const grid = new Grid(start, size, [1, 2, 3]);
  spread(grid, patch, (place, value) => { values[place] = value; });
  return encode(grid, values, { start, stop });
}
