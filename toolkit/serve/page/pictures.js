// Masks and label maps as pictures that can be drawn at any scale; each is made once.

import { Mask, measure } from "./rle.js";
import { edges } from "./outline.js";

// Pixels of a picture; larger masks are drawn from every second, third, … pixel.
const MOST_PIXELS = 8e6;
// Pieces of an outline that can be drawn at each movement.
const MOST_EDGES = 60000;

// Pixels of all pictures that are kept, and how long one that was not drawn is kept beyond that, in ms.
const MOST_KEPT = 48e6;
const GRACE = 2000;

// In the order in which they were drawn last.
const made = new Map();
let kept = 0;

/**
 * What is drawn of a mask: `{box, area, tinted(color), outline}`. `tinted` gives a canvas that covers the
 * box; `outline` is a Path2D in image pixels, or null if it has too many pieces. An empty mask has the box
 * null.
 */
export function pictureOf(rle, now = performance.now()) {
  const entry = made.get(rle) ?? make(rle);
  made.delete(rle);
  made.set(rle, { ...entry, used: now });
  forget(now);
  return entry.picture;
}

/** How many pixels the pictures have that are kept. */
export const keptPixels = () => kept;

function make(rle) {
  const { area, box } = measure(rle);
  if (!box) return { pixels: 0, picture: { area, box, tinted: () => null, outline: null } };
  const mask = Mask.fromRle(rle);
  const { tinted, pixels } = tinter(mask, box);
  kept += pixels;
  return { pixels, picture: { area, box, tinted, outline: pathOf(edges(mask, box)) } };
}

// Undo keeps many masks, of which few are seen.
function forget(now) {
  for (const [rle, { pixels, used }] of made) {
    if (kept <= MOST_KEPT || now - used < GRACE) return;
    made.delete(rle);
    kept -= pixels;
  }
}

function pathOf(pieces) {
  if (pieces.length / 4 > MOST_EDGES) return null;
  const path = new Path2D();
  for (let i = 0; i < pieces.length; i += 4) {
    path.moveTo(pieces[i], pieces[i + 1]);
    path.lineTo(pieces[i + 2], pieces[i + 3]);
  }
  return path;
}

function tinter(mask, [x0, y0, x1, y1]) {
  const step = Math.ceil(Math.sqrt(((x1 - x0) * (y1 - y0)) / MOST_PIXELS));
  const width = Math.ceil((x1 - x0) / step);
  const height = Math.ceil((y1 - y0) / step);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let x = 0; x < width; x += 1) {
    const column = (x0 + x * step) * mask.height + y0;
    for (let y = 0; y < height; y += 1) {
      if (mask.data[column + y * step]) pixels[y * width + x] = 0xffffffff;
    }
  }
  context.putImageData(image, 0, 0);
  let shown = "";
  const tinted = (color) => {
    if (color !== shown) {
      context.globalCompositeOperation = "source-in";
      context.fillStyle = color;
      context.fillRect(0, 0, width, height);
      shown = color;
    }
    return canvas;
  };
  return { tinted, pixels: width * height };
}

/** A label map in the colors of its classes, as a canvas; hidden classes and void stay clear. */
export function labelMapPicture(map, colors, hidden) {
  const step = Math.ceil(Math.sqrt((map.width * map.height) / MOST_PIXELS));
  const width = Math.ceil(map.width / step);
  const height = Math.ceil(map.height / step);
  const table = new Uint32Array(256);
  map.classes.forEach((_, index) => {
    const [red, green, blue] = colors[index];
    // Little-endian, as all machines with a browser are: red is the lowest byte.
    if (!hidden.has(index)) table[index] = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  });
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let y = 0; y < height; y += 1) {
    const row = y * step * map.width;
    for (let x = 0; x < width; x += 1) pixels[y * width + x] = table[map.data[row + x * step]];
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/**
 * A map of `[low, high]` in shades of gray, as a canvas in which values of 0 and below are clear and the
 * highest is opaque. Throws the browser's error if it cannot be read.
 */
export async function heatPicture(address, [low, high]) {
  const map = new Image();
  map.src = address;
  await map.decode();
  const step = Math.ceil(Math.sqrt((map.naturalWidth * map.naturalHeight) / MOST_PIXELS));
  const width = Math.ceil(map.naturalWidth / step);
  const height = Math.ceil(map.naturalHeight / step);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.drawImage(map, 0, 0, width, height);
  const image = context.getImageData(0, 0, width, height);
  for (let i = 0; i < image.data.length; i += 4) {
    const value = high > 0 ? (low + (image.data[i] / 255) * (high - low)) / high : 0;
    const share = Math.min(Math.max(value, 0), 1);
    // From dark red to yellow.
    image.data.set([130 + 125 * share, 230 * share ** 2, 20, 255 * share], i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/**
 * An image at two sizes: the smaller one is quick to draw when much of a large image is seen. Throws the
 * browser's error if it cannot show the image.
 */
export async function loadImage(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const share = Math.sqrt(4e6 / (width * height));
  const small = share < 0.7 ? await smaller(image, width * share, height * share) : null;
  return { width, height, at: (scale) => (small && scale <= share ? small : image) };
}

function smaller(image, width, height) {
  const options = { resizeWidth: Math.round(width), resizeHeight: Math.round(height), resizeQuality: "high" };
  return createImageBitmap(image, options);
}
