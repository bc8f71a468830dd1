// What a model predicts for an image, as the page shows it: objects above a threshold, or a label map.

import { readIndexes } from "./png.js";
import { decodeCounts, Mask, measure, sharedArea } from "./rle.js";

// The lowest score that is asked for; the slider hides the rest without asking again.
export const LOWEST_SCORE = 0.05;

/** The objects of a prediction whose score is at least the threshold, best first. */
export function above(objects, threshold) {
  const kept = objects.filter((each) => each.score === null || each.score >= threshold);
  return kept.sort((a, b) => (b.score ?? 1) - (a.score ?? 1));
}

/** `{classes, width, height, data}`: one class number per pixel, row by row. Throws a RangeError. */
export async function readLabelMap(found) {
  const bytes = Uint8Array.from(atob(found.png), (character) => character.charCodeAt(0));
  return { classes: found.classes, ...(await readIndexes(bytes)) };
}

/** The share of the pixels that each class has, in the order of the classes. */
export function shares(map) {
  const counts = new Array(256).fill(0);
  for (const value of map.data) counts[value] += 1;
  return map.classes.map((_, index) => counts[index] / map.data.length);
}

/** The number of the class at a pixel, or null outside and where there is none. */
export function classAt(map, x, y) {
  if (x < 0 || y < 0 || x >= map.width || y >= map.height) return null;
  const value = map.data[Math.floor(y) * map.width + Math.floor(x)];
  return value < map.classes.length ? value : null;
}

/** The pixels of one class, as the mask of an object. */
export function maskOfClass(map, index) {
  const mask = new Mask(map.width, map.height);
  for (let y = 0; y < map.height; y += 1) {
    for (let x = 0; x < map.width; x += 1) {
      if (map.data[y * map.width + x] === index) mask.data[x * map.height + y] = 1;
    }
  }
  return mask.toRle();
}

// From this intersection over union on, a prediction is what is labeled already.
const SAME = 0.7;

/** Whether one of the labeled objects is of the same category and covers nearly the same pixels. */
export function isLabeled(predicted, objects) {
  const mine = measured(predicted.rle);
  return objects.some(({ category, rle }) => {
    if (category !== predicted.category || !rle) return false;
    const theirs = measured(rle);
    // Areas that differ by more cannot overlap by so much.
    if (Math.min(mine.area, theirs.area) < SAME * Math.max(mine.area, theirs.area)) return false;
    const shared = sharedArea(mine.runs, theirs.runs);
    return shared >= SAME * (mine.area + theirs.area - shared);
  });
}

const known = new WeakMap();

function measured(rle) {
  if (!known.has(rle)) known.set(rle, { area: measure(rle).area, runs: decodeCounts(rle.counts) });
  return known.get(rle);
}
