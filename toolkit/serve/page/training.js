// Fine-tuning on the labels: starting, watching, stopping, and the new run.

import * as api from "./api.js";
import { lineChart, short } from "./chart.js";
import { byId, element, keepShowing, visible } from "./dom.js";

const OFTEN = 1000;
const SELDOM = 5000;
const MOST_CHARTS = 6;
const RUNNING = new Set(["running", "stopping"]);

export class Training extends EventTarget {
  /** `prepare()` is waited for before a training starts. */
  constructor(prepare) {
    super();
    this.prepare = prepare;
    this.state = null;
    this.timer = 0;
    byId("training-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    byId("stop-training").addEventListener("click", () => this.#asking(api.stopTraining()));
    byId("use-new").addEventListener("click", () => {
      byId("training").close();
      this.dispatchEvent(new CustomEvent("use", { detail: this.state }));
    });
  }

  get isRunning() {
    return RUNNING.has(this.state?.state);
  }

  setModels(models) {
    const runs = models.filter((each) => each.run);
    byId("open-training").disabled = !runs.length;
    byId("open-training").title = runs.length ? "" : "No run is served: exported models cannot be trained";
    const names = models.map((each) => each.name);
    while (names.includes(byId("new-run").value)) byId("new-run").value = nextName(byId("new-run").value);
    keepShowing(byId("start-run"), JSON.stringify(runs.map((each) => each.name)), () =>
      runs.map(({ name, plugin }) => new Option(`${visible(name)} (${plugin})`, name)),
    );
  }

  /** Show the dialog; `done` is the number of images that are labeled. */
  open(done) {
    byId("done-so-far").textContent = done === 1 ? "1 image" : `${done} images`;
    byId("training").showModal();
    this.watch();
  }

  async start() {
    const steps = byId("steps").value;
    const body = { model: byId("start-run").value, name: byId("new-run").value.trim() };
    if (steps) body.settings = { "train.steps": Number(steps) };
    await this.prepare();
    await this.#asking(api.startTraining(body));
  }

  /** Ask how it goes, and again until it has ended. */
  async watch() {
    clearTimeout(this.timer);
    const before = this.state?.state;
    try {
      this.state = await api.training();
      byId("training-problem").textContent = "";
    } catch (error) {
      byId("training-problem").textContent = error.message;
    }
    this.draw();
    const now = this.state?.state;
    if (RUNNING.has(before) && !RUNNING.has(now)) {
      this.dispatchEvent(new CustomEvent("ended", { detail: this.state }));
    }
    const isWatched = byId("training").open;
    if (this.isRunning) this.timer = setTimeout(() => this.watch(), isWatched ? OFTEN : SELDOM);
  }

  async #asking(request) {
    byId("training-problem").textContent = "";
    try {
      await request;
    } catch (error) {
      byId("training-problem").textContent = error.message;
      return;
    }
    await this.watch();
  }

  draw() {
    const { state } = this;
    const now = state?.state ?? "idle";
    byId("training-form").hidden = this.isRunning;
    byId("start-training").hidden = this.isRunning;
    byId("stop-training").hidden = !this.isRunning;
    byId("start-training").classList.toggle("main", now !== "done");
    byId("use-new").hidden = now !== "done";
    byId("training-now").hidden = now === "idle";
    byId("training-said").textContent = sentence(state);
    byId("training-note").textContent = validationNote(state);
    byId("open-training").firstChild.textContent = this.isRunning ? `Training ${percent(state)}` : "Train…";
    const bar = byId("training-bar");
    bar.hidden = !this.isRunning;
    bar.max = Math.max(state?.steps ?? 1, 1);
    bar.value = state?.step ?? 0;
    const lines = now === "failed" ? [...(state.log ?? []), state.error ?? ""] : [];
    const tail = lines.map(visible).join("\n").trim();
    byId("training-error").hidden = !tail;
    byId("training-error").textContent = tail;
    const key = JSON.stringify([state?.losses, state?.validation]);
    keepShowing(byId("training-charts"), key, () => charts(state));
  }
}

/** What a state of the training is, in words. */
function sentence(state) {
  const now = state?.state ?? "idle";
  if (now === "idle") return "";
  const name = visible(state.run ?? "");
  if (now === "done") return `Done: ${visible(state.result)} is served beside ${visible(state.model)}.`;
  if (now === "failed") return `Training ${name} failed.`;
  if (now === "stopped") return `Training ${name} was stopped.`;
  if (now === "stopping") return `Training ${name} is stopping…`;
  if (!state.step) return `Training ${name} is starting…`;
  return `Training ${name}: step ${state.step} of ${state.steps ?? "?"}.`;
}

/** `run-2` after `run`, `run-3` after `run-2`. */
function nextName(name) {
  const [, stem, number] = /^(.*?)(?:-(\d+))?$/.exec(name);
  return `${stem}-${number ? Number(number) + 1 : 2}`;
}

function percent(state) {
  return state?.steps ? `${Math.floor((100 * (state.step ?? 0)) / state.steps)}%` : "…";
}

function charts(state) {
  return series(state).map(([name, points]) => {
    const [, last] = points.at(-1) ?? [0, null];
    const caption = element("figcaption", { text: `${visible(name)}: ${short(last)}` });
    return element("figure", {}, caption, lineChart(points, visible(name)));
  });
}

/**
 * `[name, [[step, value], …]]` for each chart: the loss, that of validation, and what validation measured, as
 * far as it is known. Terms of the loss are left out.
 */
function series(state) {
  const measured = new Map([["loss", []]]);
  for (const { step, ...values } of state?.validation ?? []) {
    for (const [name, value] of Object.entries(values)) {
      if (!measured.has(name)) measured.set(name, []);
      measured.get(name).push([step, value]);
    }
  }
  const isKnown = ([name, points]) =>
    !name.startsWith("loss/") && points.some(([, value]) => Number.isFinite(value));
  const known = [...measured].filter(isKnown).map(([name, points]) => [`validation ${name}`, points]);
  const all = [["loss", state?.losses ?? []], ...known];
  return all.filter(([, points]) => points.length).slice(0, MOST_CHARTS);
}

/** What is to be said about the validation, or nothing. */
function validationNote(state) {
  const entries = state?.validation ?? [];
  const numbers = entries.flatMap(({ step, ...values }) =>
    Object.entries(values).filter(([name, value]) => !name.startsWith("loss") && Number.isFinite(value)),
  );
  if (numbers.length) return "";
  if (entries.length) return "Validation measures nothing yet: its images have no objects.";
  const isOver = Boolean(state) && !RUNNING.has(state.state) && state.state !== "idle";
  return isOver ? "There was no validation: it takes every fifth image that is done." : "";
}
