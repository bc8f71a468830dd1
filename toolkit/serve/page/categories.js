// The categories that objects can have: names, colors, adding and renaming.

import * as api from "./api.js";
import { byId, element, keepShowing, visible } from "./dom.js";
import { colorOf, css } from "./palette.js";

export class Categories extends EventTarget {
  constructor() {
    super();
    this.names = [];
    // The colors of the models' classes by name, and the places of others in the order of colors.
    this.given = new Map();
    this.places = new Map();
  }

  async load() {
    this.#take(await api.categories());
  }

  has(name) {
    return this.names.includes(name);
  }

  /** `[r, g, b]`: as the models that predict this class draw it, or one of its own, which stays. */
  colorOf(name) {
    if (this.given.has(name)) return this.given.get(name);
    if (!this.places.has(name)) this.places.set(name, this.places.size);
    return colorOf(this.places.get(name));
  }

  /** Take the classes of models as suggestions, with their colors. */
  suggest(models) {
    for (const { promptable, classes, colors } of models) {
      classes.forEach((name, index) => {
        // Black is for a background; promptable models have a single class, whatever it is called.
        const isColor = !promptable && colors[index]?.some((value) => value > 0);
        // A color that is seen already stays, also when another model is trained meanwhile.
        const isFree = !this.given.has(name) && !this.places.has(name);
        if (isColor && isFree) this.given.set(name, colors[index]);
      });
    }
    this.dispatchEvent(new Event("change"));
  }

  /** Make sure that there is a category of this name. */
  add(name) {
    if (this.has(name)) return;
    this.names.push(name);
    this.dispatchEvent(new Event("change"));
  }

  /** Rename it in all images of the folder. Throws an ApiError. */
  async rename(from, to) {
    // Read again, so that categories which others have added meanwhile stay.
    const { revision, categories } = await api.categories();
    const known = categories.map(({ id, name }) => ({ id, name: name === from ? to : name }));
    if (known.some((each) => each.name === to)) this.#take(await api.putCategories(known, revision));
    this.names = this.names.map((name) => (name === from ? to : name));
    this.dispatchEvent(new Event("change"));
  }

  // Those that only have been typed in so far stay at the end.
  #take({ categories }) {
    const names = categories.map((each) => each.name);
    this.names = [...names, ...this.names.filter((name) => !names.includes(name))];
    this.dispatchEvent(new Event("change"));
  }
}

/** The field with the category, and the list with a button to rename each. */
export class CategoryPanel {
  constructor(categories, editor, ask) {
    this.categories = categories;
    this.editor = editor;
    this.ask = ask;
    const field = byId("category");
    field.addEventListener("change", () => this.choose(field.value));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.choose(field.value);
      if (event.key === "Escape") field.value = editor.category;
      if (event.key === "Enter" || event.key === "Escape") byId("canvas").focus();
    });
  }

  choose(text) {
    const name = text.trim().replace(/\s+/g, " ");
    if (!name) {
      byId("category").value = this.editor.category;
      return;
    }
    this.categories.add(name);
    this.editor.setCategory(name);
  }

  draw() {
    const { names } = this.categories;
    const { category } = this.editor;
    if (document.activeElement !== byId("category")) byId("category").value = category;
    byId("category-swatch").style.background = css(this.categories.colorOf(category));
    const known = [...new Set([...names, ...this.categories.given.keys()])];
    keepShowing(byId("category-names"), JSON.stringify(known), () =>
      known.map((name) => element("option", { value: name })),
    );
    keepShowing(byId("categories"), JSON.stringify([names, category]), () =>
      names.map((name, index) => this.#row(name, index)),
    );
  }

  #row(name, index) {
    const shown = visible(name);
    const key = index < 9 ? element("kbd", { text: String(index + 1) }) : "";
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = css(this.categories.colorOf(name));
    const choose = element(
      "button",
      {
        type: "button",
        class: "choice",
        "data-focus": `choose ${name}`,
        "aria-pressed": name === this.editor.category ? "true" : "false",
        onclick: () => this.choose(name),
      },
      swatch,
      element("span", { class: "name", text: shown }),
      key,
    );
    const rename = element("button", {
      type: "button",
      text: "Rename",
      "data-focus": `rename ${name}`,
      "aria-label": `Rename ${shown} in all images`,
      onclick: () => this.ask(name),
    });
    return element("li", {}, choose, rename);
  }
}
