// Elements of the page. Names come from strangers, so text is always set as text.

/** An element with properties (`class`, `text`, `on…` listeners, attributes otherwise) and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Text without characters that change its direction or the terminal's color: they are shown as codes. */
export function visible(text) {
  return String(text).replace(
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Replace what is in an element, unless it already shows this: the focus stays where it is. */
export function keepShowing(container, key, make) {
  if (container.dataset.key === key) return;
  const focused = container.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  container.dataset.key = key;
  container.replaceChildren(...make());
  if (!focused) return;
  // What had the focus may be gone, as after Delete: the focus stays near.
  const same = container.querySelector(`[data-focus="${CSS.escape(focused)}"]`);
  (same ?? container.querySelector("button") ?? byId("canvas")).focus();
}
