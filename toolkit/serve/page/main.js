// The page: puts the parts together, opens images, and says what happens.

import * as api from "./api.js";
import { Categories, CategoryPanel } from "./categories.js";
import { bindingsOf } from "./commands.js";
import { Editor } from "./editor.js";
import { byId, visible } from "./dom.js";
import { Folder } from "./folder.js";
import { Guess } from "./guess.js";
import { HeatMaps } from "./heat.js";
import { listen } from "./keys.js";
import { ObjectPanel } from "./objects.js";
import { loadImage, pictureOf } from "./pictures.js";
import { Pointers } from "./pointers.js";
import { Prompting } from "./prompting.js";
import { askAbout, askForName, showHelp } from "./questions.js";
import { Saver } from "./saving.js";
import { sceneOf } from "./scene.js";
import { Stage } from "./stage.js";
import { Tools } from "./tools.js";
import { Training } from "./training.js";
import { Unsaved } from "./unsaved.js";

// After so many ms, the page says what it is waiting for.
const SLOW = 300;

class Page {
  constructor() {
    this.editor = new Editor();
    this.categories = new Categories();
    this.guess = new Guess(this.editor, this.categories);
    this.heat = new HeatMaps();
    this.stage = new Stage(byId("canvas"), () => sceneOf(this));
    this.tools = new Tools(this.editor, this.stage, this.guess);
    this.pointers = new Pointers(this.stage, this.tools);
    this.training = new Training(() => this.leave());
    this.folder = new Folder((name) => this.open(name));
    this.objects = new ObjectPanel(this.editor, this.categories);
    this.categoryPanel = new CategoryPanel(this.categories, this.editor, (name) => this.rename(name));
    this.models = [];
    this.opening = new AbortController();
    // What is waited for, in words.
    this.waitingFor = new Set();
    this.#listen();
  }

