// Outlines along the edges between pixels.

/**
 * The straight pieces of the outline of a mask inside of a box `[x0, y0, x1, y1]`, as a flat Int32Array of
 * x0, y0, x1, y1 for each, in image pixels. Holes have outlines, too.
 */
export function edges(mask, box) {
  const found = [];
  const [x0, y0, x1, y1] = box;
  for (let x = x0; x <= x1; x += 1) {
    let start = -1;
    for (let y = y0; y <= y1; y += 1) {
      const isEdge = y < y1 && mask.at(x - 1, y) !== mask.at(x, y);
      if (isEdge && start < 0) start = y;
      if (!isEdge && start >= 0) {
        found.push(x, start, x, y);
        start = -1;
      }
    }
  }
  for (let y = y0; y <= y1; y += 1) {
    let start = -1;
    for (let x = x0; x <= x1; x += 1) {
      const isEdge = x < x1 && mask.at(x, y - 1) !== mask.at(x, y);
      if (isEdge && start < 0) start = x;
      if (!isEdge && start >= 0) {
        found.push(start, y, x, y);
        start = -1;
      }
    }
  }
  return Int32Array.from(found);
}
