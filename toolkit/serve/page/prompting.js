// One image, encoded once on the server, and what a promptable model answers to prompts in it.

import * as api from "./api.js";

// Between two looks ahead, in ms; one that takes longer than `PATIENCE` is given up for a newer one.
const INTERVAL = 33;
const PATIENCE = 300;

export class Prompting {
  #opening = null;
  #sessions = new AbortController();
  #prompts = new AbortController();

  constructor(model, name) {
    this.model = model;
    this.name = name;
    this.hover = new Hover((body, signal) => this.#answer(body, signal, false));
  }

  /** Have the image encoded, if it is not yet. Throws an ApiError. */
  open() {
    this.#opening ??= api.openSession(this.model, this.name, this.#sessions.signal).catch((error) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  /** The answer to the prompts of an object: `{rle, score, …}`. Throws an ApiError. */
  ask(prompt) {
    this.hover.stop();
    return this.#answer(bodyOf(prompt), this.#prompts.signal, true);
  }

  /** Look ahead: `show` gets the answer, unless a newer question replaces this one. */
  look(prompt, show) {
    this.hover.ask(bodyOf(prompt), show);
  }

  /**
   * Give the session back. One that is just being opened is closed as soon as it is there, unless the page
   * itself is closing: then the server notices that nobody waits any more.
   */
  close({ isLeaving = false } = {}) {
    this.hover.stop();
    this.#opening?.then(({ session }) => api.closeSession(session)).catch(() => {});
    this.#opening = null;
    this.#prompts.abort();
    if (isLeaving) this.#sessions.abort();
  }

  async #answer(body, signal, patient) {
    const opening = this.open();
    const { session } = await opening;
    try {
      return await api.prompt(session, body, signal, patient);
    } catch (error) {
      if (error.status !== 404 && error.status !== 410) throw error;
      // The server has let go of the session, because it was idle for long or others needed the room.
      // Another question may have noticed it first, and have opened a new one.
      if (this.#opening === opening) this.#opening = null;
      const again = await this.open();
      return api.prompt(again.session, body, signal, patient);
    }
  }
}

function bodyOf({ points, box, after }) {
  const places = points.map(([x, y]) => [x, y]);
  return { points: places, labels: points.map(([, , label]) => label), box, after };
}

/** Questions of which only the newest matters: one at a time, not too often, and given up when too slow. */
export class Hover {
  #next = null;
  #running = null;
  #timer = 0;
  #last = -Infinity;

  constructor(answer) {
    this.answer = answer;
    this.answers = 0;
  }

  ask(body, show) {
    this.#next = { body, show };
    if (!this.#running) this.#schedule();
    else if (performance.now() - this.#running.start > PATIENCE) this.#running.controller.abort();
  }

  stop() {
    this.#next = null;
    clearTimeout(this.#timer);
    this.#running?.controller.abort();
  }

  #schedule() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), Math.max(0, this.#last + INTERVAL - performance.now()));
  }

  async #run() {
    if (!this.#next || this.#running) return;
    const { body, show } = this.#next;
    const running = { start: performance.now(), controller: new AbortController() };
    this.#next = null;
    this.#running = running;
    this.#last = running.start;
    try {
      const answer = await this.answer(body, running.controller.signal);
      if (!running.controller.signal.aborted) {
        this.answers += 1;
        show(answer);
      }
    } catch {
      // A look ahead that fails shows nothing; a click says what is wrong.
      if (!running.controller.signal.aborted) show(null);
    }
    this.#running = null;
    if (this.#next) this.#schedule();
  }
}
