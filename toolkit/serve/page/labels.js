// The labels of one image: states that never change, and functions that return the next one.
//
// A document is `{objects, selected}`. An object is
//   id         a number that no other object of the image has; below 0 until the server has given one
//   category   its name
//   rle        its mask: `base`, with the pixels of `added`, without those of `removed`
//   base       what a model answered, or what was saved; null for one that was only painted
//   added, removed   what brush and eraser did, or null: they outlast the model's next answer
//   points     `[[x, y, 1 or 0], …]` in image pixels; `box`: `[x0, y0, x1, y1]` or null
//   after      how many of the points there were when the box was drawn

import { Mask, measure } from "./rle.js";

export const EMPTY = Object.freeze({ objects: Object.freeze([]), selected: null });

/** The document of saved labels, as `GET /api/labels` gives them. */
export function fromSaved(objects) {
  const read = objects.map((saved) => object(saved.id, saved.category, { base: saved.rle, rle: saved.rle }));
  return { objects: read, selected: null };
}

/** The objects that can be saved: those that cover a pixel. */
export function savable(state) {
  return state.objects.filter(({ rle }) => rle && measure(rle).area > 0);
}

/** What `PUT /api/labels` takes. */
export function toSaved(objects) {
  return objects.map(({ id, category, rle }) => (id > 0 ? { id, category, rle } : { category, rle }));
}

/** With other ids, by a Map from old to new. */
export function withIds(state, ids) {
  const renamed = (id) => ids.get(id) ?? id;
  const objects = state.objects.map((each) => (ids.has(each.id) ? { ...each, id: renamed(each.id) } : each));
  return { objects, selected: state.selected === null ? null : renamed(state.selected) };
}

export function object(id, category, parts = {}) {
  const nothing = { rle: null, base: null, added: null, removed: null, points: [], box: null, after: 0 };
  return { id, category, ...nothing, ...parts };
}

export function freshId(state) {
  return state.objects.reduce((least, each) => Math.min(least, each.id), 0) - 1;
}

export function selectedObject(state) {
  return state.objects.find((each) => each.id === state.selected) ?? null;
}

/** With an object added, or changed if there is one of this id, and selected. */
export function withObject(state, changed) {
  const isNew = !state.objects.some((each) => each.id === changed.id);
  const objects = isNew
    ? [...state.objects, changed]
    : state.objects.map((each) => (each.id === changed.id ? changed : each));
  return { objects, selected: changed.id };
}

/** With several objects added, which get ids of their own; nothing is selected. */
export function withObjects(state, added) {
  let id = freshId(state);
  const fresh = added.map(({ category, rle }) => object(id--, category, { base: rle, rle }));
  return { objects: [...state.objects, ...fresh], selected: null };
}

export function withoutObject(state, id) {
  const objects = state.objects.filter((each) => each.id !== id);
  return { objects, selected: state.selected === id ? null : state.selected };
}

export function withSelected(state, id) {
  return state.selected === id ? state : { ...state, selected: id };
}

export function withCategory(state, id, category) {
  const rename = (each) => (each.id === id ? { ...each, category } : each);
  return { ...state, objects: state.objects.map(rename) };
}

/** With all objects of a category moved to another. */
export function withRenamed(state, from, to) {
  const rename = (each) => (each.category === from ? { ...each, category: to } : each);
  return { ...state, objects: state.objects.map(rename) };
}

/** What is to be asked about an object if (x, y) is clicked, or a box drawn: `{points, box, after}`. */
export function promptOf(found, { point = null, box = null }) {
  const points = point ? [...found.points, point] : found.points;
  if (box) return { points, box, after: points.length };
  // An object that was saved or predicted has no clicks yet: its own box says which object is meant.
  const isUnasked = !found.points.length && !found.box && found.base;
  return { points, box: isUnasked ? measure(found.base).box : found.box, after: found.after };
}

/** An object with the model's answer to a prompt; what was painted stays. */
export function answered(found, { points, box, after }, answer) {
  return composed({ ...found, points, box, after, base: answer.rle });
}

/** An object after a stroke of the brush (value 1) or the eraser (0); `touched` is a Mask of its pixels. */
export function painted(found, touched, value) {
  const { width, height } = touched;
  const layer = (rle) => (rle ? Mask.fromRle(rle) : new Mask(width, height));
  const added = layer(found.added).paint(touched, value);
  const removed = layer(found.removed).paint(touched, 1 - value);
  return composed({ ...found, added: orNull(added), removed: orNull(removed) }, [width, height]);
}

function orNull(mask) {
  return mask.isEmpty() ? null : mask.toRle();
}

function composed(found, size = null) {
  if (!found.added && !found.removed) return { ...found, rle: found.base };
  const mask = found.base ? Mask.fromRle(found.base) : new Mask(...(size ?? sizeOf(found)));
  if (found.added) mask.paint(Mask.fromRle(found.added), 1);
  if (found.removed) mask.paint(Mask.fromRle(found.removed), 0);
  return { ...found, rle: mask.toRle() };
}

function sizeOf(found) {
  const [height, width] = (found.added ?? found.removed).size;
  return [width, height];
}
