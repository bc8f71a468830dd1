// From the server's labels to the editor and back: opening, saving by itself and on request, conflicts.

import * as api from "./api.js";
import { History } from "./history.js";
import { fromSaved, savable, toSaved } from "./labels.js";

const AFTER = 1500;
const AGAIN = 10000;

export class Saver extends EventTarget {
  /** `ask(question)` shows a conflict and resolves to "mine", "theirs" or null. */
  constructor(editor, unsaved, ask) {
    super();
    this.editor = editor;
    this.unsaved = unsaved;
    this.ask = ask;
    this.isAutomatic = true;
    this.revision = null;
    this.saved = [];
    this.problem = "";
    this.running = null;
    this.timer = 0;
    editor.addEventListener("change", () => this.#changed());
    editor.addEventListener("rewrite", ({ detail }) => {
      this.saved = detail.get(this.saved) ?? this.saved;
    });
  }

  get isDirty() {
    return this.editor.name !== null && this.editor.state.objects !== this.saved;
  }

  /** Open an image of `{width, height}` with its labels, or with what was left unsaved here. */
  async open(name, size, signal) {
    const found = await api.labels(name, signal);
    const kept = this.#kept(name, size);
    const server = fromSaved(found.objects);
    let history = new History(server);
    let saved = server.objects;
    let [revision, isAutomatic] = [found.revision, true];
    if (kept && kept.revision === found.revision) {
      ({ history } = kept);
      if (kept.isSaved) saved = history.present.objects;
    } else if (kept && !kept.isSaved) {
      // Without an answer, the work stays, and so does the question: it comes again when this is saved.
      const wanted = await this.ask({ name, when: "open" });
      if (wanted !== "theirs") history = new History(kept.history.present, [...kept.history.past, server]);
      if (wanted === null) [revision, isAutomatic] = [kept.revision, false];
    }
    if (signal?.aborted) throw signal.reason;
    clearTimeout(this.timer);
    const problem = isAutomatic ? "" : "Not saved: these labels were changed elsewhere.";
    Object.assign(this, { revision, saved, problem, isAutomatic });
    this.editor.open(name, size, history);
  }

  /** Save now; an image without objects is saved as one that has none. Returns whether it is saved. */
  async save() {
    clearTimeout(this.timer);
    while (this.running) await this.running;
    this.running = this.#save().finally(() => {
      this.running = null;
      this.#report();
    });
    this.#report();
    return this.running;
  }

  /** Write what is not saved into the browser; quick enough for a page that is closing. */
  keep() {
    const { editor } = this;
    if (editor.name === null) return true;
    return this.unsaved.keep(editor.name, this.revision, !this.isDirty, editor.history);
  }

  /** Take the revision that the server has now, when only names have changed. */
  async refresh() {
    if (this.editor.name === null) return;
    const { revision } = await api.labels(this.editor.name);
    this.revision = revision;
    this.keep();
  }

  #kept(name, { width, height }) {
    const kept = this.unsaved.found(name);
    const fits = ({ rle }) => !rle || (rle.size[0] === height && rle.size[1] === width);
    return kept?.history.present.objects.every(fits) ? kept : null;
  }

  #changed() {
    if (!this.keep()) this.problem = "This browser has no room to keep unsaved work. Save now.";
    this.#plan(AFTER);
    this.#report();
  }

  #plan(delay) {
    clearTimeout(this.timer);
    if (this.isAutomatic && this.isDirty) this.timer = setTimeout(() => this.save(), delay);
  }

  async #save() {
    const { editor } = this;
    await editor.queue;
    const { name, state } = editor;
    if (name === null) return true;
    try {
      const answer = await this.#put(name, this.revision, state);
      if (!answer) return false;
      if (editor.name !== name) {
        this.unsaved.forget(name);
        return true;
      }
      Object.assign(this, { revision: answer.revision, saved: state.objects, problem: "" });
      const sent = savable(state);
      const ids = new Map(answer.objects.map(({ id }, index) => [sent[index].id, id]));
      editor.takeIds(new Map([...ids].filter(([before, after]) => before !== after)));
      this.keep();
      this.#plan(AFTER);
      this.dispatchEvent(new CustomEvent("saved", { detail: name }));
      return true;
    } catch (error) {
      this.problem = `Not saved: ${error.message}`;
      this.#plan(AGAIN);
      return false;
    }
  }

  async #put(name, revision, state) {
    try {
      return await api.saveLabels(name, revision, toSaved(savable(state)));
    } catch (error) {
      if (error.status !== 409 && error.status !== 412) throw error;
    }
    const wanted = await this.ask({ name, when: "save" });
    const theirs = await api.labels(name);
    if (wanted === "mine") return this.#put(name, theirs.revision, state);
    if (wanted === "theirs" && this.editor.name === name) {
      const { objects } = fromSaved(theirs.objects);
      this.revision = theirs.revision;
      this.saved = objects;
      this.editor.history.push({ objects, selected: null });
      this.editor.dispatchEvent(new Event("change"));
      return null;
    }
    this.isAutomatic = false;
    const text = "these labels were changed elsewhere; saving by itself is off until you save";
    throw new api.ApiError(text, 409);
  }

  #report() {
    this.dispatchEvent(new Event("state"));
  }
}
