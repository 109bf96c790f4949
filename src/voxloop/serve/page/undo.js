// Undo and redo as deep as memory allows: of every change only the voxels that changed, in runs.

const MOST_BYTES = 64 * 1024 * 1024;

/** Collects what one action changes in a drawing. */
export class Change {
  constructor(grid, name) {
    this.grid = grid;
    this.name = name;
    this.old = new Map();
    this.low = [Infinity, Infinity, Infinity];
    this.high = [-1, -1, -1];
  }

  /** Set a voxel at a display position, remembering what it was. */
  set(labels, place, value) {
    if (labels[place] === value && !this.old.has(place)) return;
    if (!this.old.has(place)) this.old.set(place, labels[place]);
    labels[place] = value;
    const at = this.grid.position(place);
    for (let d = 0; d < 3; d += 1) {
      if (at[d] < this.low[d]) this.low[d] = at[d];
      if (at[d] > this.high[d]) this.high[d] = at[d];
    }
  }

  get empty() {
    return this.old.size === 0;
  }

  /** Put everything back: the action was broken off. */
  revert(labels) {
    for (const [place, value] of this.old) labels[place] = value;
  }

  /** What was done, packed; null where in the end nothing differs. */
  done(labels) {
    const places = [...this.old.keys()].filter((place) => this.old.get(place) !== labels[place]);
    if (!places.length) return null;
    return new Step(this.name, this.grid, places.map((p) => [p, this.old.get(p), labels[p]]));
  }
}

/** One step: runs of [first place, length, old value, new value] on the grid it was made on. */
export class Step {
  constructor(name, grid, triples) {
    this.name = name;
    this.grid = grid;
    this.runs = pack(triples);
    this.box = boxOf(grid, triples);
  }

  get bytes() {
    return this.runs.byteLength;
  }

  /** The same step on another grid of the same case, which must hold the step's box. */
  on(grid) {
    if (grid === this.grid) return this;
    const triples = [];
    for (let run = 0; run < this.runs.length; run += 4) {
      for (let offset = 0; offset < this.runs[run + 1]; offset += 1) {
        const file = this.grid.toFile(this.grid.position(this.runs[run] + offset));
        triples.push([grid.index(grid.toShown(file)), this.runs[run + 2], this.runs[run + 3]]);
      }
    }
    return new Step(this.name, grid, triples);
  }

  /** Write the old values (back) or the new ones into a drawing on the step's own grid. */
  write(labels, back) {
    for (let run = 0; run < this.runs.length; run += 4) {
      labels.fill(this.runs[run + (back ? 2 : 3)], this.runs[run], this.runs[run] + this.runs[run + 1]);
    }
  }
}

function pack(triples) {
  const sorted = [...triples].sort((a, b) => a[0] - b[0]);
  const runs = [];
  for (const [place, before, after] of sorted) {
    const last = runs.length - 4;
    if (last >= 0 && runs[last] + runs[last + 1] === place
        && runs[last + 2] === before && runs[last + 3] === after) {
      runs[last + 1] += 1;
    } else {
      runs.push(place, 1, before, after);
    }
  }
  return Uint32Array.from(runs);
}

function boxOf(grid, triples) {
  const low = [Infinity, Infinity, Infinity];
  const high = [-1, -1, -1];
  for (const [place] of triples) {
    grid.position(place).forEach((value, d) => {
      low[d] = Math.min(low[d], value);
      high[d] = Math.max(high[d], value);
    });
  }
  return grid.boxOf(low, high);
}

/** Steps done and steps taken back. */
export class UndoStack {
  constructor(mostBytes = MOST_BYTES) {
    this.mostBytes = mostBytes;
    this.clear();
  }

  clear() {
    this.past = [];
    this.future = [];
    this.bytes = 0;
  }

  push(step) {
    this.past.push(step);
    this.future = [];
    this.bytes += step.bytes;
    while (this.bytes > this.mostBytes && this.past.length > 1) this.bytes -= this.past.shift().bytes;
  }

  /** The step to take back, or undefined; call `moved` when it is done. */
  next(back) {
    return (back ? this.past : this.future).at(-1);
  }

  moved(back) {
    const [from, to] = back ? [this.past, this.future] : [this.future, this.past];
    to.push(from.pop());
  }
}
