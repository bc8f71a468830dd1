// What the models of the server predict for the image that is open, and the panel that shows it.

import * as api from "./api.js";
import { byId, element, keepShowing, visible } from "./dom.js";
import { css } from "./palette.js";
import { labelMapPicture } from "./pictures.js";
import * as predictions from "./predictions.js";
import { covers, decodeCounts } from "./rle.js";

const MOST_ROWS = 100;
const MOST_KEPT = 12;

export class Guess extends EventTarget {
  constructor(editor, categories) {
    super();
    this.editor = editor;
    this.categories = categories;
    this.model = "";
    this.other = "";
    this.threshold = 0.5;
    // A background over the whole image would hide it.
    this.hiddenClasses = new Set(["background"]);
    this.kept = new Map();
    this.shown = null;
    this.isRunning = false;
    this.controller = new AbortController();
    byId("predict").addEventListener("click", () => this.predict());
    byId("clear").addEventListener("click", () => this.clear());
    byId("accept").addEventListener("click", () => this.acceptAll());
    byId("predictor").addEventListener("change", (event) => this.use(event.target.value));
    byId("swap").addEventListener("click", () => this.swap());
    byId("threshold").addEventListener("input", (event) => {
      this.threshold = Number(event.target.value) / 100;
      this.#changed();
    });
  }

  /** What the server has; a model that is gone is no longer chosen. */
  setModels(models) {
    this.models = models;
    const names = models.map((each) => each.name);
    if (!names.includes(this.model)) {
      this.model = (models.find((each) => !each.promptable) ?? models[0])?.name ?? "";
    }
    if (!names.includes(this.other)) this.other = names.find((name) => name !== this.model) ?? "";
    this.#changed();
  }

  /** Another image is open: nothing is shown until it is asked for, or all images are predicted. */
  opened() {
    this.#stop();
    this.shown = null;
    if (byId("always").checked) this.predict();
    else this.#changed();
  }

  /** Predict with another model, if a prediction is shown. */
  async use(model) {
    if (model === this.model) return;
    [this.model, this.other] = [model, this.model];
    if (this.shown || this.isRunning) await this.predict();
    else this.#changed();
  }

  swap() {
    return this.other ? this.use(this.other) : undefined;
  }

  /** Show what a model predicts, with another one to swap it with. */
  compare(model, other) {
    this.model = model;
    if (other && other !== model) this.other = other;
    return this.predict();
  }

  clear() {
    this.#stop();
    this.shown = null;
    this.#changed();
  }

  async predict() {
    const { name } = this.editor;
    if (name === null || !this.model) return;
    this.#stop();
    const { model, controller } = this;
    const key = JSON.stringify([model, name]);
    this.isRunning = true;
    this.#changed();
    try {
      const result = this.kept.get(key) ?? (await asked(model, name, controller.signal));
      if (controller.signal.aborted) return;
      this.#keep(key, result);
      this.shown = { model, ...result };
      this.isRunning = false;
      this.#changed();
    } catch (error) {
      if (controller.signal.aborted) return;
      this.isRunning = false;
      this.#changed();
      this.dispatchEvent(new CustomEvent("fail", { detail: error }));
    }
  }

  /** The objects that are shown: at least the threshold, and not labeled yet. */
  get objects() {
    const { shown, threshold } = this;
    const labeled = this.editor.state.objects;
    const isCurrent = this.listed?.shown === shown && this.listed.threshold === threshold;
    if (!isCurrent || this.listed.labeled !== labeled) {
      const found = predictions.above(shown?.objects ?? [], threshold);
      const objects = found.filter((each) => !predictions.isLabeled(each, labeled));
      this.listed = { shown, threshold, labeled, objects, hidden: found.length - objects.length };
    }
    return this.listed.objects;
  }

  get labelMap() {
    return this.shown?.labelMap ?? null;
  }

  /** The best of the objects that are shown at a pixel, or null. */
  at(x, y) {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    const isThere = ({ rle }) => covers(decodeCounts(rle.counts), rle.size[0], column, row);
    return this.objects.find(isThere) ?? null;
  }

  /** The class of the label map at a pixel, or null. */
  classAt(x, y) {
    const map = this.labelMap;
    const index = map && predictions.classAt(map, x, y);
    return index === null ? null : map.classes[index];
  }

  /** The label map as a picture, or null. */
  get picture() {
    if (!this.labelMap) return null;
    const key = [...this.hiddenClasses].join();
    if (this.drawn?.map !== this.labelMap || this.drawn.key !== key) {
      const { classes } = this.labelMap;
      const colors = classes.map((name) => this.colorOf(name));
      const hidden = new Set(classes.flatMap((name, index) => (this.hiddenClasses.has(name) ? [index] : [])));
      this.drawn = { map: this.labelMap, key, picture: labelMapPicture(this.labelMap, colors, hidden) };
    }
    return this.drawn.picture;
  }

  /** The color of a class: that of the category of this name; a background is black. */
  colorOf(name) {
    const place = this.labelMap?.classes.indexOf(name) ?? -1;
    const model = this.models.find((each) => each.name === this.shown?.model);
    const own = place < 0 ? null : model?.colors?.[place];
    return own && !this.categories.has(name) ? own : this.categories.colorOf(name);
  }

