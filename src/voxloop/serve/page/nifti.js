// The little of NIfTI-1 that label maps from the server need.

const FIELDS = { dim: 40, datatype: 70, offset: 108, slope: 112, sform: 254, rows: 280 };

/** Shape and affine of a NIfTI-1 file (little-endian, as the server writes it). */
export function header(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 352 || view.getInt32(0, true) !== 348) {
    throw new Error('The server sent something that is not a NIfTI file.');
  }
  const shape = [1, 2, 3].map((axis) => Math.max(1, view.getInt16(FIELDS.dim + 2 * axis, true)));
  const affine = [0, 1, 2].map((row) => [0, 1, 2, 3].map((column) =>
    view.getFloat32(FIELDS.rows + 16 * row + 4 * column, true)));
  return {
    shape,
    affine,
    datatype: view.getInt16(FIELDS.datatype, true),
    offset: view.getFloat32(FIELDS.offset, true),
  };
}

/** Voxels of a uint8 label map, first axis fastest; refused when it is on another grid. */
export function labelsOn(buffer, image) {
  const found = header(buffer);
  const far = found.affine.flat().some((value, at) =>
    Math.abs(value - image.affine.flat()[at]) > 1e-3);
  if (found.datatype !== 2 || far || found.shape.join() !== image.shape.join()) {
    throw new Error('The server sent labels on another grid than the image; nothing was drawn.');
  }
  const [a, b, c] = found.shape;
  return new Uint8Array(buffer, found.offset, a * b * c);
}
