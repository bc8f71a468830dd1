// Small pictures of the images in the list. Few are read at once, and those that were asked for last come
// first: clicks must not wait for rows that have been scrolled past.

import * as api from "./api.js";
import { element } from "./dom.js";

const AT_ONCE = 2;
const MOST_KEPT = 300;

export class Thumbnails {
  #kept = new Map();
  #waiting = [];
  #running = 0;

  /** The picture of an image; the same element as long as it is kept, so that it does not flicker. */
  of(name) {
    let picture = this.#kept.get(name);
    if (!picture) {
      picture = element("img", { class: "thumbnail", alt: "", decoding: "async", draggable: "false" });
      picture.dataset.name = name;
    }
    this.#kept.delete(name);
    this.#kept.set(name, picture);
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(this.#kept.keys().next().value);
    if (!picture.dataset.state) {
      picture.dataset.state = "waiting";
      this.#waiting.push(picture);
      // The row is put into the page after this.
      setTimeout(() => this.#next());
    }
    return picture;
  }

  #next() {
    while (this.#running < AT_ONCE && this.#waiting.length) {
      const picture = this.#waiting.pop();
      if (picture.isConnected) this.#read(picture);
      else delete picture.dataset.state;
    }
  }

  async #read(picture) {
    this.#running += 1;
    try {
      const data = await api.thumbnail(picture.dataset.name);
      const address = URL.createObjectURL(data);
      picture.onload = () => URL.revokeObjectURL(address);
      picture.src = address;
      picture.dataset.state = "shown";
    } catch {
      // Opening the image says what is wrong with it.
      picture.dataset.state = "failed";
    }
    this.#running -= 1;
    this.#next();
  }
}
