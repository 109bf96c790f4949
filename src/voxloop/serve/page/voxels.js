// Voxels of a loaded box: the file's axes (what the server speaks) and the display's (RAS order).

/** A loaded box of a case. Display axis d shows file axis perm[d], from its end where flip[d]. */
export class Grid {
  /** @param permRas NiiVue's signed axes from 1, e.g. [-1, -2, 3] for an LPS file. */
  constructor(start, size, permRas) {
    this.start = [...start];
    this.size = [...size];
    this.stop = start.map((first, axis) => first + size[axis]);
    this.perm = [0, 1, 2].map((d) => Math.abs(permRas[d]) - 1);
    this.flip = [0, 1, 2].map((d) => permRas[d] < 0);
    this.shown = this.perm.map((axis) => size[axis]);
    this.step = [1, this.shown[0], this.shown[0] * this.shown[1]];
    this.count = size[0] * size[1] * size[2];
  }

  /** Display axis on which a file axis lies. */
  displayAxis(axis) {
    return this.perm.indexOf(axis);
  }

  /** Voxel of the whole file at a display position. */
  toFile(shown) {
    const file = [0, 0, 0];
    for (let d = 0; d < 3; d += 1) {
      const axis = this.perm[d];
      file[axis] = this.start[axis] + (this.flip[d] ? this.shown[d] - 1 - shown[d] : shown[d]);
    }
    return file;
  }

  /** Display position of a voxel of the whole file; may lie outside. */
  toShown(file) {
    return [0, 1, 2].map((d) => {
      const local = file[this.perm[d]] - this.start[this.perm[d]];
      return this.flip[d] ? this.shown[d] - 1 - local : local;
    });
  }

  /** Place of a display position in an array of the box. */
  index(shown) {
    return shown[0] + shown[1] * this.step[1] + shown[2] * this.step[2];
  }

  /** Display position of a place in an array of the box. */
  position(index) {
    const third = Math.floor(index / this.step[2]);
    const rest = index - third * this.step[2];
    const second = Math.floor(rest / this.step[1]);
    return [rest - second * this.step[1], second, third];
  }

  /** Bytes to add in the display's array for one step along each axis of the file, and an origin. */
  strides() {
    const stride = [0, 0, 0];
    let origin = 0;
    for (let d = 0; d < 3; d += 1) {
      stride[this.perm[d]] = this.flip[d] ? -this.step[d] : this.step[d];
      if (this.flip[d]) origin += (this.shown[d] - 1) * this.step[d];
    }
    return { stride, origin };
  }

  /** The box as {start, stop} of the file. */
  box() {
    return { start: [...this.start], stop: [...this.stop] };
  }

  /** The file's box that covers display positions from `low` to `high`, both included. */
  boxOf(low, high) {
    const a = this.toFile(low);
    const b = this.toFile(high);
    return {
      start: a.map((value, axis) => Math.min(value, b[axis])),
      stop: a.map((value, axis) => Math.max(value, b[axis]) + 1),
    };
  }

  holds(box) {
    return box.start.every((first, axis) => first >= this.start[axis])
      && box.stop.every((last, axis) => last <= this.stop[axis]);
  }
}

/** What two boxes share, or null. */
export function overlap(one, other) {
  const start = one.start.map((value, axis) => Math.max(value, other.start[axis]));
  const stop = one.stop.map((value, axis) => Math.min(value, other.stop[axis]));
  return start.every((value, axis) => value < stop[axis]) ? { start, stop } : null;
}

/** The box around two boxes. */
export function around(one, other) {
  return {
    start: one.start.map((value, axis) => Math.min(value, other.start[axis])),
    stop: one.stop.map((value, axis) => Math.max(value, other.stop[axis])),
  };
}

/** Call `visit(place in the display's array, running number)` over a file's box, first axis fastest. */
export function walk(grid, box, visit) {
  const { stride, origin } = grid.strides();
  let number = 0;
  for (let k = box.start[2]; k < box.stop[2]; k += 1) {
    for (let j = box.start[1]; j < box.stop[1]; j += 1) {
      let place = origin + (box.start[0] - grid.start[0]) * stride[0]
        + (j - grid.start[1]) * stride[1] + (k - grid.start[2]) * stride[2];
      for (let i = box.start[0]; i < box.stop[0]; i += 1) {
        visit(place, number);
        place += stride[0];
        number += 1;
      }
    }
  }
}

/** The drawing within a file's box as the server takes it: value, count, value, count, ... */
export function encode(grid, labels, box) {
  const rle = [];
  let value = -1;
  let count = 0;
  walk(grid, box, (place) => {
    const here = labels[place];
    if (here === value) {
      count += 1;
    } else {
      if (count) rle.push(value, count);
      value = here;
      count = 1;
    }
  });
  if (count) rle.push(value, count);
  return { start: [...box.start], stop: [...box.stop], rle };
}

/** Values of a patch, first axis fastest. */
export function decode(patch) {
  const [a, b, c] = patch.stop.map((last, axis) => last - patch.start[axis]);
  const values = new Uint8Array(a * b * c);
  let at = 0;
  for (let run = 0; run < patch.rle.length; run += 2) {
    values.fill(patch.rle[run], at, at + patch.rle[run + 1]);
    at += patch.rle[run + 1];
  }
  if (at !== values.length) throw new Error('A patch does not fill its box.');
  return values;
}

/** Call `visit(place, value)` for every voxel of a patch that lies in the grid. */
export function spread(grid, patch, visit) {
  const shared = overlap(grid.box(), patch);
  if (!shared) return;
  const values = decode(patch);
  const size = patch.stop.map((last, axis) => last - patch.start[axis]);
  const width = shared.stop.map((last, axis) => last - shared.start[axis]);
  walk(grid, shared, (place, number) => {
    const i = number % width[0];
    const j = Math.floor(number / width[0]) % width[1];
    const k = Math.floor(number / (width[0] * width[1]));
    const from = (i + shared.start[0] - patch.start[0])
      + size[0] * ((j + shared.start[1] - patch.start[1])
      + size[1] * (k + shared.start[2] - patch.start[2]));
    visit(place, values[from]);
  });
}
