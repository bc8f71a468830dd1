// Mouse, pen and fingers on the canvas. One finger, or the left button, uses the tool; two fingers, the
// wheel, the middle button, or the left one with the space bar held, move and scale.

const STILL = 5;

/**
 * `actions` has
 *   hover(x, y, event), leave()           without a button, in image pixels
 *   tap(x, y, isNegative, event)          pressed and released in one place
 *   drags(event)                          what dragging does now: "box", "paint" or "pan"
 *   boxMoved(box or null), boxEnded(box)
 *   paintStarted(x, y) -> boolean, paintMoved(x, y), paintEnded(), paintCancelled()
 */
export class Pointers {
  constructor(stage, actions) {
    this.stage = stage;
    this.actions = actions;
    this.down = new Map();
    this.gesture = null;
    this.holdsSpace = false;
    const { canvas } = stage;
    canvas.addEventListener("pointerdown", (event) => this.#pressed(event));
    canvas.addEventListener("pointermove", (event) => this.#moved(event));
    canvas.addEventListener("pointerup", (event) => this.#released(event, false));
    canvas.addEventListener("pointercancel", (event) => this.#released(event, true));
    canvas.addEventListener("pointerleave", () => this.down.size || actions.leave());
    // The middle button would scroll.
    canvas.addEventListener("mousedown", (event) => event.button === 1 && event.preventDefault());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    document.addEventListener("keydown", (event) => this.#spaced(event, true));
    document.addEventListener("keyup", (event) => this.#spaced(event, false));
    addEventListener("blur", () => (this.holdsSpace = false));
    canvas.addEventListener("wheel", (event) => this.#wheeled(event), { passive: false });
  }

  #at(event) {
    const corner = this.stage.canvas.getBoundingClientRect();
    return [event.clientX - corner.left, event.clientY - corner.top];
  }

  // Elsewhere, the space bar belongs to what has the focus.
  #spaced(event, isDown) {
    if (event.key !== " " || (isDown && ![this.stage.canvas, document.body].includes(event.target))) return;
    if (isDown) event.preventDefault();
    this.holdsSpace = isDown;
  }

  #pressed(event) {
    const { canvas } = this.stage;
    canvas.setPointerCapture(event.pointerId);
    const place = this.#at(event);
    this.down.set(event.pointerId, place);
    if (this.down.size === 2) {
      if (this.gesture?.kind === "paint") this.actions.paintCancelled();
      if (this.gesture?.kind === "box") this.actions.boxMoved(null);
      this.gesture = { kind: "pinch" };
    }
    if (this.down.size > 1) return;
    const start = this.stage.place(event);
    const pans = event.button === 1 || this.holdsSpace;
    const kind = pans ? "pan" : this.actions.drags(event);
    const isNegative = event.button === 2 || event.shiftKey;
    this.gesture = { kind, start, place, hasMoved: false, isNegative, pans };
    if (kind === "paint" && !this.actions.paintStarted(...start)) this.gesture.kind = "none";
  }

  #moved(event) {
    const before = this.down.get(event.pointerId);
    const now = this.#at(event);
    if (!before) {
      this.actions.hover(...this.stage.place(event), event);
      return;
    }
    if (this.gesture?.kind === "pinch" && this.down.size === 2) {
      const old = [...this.down.values()];
      this.down.set(event.pointerId, now);
      this.stage.pinch(old, [...this.down.values()]);
      return;
    }
    this.down.set(event.pointerId, now);
    if (this.down.size === 1 && this.gesture) this.#dragged(event, before, now);
  }

  #dragged(event, before, now) {
    const { gesture, stage, actions } = this;
    const far = Math.hypot(now[0] - gesture.place[0], now[1] - gesture.place[1]);
    if (gesture.kind === "paint") {
      // All places in between, not only the newest.
      const all = event.getCoalescedEvents?.() ?? [];
      for (const each of all.length ? all : [event]) actions.paintMoved(...stage.place(each));
      return;
    }
    if (!gesture.hasMoved && far < STILL) return;
    const from = gesture.hasMoved ? before : gesture.place;
    gesture.hasMoved = true;
    if (gesture.kind === "pan") stage.pan(now[0] - from[0], now[1] - from[1]);
    if (gesture.kind === "box") actions.boxMoved([...gesture.start, ...stage.place(event)]);
  }

  #released(event, isCancelled) {
    if (!this.down.delete(event.pointerId)) return;
    const { gesture, actions } = this;
    if (this.down.size || !gesture) return;
    this.gesture = null;
    const place = this.stage.place(event);
    if (gesture.kind === "paint") {
      if (isCancelled) actions.paintCancelled();
      else actions.paintEnded();
    } else if (gesture.kind === "box" && gesture.hasMoved) {
      actions.boxMoved(null);
      if (!isCancelled) actions.boxEnded([...gesture.start, ...place]);
    } else if (gesture.kind !== "pinch" && !gesture.hasMoved && !gesture.pans && !isCancelled) {
      actions.tap(...place, gesture.isNegative, event);
    }
  }

  #wheeled(event) {
    event.preventDefault();
    const unit = { 0: 1, 1: 16, 2: 400 }[event.deltaMode];
    // A pinch on a trackpad arrives as a wheel with the control key, in small steps.
    const speed = event.ctrlKey ? 0.01 : 0.0015;
    this.stage.zoom(Math.exp(-event.deltaY * unit * speed), this.#at(event));
  }
}
