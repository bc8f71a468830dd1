// A list of any length, of which only the rows in sight are in the page.

import { element } from "./dom.js";

const SPARE = 6;

export class VirtualList {
  /**
   * `container` is scrolled and has the focus; `fill(row, item)` shows an item in a row; `choose(item)` is
   * called for a click or Enter.
   */
  constructor(container, fill, choose) {
    this.container = container;
    this.fill = fill;
    this.choose = choose;
    this.items = [];
    this.chosen = null;
    this.active = -1;
    this.room = element("div", { class: "room", role: "presentation" });
    container.replaceChildren(this.room);
    container.addEventListener("scroll", () => this.draw());
    container.addEventListener("keydown", (event) => this.#key(event));
    container.addEventListener("focus", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(container);
  }

  /** Show items, one of them as chosen. */
  show(items, chosen) {
    const isOther = chosen !== this.chosen;
    Object.assign(this, { items, chosen });
    if (isOther) this.active = items.indexOf(chosen);
    if (isOther && this.active >= 0) this.#reveal(this.active);
    this.draw();
  }

  draw() {
    const height = this.#rowHeight();
    const { items, container } = this;
    const first = Math.max(0, Math.floor(container.scrollTop / height) - SPARE);
    const bottom = container.scrollTop + container.clientHeight;
    const last = Math.min(items.length, Math.ceil(bottom / height) + SPARE);
    this.room.style.height = `${items.length * height}px`;
    const rows = [];
    for (let index = first; index < last; index += 1) rows.push(this.#row(index, height));
    this.room.replaceChildren(...rows);
    const isShown = this.active >= first && this.active < last;
    if (isShown) container.setAttribute("aria-activedescendant", `row-${this.active}`);
    else container.removeAttribute("aria-activedescendant");
  }

  #row(index, height) {
    const item = this.items[index];
    const row = element("div", {
      class: index === this.active ? "row active" : "row",
      role: "option",
      id: `row-${index}`,
      "aria-selected": item === this.chosen ? "true" : "false",
      "aria-posinset": index + 1,
      "aria-setsize": this.items.length,
      onclick: () => this.choose(item),
    });
    row.style.transform = `translateY(${index * height}px)`;
    this.fill(row, item);
    return row;
  }

  #key(event) {
    const rows = Math.max(1, Math.floor(this.container.clientHeight / this.#rowHeight()) - 1);
    const [most, least] = [Infinity, -Infinity];
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: rows, PageUp: -rows, Home: least, End: most };
    if (event.key in moves && this.items.length) {
      const wanted = this.active + moves[event.key];
      this.active = Math.min(Math.max(wanted, 0), this.items.length - 1);
      this.#reveal(this.active);
      this.draw();
    } else if ((event.key === "Enter" || event.key === " ") && this.items[this.active] !== undefined) {
      this.choose(this.items[this.active]);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #reveal(index) {
    const height = this.#rowHeight();
    const { container } = this;
    const top = index * height;
    if (top < container.scrollTop) container.scrollTop = top;
    const bottom = top + height - container.clientHeight;
    this.room.style.height = `${this.items.length * height}px`;
    if (bottom > container.scrollTop) container.scrollTop = bottom;
  }

  #rowHeight() {
    return parseFloat(getComputedStyle(this.container).getPropertyValue("--row")) || 36;
  }
}