  accept(objects) {
    if (!objects.length) return undefined;
    return this.editor.add(objects.map(({ category, rle }) => ({ category, rle })));
  }

  acceptAll() {
    return this.accept(this.objects);
  }

  acceptClass(index) {
    const category = this.labelMap.classes[index];
    return this.editor.add([{ category, rle: predictions.maskOfClass(this.labelMap, index) }]);
  }

  /** Bring the panel up to date. */
  draw() {
    const { shown, models = [] } = this;
    keepShowing(byId("predictor"), JSON.stringify(models.map((each) => each.name)), () =>
      models.map(({ name, kind }) => element("option", { value: name, text: `${visible(name)} (${kind})` })),
    );
    byId("predictor").value = this.model;
    byId("predict").disabled = this.isRunning || !this.model;
    byId("predict").firstChild.textContent = this.isRunning ? "Predicting…" : "Predict";
    byId("clear").hidden = !shown;
    byId("swap").hidden = !shown || !this.other || this.other === this.model;
    byId("swap").firstChild.textContent = `Show ${visible(this.other)} instead`;
    byId("found").hidden = !shown?.objects.length;
    byId("threshold").value = Math.round(this.threshold * 100);
    byId("threshold-shown").textContent = this.threshold.toFixed(2);
    byId("guessed").textContent = this.#sentence();
    const { objects } = this;
    byId("accept").disabled = !objects.length;
    byId("accept").firstChild.textContent = `Accept ${objects.length}`;
    const rows = objects.slice(0, MOST_ROWS);
    const told = rows.map(({ category, score }) => [category, score]);
    const key = JSON.stringify([shown?.model, this.editor.name, told]);
    keepShowing(byId("guesses"), key, () => rows.map((each) => this.#row(each)));
    this.#drawClasses();
  }

  #sentence() {
    const { shown, objects } = this;
    if (!shown) return "";
    const about = `${visible(shown.model)}: `;
    if (shown.labelMap && !shown.objects.length) {
      return `${about}label map of ${shown.labelMap.classes.length} classes`;
    }
    const lower = shown.objects.length - this.listed.hidden - objects.length;
    const rest = [
      lower > 0 ? `, ${lower} below the threshold` : "",
      this.listed.hidden > 0 ? `, ${this.listed.hidden} labeled already` : "",
    ];
    return `${about}${objects.length} ${objects.length === 1 ? "object" : "objects"}${rest.join("")}`;
  }

  #row(each) {
    const score = each.score === null ? "" : each.score.toFixed(2);
    const accept = element("button", {
      type: "button",
      text: "Accept",
      "aria-label": `Accept ${visible(each.category)} ${score}`,
      onclick: () => this.accept([each]),
    });
    return element("li", {}, this.#swatch(each.category), named(each.category), numbered(score), accept);
  }

  #drawClasses() {
    const map = this.labelMap;
    byId("classes-of-map").hidden = !map;
    const key = map ? JSON.stringify([this.shown.model, this.editor.name]) : "";
    keepShowing(byId("classes"), key, () => {
      if (!map) return [];
      const parts = predictions.shares(map);
      const order = parts.map((_, index) => index).filter((index) => parts[index] > 0);
      order.sort((a, b) => parts[b] - parts[a]);
      return order.map((index) => this.#classRow(map.classes[index], index, parts[index]));
    });
  }

  #classRow(name, index, share) {
    const box = element("input", { type: "checkbox", onchange: () => this.toggleClass(name) });
    box.checked = !this.hiddenClasses.has(name);
    const percent = share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(1)}%`;
    const label = element("label", {}, box, this.#swatch(name), named(name), numbered(percent));
    const accept = element("button", {
      type: "button",
      text: "Accept",
      "aria-label": `Accept ${visible(name)} as an object`,
      onclick: () => this.acceptClass(index),
    });
    return element("li", {}, label, accept);
  }

  toggleClass(name) {
    if (!this.hiddenClasses.delete(name)) this.hiddenClasses.add(name);
    this.#changed();
  }

  #swatch(name) {
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = css(this.colorOf(name));
    return swatch;
  }

  #keep(key, result) {
    this.kept.delete(key);
    this.kept.set(key, result);
    if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value);
  }

  #stop() {
    this.controller.abort();
    this.controller = new AbortController();
    this.isRunning = false;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

const named = (name) => element("span", { class: "name", text: visible(name) });
const numbered = (text) => element("span", { class: "number", text });

async function asked(model, name, signal) {
  const found = await api.predict(model, name, predictions.LOWEST_SCORE, signal);
  const labelMap = found.label_map ? await predictions.readLabelMap(found.label_map) : null;
  // Objects without a score beside a label map are its classes, which have a list of their own.
  const isObject = (each) => each.rle && !(labelMap && (each.score ?? null) === null);
  const objects = (found.objects ?? []).filter(isObject);
  return { objects: objects.map((each) => ({ ...each, score: each.score ?? null })), labelMap };
}