  async start() {
    try {
      const [models] = await Promise.all([api.models(), this.folder.load()]);
      this.unsaved = new Unsaved(localStorage, this.folder.id);
      this.heat.isOn = this.folder.hasExplanations;
      this.saver = new Saver(this.editor, this.unsaved, askAbout);
      this.saver.addEventListener("state", () => this.#drawState());
      this.saver.addEventListener("saved", ({ detail }) => this.#saved(detail));
      this.#takeModels(models);
      if (this.folder.id) await this.categories.load();
      if (this.categories.names.length) [this.editor.category] = this.categories.names;
      this.folder.setUnsaved(this.unsaved.names());
      this.training.watch();
      const wanted = new URLSearchParams(location.hash.slice(1)).get("image");
      // It may be further down than the list has been read so far.
      await this.open(wanted);
      if (this.editor.name === null) await this.open(this.folder.nextToDo() ?? this.folder.images[0]?.name);
      if (!this.folder.total) byId("empty").textContent = this.folder.nothing;
    } catch (error) {
      this.fail(error);
    }
    this.draw();
    document.body.dataset.ready = "true";
  }

  /** Show an image, after what was done to the last one is saved or at least kept in the browser. */
  async open(name) {
    if (!name) return;
    this.opening.abort();
    this.opening = new AbortController();
    const { signal } = this.opening;
    byId("empty").textContent = "Reading the image…";
    try {
      await this.leave();
      const picture = loadImage(api.imageAddress(name));
      picture.catch(() => {});
      const [size, image] = await Promise.all([api.imageSize(name, signal), picture]);
      // What was done to the image before while this one was read.
      await this.leave();
      if (signal.aborted) return;
      await this.saver.open(name, size, signal);
      this.#shown(name, image);
    } catch (error) {
      if (signal.aborted) return;
      byId("empty").textContent = this.editor.name === null ? "No image is open." : "";
      const isUnreadable = error.name === "EncodingError";
      const unreadable = new Error(`${visible(name)} could not be shown. Is it a whole image?`);
      this.fail(isUnreadable ? unreadable : error);
    }
  }

  /** Open the next image that has no labels. */
  openNext() {
    const name = this.folder.nextToDo();
    if (name === null) this.say("All images are done");
    return this.open(name);
  }

  async leave() {
    await this.editor.queue;
    if (this.saver.isDirty && this.saver.isAutomatic) await this.saver.save();
    this.folder.setUnsaved(this.unsaved.names());
  }

  #shown(name, image) {
    byId("empty").textContent = "";
    this.tools.escape();
    this.stage.show(image);
    this.folder.open(name);
    history.replaceState(null, "", `#${new URLSearchParams({ image: name })}`);
    document.title = `${visible(name)} – toolkit`;
    byId("title").textContent = visible(name);
    byId("canvas").setAttribute("aria-label", `${visible(name)}, ${image.width} by ${image.height} pixels`);
    this.startPrompting();
    this.guess.opened();
    this.heat.open(name);
    this.draw();
  }

  /** Have the image encoded, so that the first click is as quick as the others. */
  startPrompting() {
    this.editor.prompting?.close();
    const model = byId("prompter").value;
    const { name } = this.editor;
    this.editor.prompting = model && name !== null ? new Prompting(model, name) : null;
    const opened = this.editor.prompting?.open();
    opened?.catch((error) => error.name === "AbortError" || this.fail(error));
    this.#wait(opened, "The model is reading the image…");
    this.#drawHint();
  }

  async rename(from) {
    const to = (await askForName(from))?.trim().replace(/\s+/g, " ");
    if (!to || to === from) return;
    try {
      await this.leave();
      await this.categories.rename(from, to);
      await this.editor.renameCategory(from, to);
      // The labels of this image have a new revision now.
      await this.saver.refresh();
      this.say(`${visible(from)} is now ${visible(to)}`);
    } catch (error) {
      this.fail(error);
    }
  }

  async save() {
    this.saver.isAutomatic = true;
    if (await this.saver.save()) this.say("Saved");
  }

  say(text) {
    byId("status").textContent = text;
  }

  fail(error) {
    const alert = byId("alert");
    alert.textContent = error.message;
    clearTimeout(this.alertTimer);
    this.alertTimer = setTimeout(() => (alert.textContent = ""), 12000);
  }

  // Say what is waited for, if that takes long enough to wonder.
  async #wait(promise, text) {
    const timer = setTimeout(() => {
      this.waitingFor.add(text);
      this.#drawHint();
    }, SLOW);
    await promise?.catch(() => {});
    clearTimeout(timer);
    this.waitingFor.delete(text);
    this.#drawHint();
  }

