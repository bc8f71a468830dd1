// The tools: what clicks, drags and the keys of the pointer do to the image.

import { byId } from "./dom.js";

export const TOOLS = ["click", "box", "brush", "eraser", "select"];

const SMALLEST = 1;
const LARGEST = 500;
const HINTS = {
  click: "Click on the object; Shift-click where it is not; drag a box.",
  box: "Drag a box around the object.",
  brush: "Paint what belongs to the object.",
  eraser: "Paint what does not belong to the selected object.",
  select: "Click to select an object or accept a prediction; drag to move.",
};

export class Tools extends EventTarget {
  constructor(editor, stage, guess) {
    super();
    Object.assign(this, { editor, stage, guess });
    this.tool = "click";
    this.isNegative = false;
    this.diameter = 20;
    // Where the arrow keys or the mouse have put the pointer, in image pixels, or null.
    this.pointer = null;
    this.isByKeys = false;
    // The corner of a box that Enter has started.
    this.corner = null;
    this.dragged = null;
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.addEventListener("click", () => this.use(button.dataset.tool));
    }
    for (const button of document.querySelectorAll("[data-sign]")) {
      button.addEventListener("click", () => this.setNegative(button.dataset.sign === "0"));
    }
    byId("diameter").addEventListener("input", (event) => this.setDiameter(fromSlider(event.target.value)));
  }

  use(tool) {
    this.tool = tool;
    this.#drop();
    if (!this.asks) this.editor.lookAway();
    this.#changed();
  }

  setNegative(isNegative) {
    this.isNegative = isNegative;
    this.#changed();
  }

  setDiameter(diameter) {
    this.diameter = Math.min(Math.max(Math.round(diameter), SMALLEST), LARGEST);
    this.#changed();
  }

  resizeBrush(factor) {
    const wanted = Math.round(this.diameter * factor);
    this.setDiameter(wanted === this.diameter ? wanted + Math.sign(factor - 1) : wanted);
  }

  get asks() {
    return this.tool === "click" || this.tool === "box";
  }

  get paints() {
    return this.tool === "brush" || this.tool === "eraser";
  }

  get hint() {
    if (this.asks && !this.editor.prompting && this.editor.name !== null) {
      return "No model here takes clicks: use the brush, or start from a prediction.";
    }
    if (this.tool === "eraser" && !this.editor.selected) return "Select an object first, then erase from it.";
    if (this.corner) return "Move to the other corner and press Enter.";
    if (this.editor.strokeNow && this.isByKeys) return "Move with the arrow keys; Enter ends the stroke.";
    return HINTS[this.tool];
  }

  // For Pointers -------------------------------------------------------------------------------------------

  hover(x, y, event) {
    this.pointer = [x, y];
    this.isByKeys = false;
    if (this.tool === "click" && event.pointerType !== "touch") {
      this.editor.look(x, y, !(this.isNegative || event.shiftKey));
    }
    this.dispatchEvent(new Event("pointer"));
  }

  leave() {
    if (!this.isByKeys) this.pointer = null;
    this.editor.lookAway();
    this.dispatchEvent(new Event("pointer"));
  }

  drags(event) {
    if (this.paints) return "paint";
    if (this.tool === "box") return "box";
    return this.tool === "click" && event.pointerType !== "touch" ? "box" : "pan";
  }

  tap(x, y, isNegative) {
    if (!this.editor.contains(x, y)) return undefined;
    if (this.tool === "click") return this.editor.click(x, y, !(isNegative || this.isNegative));
    if (this.tool === "select") return this.#selectAt(x, y);
    return undefined;
  }

  boxMoved(box) {
    this.dragged = box;
    if (box) this.editor.lookAway();
    this.dispatchEvent(new Event("pointer"));
  }

  boxEnded(box) {
    return this.editor.box(...box);
  }

  paintStarted(x, y) {
    const started = this.editor.startStroke(x, y, this.diameter, this.tool === "brush" ? 1 : 0);
    if (!started) this.dispatchEvent(new CustomEvent("said", { detail: this.hint }));
    this.dispatchEvent(new Event("pointer"));
    return started;
  }

  paintMoved(x, y) {
    this.pointer = [x, y];
    this.editor.extendStroke(x, y);
    this.dispatchEvent(new Event("pointer"));
  }

  paintEnded() {
    return this.editor.endStroke();
  }

  paintCancelled() {
    this.editor.cancelStroke();
    this.dispatchEvent(new Event("pointer"));
  }

  // For the keyboard ---------------------------------------------------------------------------------------

  /** Move the pointer by steps: each a few pixels of the screen, and at least one of the image. */
  step(dx, dy) {
    const { editor, stage } = this;
    if (!editor.size) return;
    const { width, height } = editor.size;
    const [x, y] = this.pointer ?? [width / 2, height / 2];
    const size = Math.max(1, Math.round(8 / stage.view.scale));
    const within = (value, length) => Math.min(Math.max(Math.floor(value) + 0.5, 0.5), length - 0.5);
    this.pointer = [within(x + dx * size, width), within(y + dy * size, height)];
    this.isByKeys = true;
    stage.reveal(...this.pointer);
    if (editor.strokeNow) editor.extendStroke(...this.pointer);
    if (this.corner) this.dragged = [...this.corner, ...this.pointer];
    else if (this.tool === "click") editor.look(...this.pointer, !this.isNegative);
    this.dispatchEvent(new Event("pointer"));
  }

  /** What a click at the pointer does; boxes and strokes take two, at their start and end. */
  act(isNegative) {
    if (!this.pointer) {
      this.step(0, 0);
      return undefined;
    }
    const [x, y] = this.pointer;
    this.isByKeys = true;
    if (this.paints) return this.editor.strokeNow ? this.paintEnded() : this.paintStarted(x, y);
    if (this.tool !== "box") return this.tap(x, y, isNegative);
    const { corner } = this;
    this.corner = corner ? null : [x, y];
    this.dragged = null;
    this.#changed();
    return corner ? this.boxEnded([...corner, x, y]) : undefined;
  }

  /** Give up the box or the stroke that was started; returns whether there was one. */
  escape() {
    const hadOne = Boolean(this.corner || this.dragged || this.editor.strokeNow);
    this.#drop();
    this.#changed();
    return hadOne;
  }

  #drop() {
    this.corner = null;
    this.dragged = null;
    this.editor.cancelStroke();
  }

  #selectAt(x, y) {
    const found = this.editor.objectAt(x, y);
    if (found) return this.editor.select(found.id);
    const guessed = this.guess.at(x, y);
    return guessed ? this.guess.accept([guessed]) : this.editor.select(null);
  }

  draw() {
    const sign = this.isNegative ? "0" : "1";
    for (const button of document.querySelectorAll("[data-tool], [data-sign]")) {
      const isOn = button.dataset.tool === this.tool || button.dataset.sign === sign;
      button.setAttribute("aria-pressed", String(isOn));
    }
    byId("polarity").hidden = this.tool !== "click";
    byId("brush").hidden = !this.paints;
    byId("diameter").value = toSlider(this.diameter);
    byId("diameter").setAttribute("aria-valuetext", `${this.diameter} pixels`);
    byId("diameter-shown").textContent = `${this.diameter} px`;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

// The slider is logarithmic: small brushes need finer steps.
const RANGE = LARGEST / SMALLEST;
const fromSlider = (value) => SMALLEST * RANGE ** (Number(value) / 100);
const toSlider = (diameter) => Math.round((100 * Math.log(diameter / SMALLEST)) / Math.log(RANGE));
