// The images of the folder: what is there, what is done, what matches the filter.

import * as api from "./api.js";
import { byId, element, visible } from "./dom.js";
import { VirtualList } from "./list.js";
import { Thumbnails } from "./thumbnails.js";

const FIRST_PAGE = 500;
const PAGE = 5000;
// Characters of a name that are shown, and of its end.
const MOST = 25;
const END = 14;
const MARKS = { "not saved": "●", done: "✓", "to do": "○" };

export class Folder {
  constructor(choose) {
    this.images = [];
    this.total = null;
    // Tells the folders apart that the same address may serve at different times.
    this.id = "";
    this.name = null;
    this.unsaved = new Set();
    this.thumbnails = new Thumbnails();
    this.list = new VirtualList(byId("images"), fill.bind(null, this), (image) => choose(image.name));
    byId("filter").addEventListener("input", () => this.show());
    byId("which").addEventListener("change", () => this.show());
  }

  /** Read the first page of the list; the others follow while the page is used. */
  async load() {
    const first = await this.#page(0, FIRST_PAGE);
    this.rest = this.#others(first);
  }

  /** The name of the image `step` places further among those that are shown, or null. */
  neighbor(step) {
    const shown = this.#shown();
    const place = shown.findIndex((image) => image.name === this.name);
    return shown[place < 0 && step < 0 ? shown.length - 1 : place + step]?.name ?? null;
  }

  /** The name of the next image without labels, from the open one on and then from the start, or null. */
  nextToDo() {
    const place = this.images.findIndex((image) => image.name === this.name);
    const order = [...this.images.slice(place + 1), ...this.images.slice(0, Math.max(place, 0))];
    return order.find((image) => !image.labeled)?.name ?? null;
  }

  /** Why there are no images. */
  get nothing() {
    if (this.id) return "There are no images in this folder.";
    return "The server has no folder of images. Start it with --images DIR to label some.";
  }

  /** How many of the images that are listed have labels. */
  get done() {
    return this.images.filter((image) => image.labeled).length;
  }

  open(name) {
    this.name = name;
    this.show();
  }

  markSaved(name) {
    const image = this.images.find((each) => each.name === name);
    if (image) image.labeled = true;
    this.unsaved.delete(name);
    this.show();
  }

  /** The names of the images with work that is not saved. */
  setUnsaved(names) {
    this.unsaved = new Set(names);
    this.show();
  }

  show() {
    const chosen = this.images.find((image) => image.name === this.name) ?? null;
    const shown = this.#shown();
    this.list.show(shown, chosen);
    const { total, images, done } = this;
    const loaded = total !== null && images.length < total ? `, ${images.length} of ${total} listed` : "";
    const isRead = total !== null;
    byId("progress").textContent = isRead ? `${done} of ${total} done${loaded}` : "Reading the folder…";
    byId("none").hidden = shown.length > 0 || !isRead;
    byId("none").textContent = total ? "No image matches." : this.nothing;
  }

  #shown() {
    const words = byId("filter").value.trim().toLowerCase();
    const which = byId("which").value;
    const fits = (image) =>
      image.name.toLowerCase().includes(words) &&
      (which === "all" || (which === "done" ? image.labeled : !image.labeled));
    return words || which !== "all" ? this.images.filter(fits) : this.images;
  }

  async #page(offset, limit) {
    const found = await api.images(offset, limit);
    this.total = found.total;
    this.id = found.folder ?? "";
    this.hasExplanations = Boolean(found.explanations);
    this.images.push(...found.images);
    this.show();
    return found.images.length;
  }

  async #others(first) {
    let last = first;
    while (last && this.images.length < this.total) {
      // A failure here leaves a shorter list, which the count says.
      last = await this.#page(this.images.length, PAGE).catch(() => 0);
    }
  }
}

function fill(folder, row, image) {
  const isUnsaved = folder.unsaved.has(image.name);
  const state = isUnsaved ? "not saved" : image.labeled ? "done" : "to do";
  const shown = visible(image.name);
  row.classList.add(state.replace(" ", "-"));
  row.title = shown;
  row.setAttribute("aria-label", `${shown}, ${state}`);
  row.append(
    element("span", { class: "mark", text: MARKS[state] }),
    folder.thumbnails.of(image.name),
    element("span", { class: "file", text: shortened(shown) }),
  );
}

/** A name that fits into two lines, cut in the middle: its end tells more than what comes before. */
function shortened(name) {
  return name.length > MOST ? `${name.slice(0, MOST - END - 1)}…${name.slice(-END)}` : name;
}
