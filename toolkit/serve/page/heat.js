// Heat maps that `toolkit explain` wrote, over the image.

import * as api from "./api.js";
import { byId, element, keepShowing, visible } from "./dom.js";
import { heatPicture } from "./pictures.js";

export class HeatMaps extends EventTarget {
  constructor() {
    super();
    // Whether the server was given a folder of explanations.
    this.isOn = false;
    this.maps = [];
    this.picture = null;
    this.controller = new AbortController();
    byId("heat").addEventListener("change", () => this.#choose());
  }

  /** Look for the maps of an image. */
  async open(name) {
    this.controller.abort();
    this.controller = new AbortController();
    Object.assign(this, { name, maps: [], picture: null });
    const { signal } = this.controller;
    try {
      const found = this.isOn ? await api.explanations(name, signal) : { maps: [] };
      if (!signal.aborted) this.maps = found.maps;
    } catch {
      // An image without maps looks like one whose maps cannot be read.
    }
    if (!signal.aborted) this.#draw();
  }

  #draw() {
    byId("explained").hidden = !this.maps.length;
    const names = this.maps.map((each) => each.name);
    keepShowing(byId("heat"), JSON.stringify(names), () => [
      element("option", { value: "", text: "None" }),
      ...names.map((name, index) => element("option", { value: String(index), text: visible(name) })),
    ]);
    byId("heat").value = "";
    byId("heat-note").textContent = "";
    this.dispatchEvent(new Event("change"));
  }

  async #choose() {
    const chosen = byId("heat").value;
    this.picture = null;
    byId("heat-note").textContent = "";
    if (chosen !== "") {
      try {
        const picture = await heatPicture(api.mapAddress(this.name, chosen), this.maps[Number(chosen)].range);
        if (byId("heat").value !== chosen) return;
        this.picture = picture;
        byId("heat-note").textContent = "The stronger the color, the more the pixel mattered.";
      } catch {
        byId("heat-note").textContent = "This map could not be read.";
      }
    }
    this.dispatchEvent(new Event("change"));
  }
}
