// The labels of the image that is open, and everything that changes them. Whoever shows them listens to
// `change`; everything here works without a screen.

import { ApiError } from "./api.js";
import { stroke } from "./brush.js";
import { History } from "./history.js";
import * as labels from "./labels.js";
import { covers, decodeCounts, Mask } from "./rle.js";

export class Editor extends EventTarget {
  constructor() {
    super();
    this.name = null;
    this.size = null;
    this.history = new History(labels.EMPTY);
    this.hidden = new Set();
    this.category = "object";
    // The Prompting of the image that is open, or null if no model takes prompts.
    this.prompting = null;
    this.preview = null;
    this.strokeNow = null;
    this.waiting = 0;
    this.queue = Promise.resolve();
    // Counts the images opened, so that what was asked about an earlier one is left out.
    this.opened = 0;
  }

  get state() {
    return this.history.present;
  }

  get selected() {
    return labels.selectedObject(this.state);
  }

  /** Start on an image of `{width, height}` with a history. */
  open(name, size, history) {
    this.prompting?.close();
    Object.assign(this, { name, size, history, hidden: new Set(), strokeNow: null, preview: null });
    this.prompting = null;
    this.waiting = 0;
    this.queue = Promise.resolve();
    this.opened += 1;
    this.#changed();
  }

  // Prompts ------------------------------------------------------------------------------------------------

