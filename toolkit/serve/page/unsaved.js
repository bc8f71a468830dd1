// What was done to images, kept in the browser until it is saved and after, so that a reload, a crash or a
// server that was stopped loses nothing: objects with their clicks, and what can be undone.
//
// localStorage, because it is written before the next event: IndexedDB may not have finished when the page is
// gone. The masks are run-length codes, and each is written once however many states have it.

import { History } from "./history.js";

const VERSION = 1;
const PREFIX = "toolkit.labels.";
// Of the images that are saved, for which this is only what can be undone.
const MOST_SAVED = 20;
// Of the states that can be undone: each change writes them all.
const MOST_STATES = 40;

export class Unsaved {
  /** `folder` tells the folders apart that one address may have served. */
  constructor(storage, folder = "") {
    this.storage = storage;
    this.prefix = `${PREFIX}${folder}.`;
  }

  /**
   * Keep a history. `revision` is that of the labels on which it is based, `isSaved` whether its present is
   * what the server has. Returns whether there was room: without, only the present is kept, or nothing.
   */
  keep(name, revision, isSaved, history, time = Date.now()) {
    const entry = { version: VERSION, revision, isSaved, time };
    const attempts = [
      () => this.#set(name, entry, history),
      () => this.#forgetSaved(0, name) && this.#set(name, entry, history),
      () => this.#set(name, entry, new History(history.present)),
    ];
    const isKept = attempts.some((attempt) => attempt());
    if (isKept) this.#forgetSaved(MOST_SAVED, name);
    else this.forget(name);
    return isKept;
  }

  /** `{revision, isSaved, history}`, or null. Entries that cannot be read are dropped. */
  found(name) {
    const entry = this.#read(this.prefix + name);
    if (!entry) return null;
    try {
      return { revision: entry.revision, isSaved: entry.isSaved, history: unpacked(entry.packed) };
    } catch {
      this.forget(name);
      return null;
    }
  }

  forget(name) {
    this.storage.removeItem(this.prefix + name);
  }

  /** The names of images with work that is not saved. */
  names() {
    return this.#entries().filter(([, entry]) => !entry.isSaved).map(([name]) => name);
  }

  #set(name, entry, history) {
    try {
      this.storage.setItem(this.prefix + name, JSON.stringify({ ...entry, packed: packed(history) }));
      return true;
    } catch {
      return false;
    }
  }

  #read(key) {
    try {
      const entry = JSON.parse(this.storage.getItem(key));
      return entry?.version === VERSION ? entry : null;
    } catch {
      return null;
    }
  }

  #entries() {
    const keys = Array.from({ length: this.storage.length }, (_, index) => this.storage.key(index));
    return keys
      .filter((key) => key.startsWith(this.prefix))
      .map((key) => [key.slice(this.prefix.length), this.#read(key)])
      .filter(([, entry]) => entry);
  }

  #forgetSaved(most, except) {
    const saved = this.#entries().filter(([name, entry]) => entry.isSaved && name !== except);
    saved.sort(([, a], [, b]) => b.time - a.time);
    for (const [name] of saved.slice(most)) this.forget(name);
    return true;
  }
}

/** A history as plain data in which equal objects and equal masks stand once. */
function packed(history) {
  const objects = table();
  const codes = table();
  const pack = (state) => ({
    ...state,
    objects: state.objects.map((object) => {
      const parts = {};
      for (const key of ["rle", "base", "added", "removed"]) {
        parts[key] = object[key] ? codes.place(JSON.stringify(object[key])) : null;
      }
      return objects.place(JSON.stringify({ ...object, ...parts }));
    }),
  });
  const past = history.past.slice(-MOST_STATES);
  const states = [...past, history.present, ...history.future].map(pack);
  return { states, past: past.length, objects: objects.all, codes: codes.all };
}

function unpacked({ states, past, objects, codes }) {
  const masks = codes.map((code) => JSON.parse(code));
  const read = objects.map((text) => {
    const object = JSON.parse(text);
    for (const key of ["rle", "base", "added", "removed"]) {
      object[key] = object[key] === null ? null : masks[object[key]];
    }
    return object;
  });
  const found = states.map((state) => ({ ...state, objects: state.objects.map((place) => read[place]) }));
  return new History(found[past], found.slice(0, past), found.slice(past + 1));
}

function table() {
  const places = new Map();
  const all = [];
  return {
    all,
    place(text) {
      if (!places.has(text)) {
        places.set(text, all.length);
        all.push(text);
      }
      return places.get(text);
    },
  };
}
