// Everything that can be done with a key or a button of the page's frame.

import { byId } from "./dom.js";
import { TOOLS } from "./tools.js";

const ZOOM = 1.25;
const FAR = 10;

/** The keys of the page: see `listen` in keys.js. Buttons that do the same are connected here, too. */
export function bindingsOf(page) {
  const { editor, tools, guess, stage, folder } = page;
  const move = (dx, dy) => (event) => tools.step(dx * (event.shiftKey ? FAR : 1), dy * (event.shiftKey ? FAR : 1));
  const both = (key) => [key, `Shift+${key}`];
  const actions = {
    undo: () => editor.undo(),
    redo: () => editor.redo(),
    save: () => page.save(),
    previous: () => page.open(folder.neighbor(-1)),
    next: () => page.open(folder.neighbor(1)),
    "next-todo": () => nextToDo(page),
    "zoom-in": () => stage.zoom(ZOOM, screenPointer(tools, stage)),
    "zoom-out": () => stage.zoom(1 / ZOOM, screenPointer(tools, stage)),
    fit: () => stage.fit(),
  };
  for (const [id, action] of Object.entries(actions)) byId(id).addEventListener("click", action);
  return [
    ...TOOLS.map((tool, index) => [[TOOL_KEYS[index]], `${tool[0].toUpperCase()}${tool.slice(1)} tool`,
      () => tools.use(tool), "Tools"]),
    [["i"], "Include or exclude with a click", () => tools.setNegative(!tools.isNegative), "Tools"],
    [["]", "["], "Larger or smaller brush", (event) => tools.resizeBrush(event.key === "]" ? ZOOM : 1 / ZOOM), "Tools"],
    [both("ArrowLeft"), "Move the pointer left (with Shift: far)", move(-1, 0), "In the image"],
    [both("ArrowRight"), "Move the pointer right", move(1, 0), "In the image"],
    [both("ArrowUp"), "Move the pointer up", move(0, -1), "In the image"],
    [both("ArrowDown"), "Move the pointer down", move(0, 1), "In the image"],
    [["Enter"], "Click at the pointer; start and end a box or a stroke", () => tools.act(false), "In the image"],
    [["Shift+Enter"], "Exclude what is at the pointer", () => tools.act(true), "In the image"],
    [["o", "Escape"], "New object: the next click starts it", () => tools.escape() || editor.select(null), "Objects"],
    [[".", ","], "Select the next or previous object", (event) => editor.selectNext(event.key === "." ? 1 : -1), "Objects"],
    [["Delete", "Backspace"], "Delete the selected object", () => removeSelected(editor), "Objects"],
    [["n"], "Name the object: go to its category", () => byId("category").select(), "Objects"],
    [["1", "2", "3", "4", "5", "6", "7", "8", "9"], "Choose a category by its number", (event) => choose(page, event.key), "Objects"],
    [["h"], "Hide or show the selected object", () => editor.selected && editor.toggle(editor.selected.id), "Objects"],
    [["Shift+h"], "Hide or show all objects", () => editor.toggleAll(), "Objects"],
    [["Ctrl+z"], "Undo", actions.undo, "Changes"],
    [["Ctrl+Shift+z", "Ctrl+y"], "Redo", actions.redo, "Changes"],
    [["Ctrl+s"], "Save", actions.save, "Changes"],
    [["p"], "Predict, or hide the prediction", () => (guess.shown ? guess.clear() : guess.predict()), "Predictions"],
    [["a"], "Accept the predicted objects", () => guess.acceptAll(), "Predictions"],
    [["s"], "Swap with the model before", () => guess.swap(), "Predictions"],
    [["t"], "Train", () => byId("open-training").click(), "Predictions"],
    [["PageDown", "PageUp"], "Next or previous image", (event) => page.open(folder.neighbor(event.key === "PageDown" ? 1 : -1)), "Images"],
    [["d"], "Next image that is to do", actions["next-todo"], "Images"],
    [["f"], "Filter the images", () => byId("filter").select(), "Images"],
    [["+", "="], "Zoom in", actions["zoom-in"], "View"],
    [["-"], "Zoom out", actions["zoom-out"], "View"],
    [["0"], "Fit the image to the window", actions.fit, "View"],
    [["Shift+Home"], "Actual size", () => stage.actualSize(), "View"],
    [["Ctrl+ArrowLeft", "Ctrl+ArrowRight", "Ctrl+ArrowUp", "Ctrl+ArrowDown"], "Move the image", (event) => pan(stage, event.key), "View"],
    [["?"], "These keys", () => byId("open-help").click(), "View"],
  ];
}

const TOOL_KEYS = ["c", "x", "b", "e", "v"];

function nextToDo(page) {
  const name = page.folder.nextToDo();
  if (name === null) page.say("All images are done");
  return page.open(name);
}

function removeSelected(editor) {
  return editor.selected && editor.remove(editor.selected.id);
}

function choose(page, key) {
  const name = page.categories.names[Number(key) - 1];
  if (name !== undefined) page.categoryPanel.choose(name);
}

function pan(stage, key) {
  const [dx, dy] = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key.replace("Ctrl+", "")];
  stage.pan(80 * dx, 80 * dy);
}

// Where the keyboard's pointer is on the stage: zooming with keys keeps it there.
function screenPointer(tools, stage) {
  if (!tools.isByKeys || !tools.pointer) return null;
  const [x, y] = tools.pointer;
  return [x * stage.view.scale + stage.view.left, y * stage.view.scale + stage.view.top];
}