  /** Ask the model about the selected object, or a new one, with one more point or another box. */
  prompt(given) {
    return this.#queued(async () => {
      const { prompting } = this;
      if (!prompting) throw new ApiError("No model that is served here takes clicks. Use the brush.", 0);
      const found = this.selected ?? labels.object(labels.freshId(this.state), this.category);
      const prompt = labels.promptOf(found, given);
      this.preview = null;
      const answer = await prompting.ask(prompt);
      if (prompting !== this.prompting) return;
      this.#push(labels.withObject(this.state, labels.answered(found, prompt, answer)));
    });
  }

  click(x, y, isPositive) {
    const [inX, inY] = this.#inside(x, y);
    return this.prompt({ point: [inX, inY, isPositive ? 1 : 0] });
  }

  box(x0, y0, x1, y1) {
    const { width, height } = this.size;
    const within = (value, most) => rounded(Math.min(Math.max(value, 0), most));
    const box = [
      within(Math.min(x0, x1), width),
      within(Math.min(y0, y1), height),
      within(Math.max(x0, x1), width),
      within(Math.max(y0, y1), height),
    ];
    if (box[2] - box[0] < 1 || box[3] - box[1] < 1) return this.queue;
    return this.prompt({ box });
  }

  /** Show what a click would give; nothing while a click is on its way. */
  look(x, y, isPositive) {
    if (!this.prompting || this.waiting || !this.contains(x, y)) return this.lookAway();
    const { state } = this;
    const found = this.selected ?? labels.object(0, this.category);
    const point = [...this.#inside(x, y), isPositive ? 1 : 0];
    this.prompting.look(labels.promptOf(found, { point }), (answer) => {
      if (state !== this.state || this.waiting) return;
      this.preview = answer && { rle: answer.rle, category: found.category };
      this.dispatchEvent(new Event("preview"));
    });
    return undefined;
  }

  lookAway() {
    this.prompting?.hover.stop();
    if (!this.preview) return;
    this.preview = null;
    this.dispatchEvent(new Event("preview"));
  }

  contains(x, y) {
    return Boolean(this.size) && x >= 0 && y >= 0 && x < this.size.width && y < this.size.height;
  }

  // Brush --------------------------------------------------------------------------------------------------

  /** Start painting (value 1) or erasing (0); the diameter is in image pixels. */
  startStroke(x, y, diameter, value) {
    if (!this.size || (!value && !this.selected)) return false;
    this.strokeNow = { points: [[rounded(x), rounded(y)]], radius: diameter / 2, value };
    return true;
  }

  extendStroke(x, y) {
    this.strokeNow?.points.push([rounded(x), rounded(y)]);
  }

  cancelStroke() {
    this.strokeNow = null;
  }

  endStroke() {
    const drawn = this.strokeNow;
    this.strokeNow = null;
    if (!drawn) return this.queue;
    return this.#queued(() => {
      const touched = new Mask(this.size.width, this.size.height);
      drawn.points.forEach((point, index) => {
        stroke(touched, drawn.points[Math.max(index - 1, 0)], point, drawn.radius, 1);
      });
      const found = this.selected ?? labels.object(labels.freshId(this.state), this.category);
      if (touched.isEmpty() || (!drawn.value && !this.selected)) return;
      this.#push(labels.withObject(this.state, labels.painted(found, touched, drawn.value)));
    });
  }

  // Objects ------------------------------------------------------------------------------------------------

  undo() {
    return this.#queued(() => this.history.undo() && this.#changed());
  }

  redo() {
    return this.#queued(() => this.history.redo() && this.#changed());
  }

  /** The next click, box or stroke starts an object; `select(null)`, in a word. */
  select(id) {
    return this.#queued(() => this.#select(id));
  }

  /** The topmost object at a place, or null. */
  objectAt(x, y) {
    if (!this.contains(x, y)) return null;
    const isAt = ({ id, rle }) =>
      !this.hidden.has(id) && covers(decodeCounts(rle.counts), rle.size[0], Math.floor(x), Math.floor(y));
    return this.state.objects.filter(isAt).at(-1) ?? null;
  }

  /** Select the object before (-1) or after (1) the selected one. */
  selectNext(direction) {
    return this.#queued(() => {
      const ids = [null, ...this.state.objects.map((each) => each.id)];
      const place = ids.indexOf(this.state.selected) + direction;
      this.#select(ids[(place + ids.length) % ids.length]);
    });
  }

  remove(id) {
    return this.#queued(() => this.#push(labels.withoutObject(this.state, id)));
  }

  /** The category of the selected object, and of the next new one. */
  setCategory(category) {
    return this.#queued(() => {
      this.category = category;
      const { selected } = this;
      if (selected && selected.category !== category) {
        this.#push(labels.withCategory(this.state, selected.id, category));
      } else {
        this.#changed();
      }
    });
  }

  renameCategory(from, to) {
    return this.#queued(() => {
      if (this.category === from) this.category = to;
      // What can be undone has the new name, too: the old one is gone.
      this.#rewrite((state) => labels.withRenamed(state, from, to));
    });
  }

  /** The server has given objects these ids, a Map from old to new; hidden ones stay hidden. */
  takeIds(ids) {
    this.hidden = new Set([...this.hidden].map((id) => ids.get(id) ?? id));
    this.#rewrite((state) => labels.withIds(state, ids));
  }

  /** Take over objects, `[{category, rle}, …]`. */
  add(objects) {
    return this.#queued(() => this.#push(labels.withObjects(this.state, objects)));
  }

  toggle(id) {
    if (!this.hidden.delete(id)) this.hidden.add(id);
    this.#changed();
  }

  toggleAll() {
    const { objects } = this.state;
    this.hidden = new Set(this.hidden.size ? [] : objects.map((each) => each.id));
    this.#changed();
  }

  // One after the other: an answer that is on its way is waited for before the next thing changes.
  #queued(action) {
    const { opened } = this;
    this.waiting += 1;
    const done = this.queue.then(async () => {
      if (opened !== this.opened) return;
      try {
        await action();
      } catch (error) {
        if (error.name !== "AbortError") this.dispatchEvent(new CustomEvent("fail", { detail: error }));
      } finally {
        if (opened === this.opened) this.waiting -= 1;
        if (!this.waiting) this.dispatchEvent(new Event("preview"));
      }
    });
    this.queue = done;
    this.dispatchEvent(new Event("waiting"));
    return done;
  }

  #select(id) {
    this.history.amend(labels.withSelected(this.state, id));
    if (this.selected) this.category = this.selected.category;
    this.#changed();
  }

  // Change all states; those that have the same list of objects still have the same one afterwards.
  #rewrite(change) {
    const lists = new Map();
    const changed = (state) => {
      const next = change(state);
      if (!lists.has(state.objects)) lists.set(state.objects, next.objects);
      return { ...next, objects: lists.get(state.objects) };
    };
    const { past, present, future } = this.history;
    this.history = new History(changed(present), past.map(changed), future.map(changed));
    this.dispatchEvent(new CustomEvent("rewrite", { detail: lists }));
    this.#changed();
  }

  #push(state) {
    this.history.push(state);
    this.#changed();
  }

  #changed() {
    this.preview = null;
    this.dispatchEvent(new Event("change"));
  }

  // Within the image, to a hundredth of a pixel.
  #inside(x, y) {
    const { width, height } = this.size;
    return [within(x, width), within(y, height)];
  }
}

function within(value, length) {
  return Math.min(Math.max(rounded(value), 0), length - 0.01);
}

function rounded(value) {
  return Math.round(value * 100) / 100;
}
