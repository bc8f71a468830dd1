// Where the image is on the screen: a scale and an offset. A point of the image at (x, y), in image pixels
// with (0, 0) at the corner of the first one, is shown at (x * scale + left, y * scale + top), in CSS pixels.

const LARGEST_SCALE = 64;
const MARGIN = 0.04;

/** The whole image in the middle of the stage. */
export function fit(image, stage) {
  const scale = Math.min(
    (stage.width * (1 - MARGIN)) / image.width,
    (stage.height * (1 - MARGIN)) / image.height,
    LARGEST_SCALE,
  );
  return centered(image, stage, scale);
}

/** The image at a scale, in the middle of the stage. */
export function centered(image, stage, scale) {
  return {
    scale,
    left: (stage.width - image.width * scale) / 2,
    top: (stage.height - image.height * scale) / 2,
  };
}

export function toImage(view, x, y) {
  return [(x - view.left) / view.scale, (y - view.top) / view.scale];
}

export function toScreen(view, x, y) {
  return [x * view.scale + view.left, y * view.scale + view.top];
}

/** Scaled by a factor; what is shown at (x, y) stays there. At the smallest, a tenth of what fits. */
export function zoomedAt(view, image, stage, x, y, factor) {
  const smallest = Math.min(1, fit(image, stage).scale / 10);
  const scale = Math.min(Math.max(view.scale * factor, smallest), LARGEST_SCALE);
  const [imageX, imageY] = toImage(view, x, y);
  return kept({ scale, left: x - imageX * scale, top: y - imageY * scale }, image, stage);
}

export function moved(view, image, stage, dx, dy) {
  return kept({ ...view, left: view.left + dx, top: view.top + dy }, image, stage);
}

/** After two fingers moved from `before` to `now`, both `[[x, y], [x, y]]`: their points stay below them. */
export function pinched(view, image, stage, before, now) {
  const distance = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const [fromX, fromY] = middle(before);
  const [toX, toY] = middle(now);
  const shifted = moved(view, image, stage, toX - fromX, toY - fromY);
  const factor = distance(before) > 0 ? distance(now) / distance(before) : 1;
  return zoomedAt(shifted, image, stage, toX, toY, factor);
}

/** Moved so that the point (x, y) of the image is on the stage, if it is not. */
export function revealed(view, image, stage, x, y) {
  const border = 24;
  const [left, top] = toScreen(view, x, y);
  const dx = Math.max(border - left, 0) - Math.max(left - (stage.width - border), 0);
  const dy = Math.max(border - top, 0) - Math.max(top - (stage.height - border), 0);
  return dx || dy ? moved(view, image, stage, dx, dy) : view;
}

// At least a strip of the image stays on the stage, so that it cannot be lost.
function kept(view, image, stage) {
  const strip = 40;
  const within = (offset, length, room) =>
    Math.min(Math.max(offset, Math.min(strip - length, 0)), Math.max(room - strip, room - length));
  return {
    scale: view.scale,
    left: within(view.left, image.width * view.scale, stage.width),
    top: within(view.top, image.height * view.scale, stage.height),
  };
}
