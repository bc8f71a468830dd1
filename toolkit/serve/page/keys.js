// What the keyboard does. The same list is what help shows.

/**
 * `[keys, words, action, group]`: each key as `event.key` gives it, with `Ctrl+` and `Shift+` before it where
 * needed. Ctrl is Cmd on a Mac. Single keys work outside of fields, and can be turned off.
 */
export function listen(bindings, areSingleKeysOn) {
  const actions = new Map();
  for (const [keys, , action] of bindings) for (const key of keys) actions.set(key, action);
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const name = nameOf(event);
    const action = actions.get(name);
    if (!action) return;
    const isCommand = name.startsWith("Ctrl+");
    if (isTyping(event.target) && !(isCommand && name === "Ctrl+s")) return;
    if (!isCommand && !areSingleKeysOn() && !isOnCanvas(event)) return;
    // Enter and the space bar belong to the button or the list that has the focus, arrows to sliders.
    if (BELONG.has(event.key) && !isOnCanvas(event)) return;
    event.preventDefault();
    action(event);
  });
}

const BELONG = new Set(["Enter", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);

/** `Ctrl+Shift+z` for an event. Shift is left out where the key itself says it, as in `?` or `+`. */
function nameOf(event) {
  const isLetter = /^[a-z]$/i.test(event.key);
  const key = isLetter ? event.key.toLowerCase() : event.key;
  const saysShift = !isLetter && event.key.length === 1;
  const shift = event.shiftKey && !saysShift ? "Shift+" : "";
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${shift}${key}`;
}

function isTyping(target) {
  const types = new Set(["checkbox", "radio", "range", "button", "submit"]);
  return target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName) ||
    (target.tagName === "INPUT" && !types.has(target.type));
}

const isOnCanvas = (event) => event.target.id === "canvas";

/** The list as rows of a table: what to press, and what it does. */
export function rowsOf(bindings) {
  const words = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
  const shown = (key) => key.split(/(?<=.)\+(?=.)/).map((part) => words[part] ?? capital(part)).join("+");
  return bindings.map(([keys, said, , group]) => ({ group, keys: keys.map(shown), said }));
}

const capital = (word) => (word.length === 1 ? word.toUpperCase() : word);
