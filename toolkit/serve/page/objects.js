// The list of the objects of the image that is open.

import { byId, element, keepShowing, visible } from "./dom.js";
import { css } from "./palette.js";
import { pictureOf } from "./pictures.js";

// 38,188 as 38K: the name needs the room.
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact" });

export class ObjectPanel {
  constructor(editor, categories) {
    this.editor = editor;
    this.categories = categories;
    byId("new-object").addEventListener("click", () => editor.select(null));
    byId("hide-all").addEventListener("click", () => editor.toggleAll());
  }

  draw() {
    const { state, hidden } = this.editor;
    const { objects, selected } = state;
    byId("count").textContent = objects.length === 1 ? "1 object" : `${objects.length} objects`;
    byId("counted").hidden = !objects.length;
    byId("hide-all").firstChild.textContent = hidden.size ? "Show all" : "Hide all";
    byId("no-objects").hidden = objects.length > 0;
    byId("new-object").setAttribute("aria-pressed", selected === null ? "true" : "false");
    const told = objects.map(({ id, category, rle }) => [id, category, hidden.has(id), pictureOf(rle).area]);
    const key = JSON.stringify([selected, told]);
    keepShowing(byId("objects"), key, () => objects.map((each) => this.#row(each)));
    if (selected !== null) byId("objects").querySelector(".selected")?.scrollIntoView({ block: "nearest" });
  }

  #row(each) {
    const { editor } = this;
    const isSelected = each.id === editor.state.selected;
    const isHidden = editor.hidden.has(each.id);
    const name = visible(each.category);
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = css(this.categories.colorOf(each.category));
    const pixels = pictureOf(each.rle).area;
    const area = pixels ? `${SHORT.format(pixels)} px` : "empty, not saved";
    const select = element(
      "button",
      {
        type: "button",
        class: "choice",
        title: `${name}, ${pixels.toLocaleString("en-US")} pixels`,
        "data-focus": `select ${each.id}`,
        "aria-pressed": isSelected ? "true" : "false",
        onclick: () => editor.select(isSelected ? null : each.id),
      },
      swatch,
      element("span", { class: "name", text: name }),
      element("span", { class: "number", text: area }),
    );
    const hide = element("button", {
      type: "button",
      text: isHidden ? "Show" : "Hide",
      "data-focus": `hide ${each.id}`,
      "aria-label": `${isHidden ? "Show" : "Hide"} ${name}`,
      onclick: () => editor.toggle(each.id),
    });
    const remove = element("button", {
      type: "button",
      text: "Delete",
      "data-focus": `delete ${each.id}`,
      "aria-label": `Delete ${name}`,
      onclick: () => editor.remove(each.id),
    });
    return element("li", { class: isSelected ? "selected" : "" }, select, hide, remove);
  }
}
