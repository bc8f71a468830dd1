// Masks of one object, and COCO's compressed run-length codes.
//
// COCO counts pixels column by column, from the top left: runs of 0 and of 1 in turn, 0 first. In the
// compressed form, each run from the fourth on is the difference to the run two before it, written in groups
// of five bits, lowest first.

const FIRST_CHARACTER = 48;
const MORE = 0x20;
const SIGN = 0x10;
// Seven groups of five bits do not fit into the 32 bits of JavaScript's shifts; no run is that long.
const MOST_GROUPS = 6;

/** The runs (Uint32Array) of a compressed code. Throws a RangeError where the text is not one. */
export function decodeCounts(text) {
  const runs = [];
  let place = 0;
  while (place < text.length) {
    let value = 0;
    let group = 0;
    let bits;
    do {
      bits = text.charCodeAt(place) - FIRST_CHARACTER;
      if (!(bits >= 0 && bits < 64) || group >= MOST_GROUPS) {
        throw new RangeError(`not a COCO run-length code: "${text.slice(0, 40)}"`);
      }
      value |= (bits & 0x1f) << (5 * group);
      place += 1;
      group += 1;
    } while (bits & MORE);
    if (bits & SIGN) value |= -1 << (5 * group);
    if (runs.length > 2) value += runs[runs.length - 2];
    if (value < 0) throw new RangeError("a run-length code with a negative run");
    runs.push(value);
  }
  return Uint32Array.from(runs);
}

/** The compressed code of runs, as pycocotools writes it. */
function encodeCounts(runs) {
  const codes = [];
  for (let i = 0; i < runs.length; i += 1) {
    let value = i > 2 ? runs[i] - runs[i - 2] : runs[i];
    let done = false;
    while (!done) {
      const bits = value & 0x1f;
      value >>= 5;
      done = bits & SIGN ? value === -1 : value === 0;
      codes.push((done ? bits : bits | MORE) + FIRST_CHARACTER);
    }
  }
  // In pieces, because a function takes only so many arguments.
  const pieces = [];
  for (let i = 0; i < codes.length; i += 8192) {
    pieces.push(String.fromCharCode(...codes.slice(i, i + 8192)));
  }
  return pieces.join("");
}

/** A binary mask; pixel (x, y) is `data[x * height + y]`, 0 or 1. */
export class Mask {
  constructor(width, height, data = new Uint8Array(width * height)) {
    this.width = width;
    this.height = height;
    this.data = data;
  }

  /** From `{size: [height, width], counts}`. Throws a RangeError if it does not cover the image exactly. */
  static fromRle(rle) {
    const [height, width] = rle.size;
    const mask = new Mask(width, height);
    let place = 0;
    let value = 0;
    for (const run of decodeCounts(rle.counts)) {
      if (value) mask.data.fill(1, place, place + run);
      place += run;
      value = 1 - value;
    }
    if (place !== mask.data.length) {
      throw new RangeError(`a run-length code of ${place} pixels for an image of ${width} × ${height}`);
    }
    return mask;
  }

  toRle() {
    const runs = [];
    const { data } = this;
    let start = 0;
    let value = 0;
    while (start < data.length) {
      const end = data.indexOf(1 - value, start);
      const stop = end < 0 ? data.length : end;
      runs.push(stop - start);
      start = stop;
      value = 1 - value;
    }
    return { size: [this.height, this.width], counts: encodeCounts(runs) };
  }

  at(x, y) {
    return x >= 0 && y >= 0 && x < this.width && y < this.height ? this.data[x * this.height + y] : 0;
  }

  /** Add (1) or take away (0) the pixels of another mask. */
  paint(other, value) {
    const { data } = this;
    for (let i = 0; i < data.length; i += 1) if (other.data[i]) data[i] = value;
    return this;
  }

  isEmpty() {
    return !this.data.includes(1);
  }
}

/** Area in pixels and the box `[x0, y0, x1, y1]` (null if empty) of a code, without making its pixels. */
export function measure(rle) {
  const height = rle.size[0];
  let area = 0;
  let place = 0;
  let box = null;
  decodeCounts(rle.counts).forEach((run, index) => {
    if (index % 2 && run) {
      area += run;
      const last = place + run - 1;
      const left = Math.floor(place / height);
      const right = Math.floor(last / height);
      const inOneColumn = left === right;
      const top = inOneColumn ? place % height : 0;
      const bottom = inOneColumn ? last % height : height - 1;
      box = box
        ? [box[0], Math.min(box[1], top), Math.max(box[2], right + 1), Math.max(box[3], bottom + 1)]
        : [left, top, right + 1, bottom + 1];
    }
    place += run;
  });
  return { area, box };
}

/** Whether the pixel (x, y) is in the mask that the code stands for. */
export function covers(runs, height, x, y) {
  const wanted = x * height + y;
  let place = 0;
  for (let i = 0; i < runs.length; i += 1) {
    place += runs[i];
    if (wanted < place) return i % 2 === 1;
  }
  return false;
}

/** How many pixels two codes of the same image share. */
export function sharedArea(a, b) {
  let [i, j] = [0, 0];
  let [endA, endB] = [a[0] ?? 0, b[0] ?? 0];
  let place = 0;
  let shared = 0;
  while (i < a.length && j < b.length) {
    const end = Math.min(endA, endB);
    if (i % 2 && j % 2) shared += end - place;
    place = end;
    if (endA === end) endA += a[(i += 1)] ?? 0;
    if (endB === end) endB += b[(j += 1)] ?? 0;
  }
  return shared;
}
