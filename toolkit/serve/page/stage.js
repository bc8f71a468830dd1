// The canvas: the image, what lies over it, and where it is.

import * as geometry from "./view.js";
import { css } from "./palette.js";
import { pictureOf } from "./pictures.js";

const FILL = 0.4;

export class Stage {
  /** `scene()` gives what is to be drawn, see `#draw`. */
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.scene = scene;
    this.image = null;
    this.view = { scale: 1, left: 0, top: 0 };
    this.isFitted = true;
    this.onview = () => {};
    this.#resize();
    new ResizeObserver(() => this.#resize()).observe(canvas.parentElement);
  }

  get size() {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  show(image) {
    this.image = image;
    this.fit();
  }

  fit() {
    if (this.image) this.#set(geometry.fit(this.image, this.size), true);
  }

  /** One pixel of the image is one of the screen's. */
  actualSize() {
    if (this.image) this.#set(geometry.centered(this.image, this.size, 1 / devicePixelRatio));
  }

  zoom(factor, at = null) {
    const [x, y] = at ?? [this.size.width / 2, this.size.height / 2];
    if (this.image) this.#set(geometry.zoomedAt(this.view, this.image, this.size, x, y, factor));
  }

  pan(dx, dy) {
    if (this.image) this.#set(geometry.moved(this.view, this.image, this.size, dx, dy));
  }

  pinch(before, now) {
    if (this.image) this.#set(geometry.pinched(this.view, this.image, this.size, before, now));
  }

  reveal(x, y) {
    if (this.image) this.#set(geometry.revealed(this.view, this.image, this.size, x, y), this.isFitted);
  }

  /** Where in the image an event of the canvas is, in image pixels; may be outside. */
  place(event) {
    const corner = this.canvas.getBoundingClientRect();
    return geometry.toImage(this.view, event.clientX - corner.left, event.clientY - corner.top);
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.#draw();
    });
  }

  #set(view, isFitted = false) {
    this.view = view;
    this.isFitted = isFitted;
    this.onview(view);
    this.redraw();
  }

  #resize() {
    const { width, height } = this.canvas.parentElement.getBoundingClientRect();
    this.canvas.width = Math.max(1, Math.round(width * devicePixelRatio));
    this.canvas.height = Math.max(1, Math.round(height * devicePixelRatio));
    if (this.isFitted) this.fit();
    this.redraw();
  }

  #draw() {
    const { context, canvas, view, image } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!image) return;
    const scene = this.scene();
    const ratio = devicePixelRatio;
    const { scale, left, top } = view;
    context.setTransform(scale * ratio, 0, 0, scale * ratio, left * ratio, top * ratio);
    context.imageSmoothingEnabled = scale * ratio < 1.5;
    context.imageSmoothingQuality = "high";
    context.drawImage(image.at(scale * ratio), 0, 0, image.width, image.height);
    context.imageSmoothingEnabled = false;
    for (const { picture, opacity } of scene.layers) {
      context.globalAlpha = opacity;
      context.drawImage(picture, 0, 0, image.width, image.height);
      context.globalAlpha = 1;
    }
    for (const shape of scene.shapes) this.#shape(shape);
    if (scene.stroke) this.#stroke(scene.stroke);
    for (const box of scene.boxes) this.#box(box);
    for (const point of scene.points) this.#point(point);
    if (scene.cursor) this.#cursor(scene.cursor);
  }

  // A mask: filled, with an outline; `dash` for what is not decided yet.
  #shape({ rle, color, isStrong, dash = false }) {
    const picture = pictureOf(rle);
    if (!picture.box) return;
    const { context } = this;
    const [x0, y0, x1, y1] = picture.box;
    context.globalAlpha = isStrong ? FILL + 0.12 : FILL;
    context.drawImage(picture.tinted(css(color)), x0, y0, x1 - x0, y1 - y0);
    context.globalAlpha = 1;
    if (!picture.outline) return;
    const width = isStrong ? 2.5 : 1.5;
    // White below the color, so that an outline is seen on any image.
    this.#line(picture.outline, width + 1.5, "rgb(255 255 255 / 0.75)", dash);
    this.#line(picture.outline, width, css(color), dash);
  }

  #line(path, width, color, dash) {
    const { context, view } = this;
    context.lineWidth = width / view.scale;
    // Squares close the corners of an outline of single pieces, and are quicker to draw than circles.
    context.lineCap = "square";
    context.strokeStyle = color;
    context.setLineDash(dash ? [6 / view.scale, 5 / view.scale] : []);
    context.stroke(path);
    context.setLineDash([]);
  }

  // What a stroke of the brush covers so far; its exact pixels are counted at its end.
  #stroke({ points, radius, color }) {
    const { context } = this;
    context.beginPath();
    points.forEach(([x, y]) => context.lineTo(x, y));
    if (points.length === 1) context.lineTo(points[0][0] + 1e-3, points[0][1]);
    context.globalAlpha = 0.6;
    context.lineWidth = Math.max(2 * radius, 1);
    context.lineCap = "round";
    context.lineJoin = "round";
    context.strokeStyle = css(color);
    context.stroke();
    context.globalAlpha = 1;
  }

  #box([x0, y0, x1, y1]) {
    const path = new Path2D();
    path.rect(x0, y0, x1 - x0, y1 - y0);
    this.#line(path, 3.5, "white", false);
    this.#line(path, 1.5, "black", true);
  }

  // A click: a plus on green or a minus on red, so that color alone does not tell them apart.
  #point([x, y, label]) {
    const { context, view } = this;
    const unit = 1 / view.scale;
    context.beginPath();
    context.arc(x, y, 8 * unit, 0, 2 * Math.PI);
    context.fillStyle = label ? "#0a7a2f" : "#c01818";
    context.fill();
    context.lineWidth = 2 * unit;
    context.strokeStyle = "white";
    context.stroke();
    const sign = new Path2D();
    sign.moveTo(x - 4 * unit, y);
    sign.lineTo(x + 4 * unit, y);
    if (label) {
      sign.moveTo(x, y - 4 * unit);
      sign.lineTo(x, y + 4 * unit);
    }
    this.#line(sign, 2, "white", false);
  }

  // The circle of the brush, or the cross that the arrow keys move.
  #cursor({ x, y, radius }) {
    const { view } = this;
    const path = new Path2D();
    if (radius) {
      path.arc(x, y, radius, 0, 2 * Math.PI);
    } else {
      const reach = 14 / view.scale;
      path.moveTo(x - reach, y);
      path.lineTo(x + reach, y);
      path.moveTo(x, y - reach);
      path.lineTo(x, y + reach);
    }
    this.#line(path, 3.5, "white", false);
    this.#line(path, 1.5, "black", false);
  }
}
