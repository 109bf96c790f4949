// What the tools do to a slice of the drawing. Positions are display positions of whole voxels.

export const TOOLS = [
  { id: 'brush', name: 'Brush', key: 'b', drags: true },
  { id: 'eraser', name: 'Eraser', key: 'e', drags: true },
  { id: 'threshold', name: 'Threshold', key: 't', drags: true },
  { id: 'fill', name: 'Fill', key: 'f', drags: false },
  { id: 'look', name: 'Look', key: 'l', drags: true },
];

/** Offsets [du, dv] of a disc `size` finest voxels wide, round in millimetres. */
export function disc(size, spacing) {
  const finest = Math.min(...spacing);
  const radius = (size * finest) / 2;
  const reach = spacing.map((mm) => Math.floor(radius / mm + 1e-9));
  const offsets = [];
  for (let dv = -reach[1]; dv <= reach[1]; dv += 1) {
    for (let du = -reach[0]; du <= reach[0]; du += 1) {
      if (Math.hypot(du * spacing[0], dv * spacing[1]) <= radius + 1e-9) offsets.push([du, dv]);
    }
  }
  return offsets;
}

/** Whole positions from one to the other, without gaps. */
export function line(from, to) {
  const steps = Math.max(1, ...from.map((value, d) => Math.abs(to[d] - value)));
  const positions = [];
  for (let step = 0; step <= steps; step += 1) {
    positions.push(from.map((value, d) => Math.round(value + ((to[d] - value) * step) / steps)));
  }
  return positions;
}

/** Call `visit(place)` for every voxel under a disc that lies in the grid's slice. */
export function stamp(grid, plane, centre, offsets, visit) {
  const [u, v] = plane;
  for (const [du, dv] of offsets) {
    const at = [...centre];
    at[u] += du;
    at[v] += dv;
    if (at[u] < 0 || at[v] < 0 || at[u] >= grid.shown[u] || at[v] >= grid.shown[v]) continue;
    visit(grid.index(at));
  }
}

/**
 * Places of the area of equal value around a position within its slice (four neighbours each).
 * `open` is true when it touches the slice's edge: an outline with a gap, most likely.
 */
export function area(grid, plane, at, labels) {
  const first = grid.index(at);
  const value = labels[first];
  const seen = new Uint8Array(grid.shown[plane[0]] * grid.shown[plane[1]]);
  const width = grid.shown[plane[0]];
  const along = (place, axis) => Math.floor(place / grid.step[axis]) % grid.shown[axis];
  const places = [first];
  seen[at[plane[0]] + width * at[plane[1]]] = 1;
  let open = false;
  for (let next = 0; next < places.length; next += 1) {
    const here = [along(places[next], plane[0]), along(places[next], plane[1])];
    for (const [which, step] of [[0, 1], [0, -1], [1, 1], [1, -1]]) {
      const there = here[which] + step;
      if (there < 0 || there >= grid.shown[plane[which]]) {
        open = true;
        continue;
      }
      const flat = which ? here[0] + width * there : there + width * here[1];
      const place = places[next] + step * grid.step[plane[which]];
      if (seen[flat] || labels[place] !== value) continue;
      seen[flat] = 1;
      places.push(place);
    }
  }
  return { places, open };
}
