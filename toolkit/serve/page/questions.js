// Dialogs that ask for an answer, and the one with the keys.

import { byId, element, visible } from "./dom.js";
import { rowsOf } from "./keys.js";

/**
 * Ask what to do about labels that were changed here and elsewhere. Resolves to "mine", "theirs" or null;
 * `when` is "open", for work that an earlier visit left unsaved, or "save".
 */
export function askAbout({ name, when }) {
  const isOpening = when === "open";
  const title = isOpening ? "Unsaved work from before" : "These labels were changed elsewhere";
  byId("question-title").textContent = title;
  byId("question-text").textContent = isOpening
    ? `This browser has work on ${visible(name)} that was never saved, and its labels have changed since.`
    : `Somebody, or another tab, has saved ${visible(name)} since you opened it.`;
  const answers = [
    ["mine", isOpening ? "Restore my work" : "Save mine over theirs"],
    ["theirs", isOpening ? "Discard it" : "Take theirs"],
  ];
  if (!isOpening) answers.push(["", "Decide later"]);
  return answerTo(byId("question"), byId("question-answers"), answers);
}

function answerTo(dialog, form, answers) {
  form.replaceChildren(...answers.map(([value, text]) => element("button", { value, text })));
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue || null), { once: true });
  });
}

/** Ask for the new name of a category; null when the user does not want to. */
export function askForName(name) {
  const dialog = byId("rename");
  byId("rename-title").textContent = `Rename ${visible(name)}`;
  byId("rename-to").value = name;
  dialog.returnValue = "";
  dialog.showModal();
  byId("rename-to").select();
  return new Promise((resolve) => {
    const answer = () => resolve(dialog.returnValue === "rename" ? byId("rename-to").value : null);
    dialog.addEventListener("close", answer, { once: true });
  });
}

/** Show all keys, by group. */
export function showHelp(bindings) {
  const rows = rowsOf(bindings);
  const groups = [...new Set(rows.map((row) => row.group))];
  const rowsIn = (group) => rows.filter((row) => row.group === group);
  byId("keys").replaceChildren(...groups.map((group) => table(group, rowsIn(group))));
  byId("help").showModal();
}

function table(group, rows) {
  const lines = rows.map(({ keys, said }) => {
    const shown = keys.length === 9 ? [keys[0], "…", keys[8]] : keys;
    const parts = shown.map((key) => (key === "…" ? "…" : element("kbd", { text: key })));
    const pressed = element("td", {}, ...parts.flatMap((part) => [part, " "]));
    return element("tr", {}, pressed, element("td", { text: said }));
  });
  return element("table", {}, element("caption", { text: group }), element("tbody", {}, ...lines));
}
