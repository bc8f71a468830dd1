// Brush and eraser: pixels whose centers are within a radius of a line.

/**
 * Set the pixels of a mask whose centers are at most `radius` away from the line between two points of the
 * image. A brush that is narrower than a pixel still paints the pixel below each end.
 */
export function stroke(mask, from, to, radius, value) {
  const { width, height, data } = mask;
  const [x0, y0] = from;
  const [x1, y1] = to;
  const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius));
  const right = Math.min(width - 1, Math.ceil(Math.max(x0, x1) + radius));
  const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(y0, y1) + radius));
  for (let x = left; x <= right; x += 1) {
    for (let y = top; y <= bottom; y += 1) {
      if (squaredDistance(x + 0.5, y + 0.5, x0, y0, x1, y1) <= radius * radius) data[x * height + y] = value;
    }
  }
  for (const [x, y] of [from, to]) {
    const column = Math.floor(x);
    const row = Math.floor(y);
    const isInside = column >= 0 && row >= 0 && column < width && row < height;
    if (isInside) data[column * height + row] = value;
  }
}

// The squared distance of (x, y) from the line between (x0, y0) and (x1, y1).
function squaredDistance(x, y, x0, y0, x1, y1) {
  const dx = x1 - x0;
  const dy = y1 - y0;
  const length = dx * dx + dy * dy;
  const share = length > 0 ? ((x - x0) * dx + (y - y0) * dy) / length : 0;
  const nearest = Math.min(Math.max(share, 0), 1);
  return (x - x0 - nearest * dx) ** 2 + (y - y0 - nearest * dy) ** 2;
}