  #drawHint() {
    const [waiting] = this.waitingFor;
    byId("hint").textContent = waiting ?? this.tools.hint;
    byId("canvas").classList.toggle("waiting", waiting !== undefined);
  }

  // What was done, for those who do not see it.
  #sayChange() {
    const { selected, state } = this.editor;
    const text = selected ? `${visible(selected.category)}, ${pixels(selected)}` : "No object is selected";
    const told = `${text}; ${state.objects.length} in all`;
    if (told !== this.told) this.say(told);
    this.told = told;
  }

  draw() {
    const { editor, tools, guess } = this;
    this.#drawHint();
    tools.draw();
    this.objects.draw();
    this.categoryPanel.draw();
    guess.draw();
    this.#drawState();
    byId("undo").disabled = !editor.history.past.length;
    byId("redo").disabled = !editor.history.future.length;
    this.stage.redraw();
  }

  async refreshModels() {
    this.#takeModels(await api.models());
  }

  #takeModels(models) {
    this.models = models;
    this.categories.suggest(models);
    this.guess.setModels(models);
    this.training.setModels(models);
    const before = byId("prompter").value;
    const promptable = models.filter((each) => each.promptable).map((each) => each.name);
    byId("prompter").replaceChildren(...promptable.map((name) => new Option(visible(name), name)));
    byId("prompter").value = promptable.includes(before) ? before : (promptable[0] ?? "");
    byId("clicks-with").hidden = promptable.length < 2;
  }

  #saved(name) {
    this.folder.markSaved(name);
    for (const { category } of this.editor.state.objects) this.categories.add(category);
  }

  #drawState() {
    const { saver } = this;
    if (!saver || this.editor.name === null) return;
    const state = saver.problem || (saver.running ? "Saving…" : saver.isDirty ? "Not saved yet" : "");
    const isDone = this.folder.images.find((image) => image.name === this.editor.name)?.labeled;
    byId("state").textContent = state || (isDone ? "All changes saved" : "No labels yet");
    byId("state").classList.toggle("problem", Boolean(saver.problem));
    byId("save").disabled = Boolean(saver.running);
  }

  #listen() {
    const { editor, tools, guess, heat, stage, training, categories } = this;
    for (const part of [editor, tools, guess, categories]) part.addEventListener("change", () => this.draw());
    for (const part of [editor, guess]) part.addEventListener("fail", ({ detail }) => this.fail(detail));
    editor.addEventListener("change", () => this.#sayChange());
    editor.addEventListener("waiting", () => this.#wait(editor.queue, "Waiting for the model…"));
    editor.addEventListener("preview", () => stage.redraw());
    heat.addEventListener("change", () => stage.redraw());
    tools.addEventListener("pointer", () => this.#pointed());
    tools.addEventListener("said", ({ detail }) => this.fail({ message: detail }));
    stage.onview = ({ scale }) => {
      byId("scale").textContent = `${Math.round(scale * devicePixelRatio * 100)}%`;
    };
    training.addEventListener("ended", () => this.refreshModels());
    training.addEventListener("use", ({ detail }) => this.#compare(detail));
    byId("open-training").addEventListener("click", () => training.open(this.folder.done));
    byId("prompter").addEventListener("change", () => this.startPrompting());
    addEventListener("pagehide", () => this.#leaving());
    addEventListener("pageshow", (event) => event.persisted && this.startPrompting());
    addEventListener("resize", () => this.folder.list.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => stage.redraw());
    for (const id of ["single-keys", "always"]) rememberChoice(byId(id));
    const bindings = bindingsOf(this);
    listen(bindings, () => byId("single-keys").checked);
    byId("open-help").addEventListener("click", () => showHelp(bindings));
  }

  #leaving() {
    this.saver?.keep();
    this.editor.prompting?.close({ isLeaving: true });
  }

  // The new run beside the one that it started from: its prediction is shown, and a key swaps them.
  async #compare({ result, model }) {
    await this.refreshModels();
    this.guess.compare(result, model);
  }

  // What is below the pointer, in words.
  #pointed() {
    this.stage.redraw();
    const { pointer } = this.tools;
    this.#drawHint();
    if (!pointer || !this.editor.contains(...pointer)) {
      byId("place").textContent = "";
      return;
    }
    const [x, y] = pointer.map(Math.floor);
    const parts = [`${x}, ${y}`];
    const name = this.guess.classAt(x, y);
    if (name !== null) parts.push(visible(name));
    const found = this.editor.objectAt(x, y);
    if (found) parts.push(`label: ${visible(found.category)}`);
    byId("place").textContent = parts.join(" · ");
    if (this.tools.isByKeys) this.say(parts.join(", "));
  }
}

const pixels = ({ rle }) => `${pictureOf(rle).area.toLocaleString("en-US")} pixels`;

// Keep what a checkbox says for the next visit.
function rememberChoice(box) {
  const key = `toolkit.page.${box.id}`;
  const kept = localStorage.getItem(key);
  if (kept !== null) box.checked = kept === "true";
  box.addEventListener("change", () => localStorage.setItem(key, String(box.checked)));
}

const page = new Page();
// For the tests, and for whoever looks into the page.
window.toolkitPage = page;
page.start();
