// The images of the folder: what is there, what is done, what matches the filter.

import * as api from "./api.js";
import { byId, visible } from "./dom.js";
import { VirtualList } from "./list.js";

const PAGE = 500;

export class Folder {
  constructor(choose) {
    this.images = [];
    this.total = null;
    // Tells the folders apart that the same address may serve at different times.
    this.id = "";
    this.name = null;
    this.unsaved = new Set();
    this.list = new VirtualList(byId("images"), fill.bind(null, this), (image) => choose(image.name));
    byId("filter").addEventListener("input", () => this.show());
    byId("which").addEventListener("change", () => this.show());
  }

  /** Read the first page of the list; the others follow while the page is used. */
  async load() {
    const first = await this.#page(0);
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
    const done = this.images.filter((image) => image.labeled).length;
    const { total, images } = this;
    const loaded = total !== null && images.length < total ? `, ${images.length} of ${total} listed` : "";
    byId("progress").textContent = total === null ? "Reading the folder…" : `${done} of ${total} done${loaded}`;
    byId("none").hidden = shown.length > 0 || total === null;
    byId("none").textContent = total ? "No image matches." : "There are no images in this folder.";
  }

  #shown() {
    const words = byId("filter").value.trim().toLowerCase();
    const which = byId("which").value;
    const fits = (image) =>
      image.name.toLowerCase().includes(words) &&
      (which === "all" || (which === "done" ? image.labeled : !image.labeled));
    return words || which !== "all" ? this.images.filter(fits) : this.images;
  }

  async #page(offset) {
    const found = await api.images(offset, PAGE);
    this.total = found.total;
    this.id = found.folder ?? "";
    this.images.push(...found.images);
    this.show();
    return found.images.length;
  }

  async #others(first) {
    let last = first;
    while (last && this.images.length < this.total) {
      // A failure here leaves a shorter list, which the count says.
      last = await this.#page(this.images.length).catch(() => 0);
    }
  }
}

function fill(folder, row, image) {
  const isUnsaved = folder.unsaved.has(image.name);
  const state = isUnsaved ? "not saved" : image.labeled ? "done" : "to do";
  row.classList.add(state.replace(" ", "-"));
  const mark = document.createElement("span");
  mark.className = "mark";
  mark.textContent = isUnsaved ? "●" : image.labeled ? "✓" : "○";
  mark.setAttribute("aria-hidden", "true");
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = visible(image.name);
  name.title = visible(image.name);
  const said = document.createElement("span");
  said.className = "sr";
  said.textContent = `, ${state}`;
  row.append(mark, name, said);
}
