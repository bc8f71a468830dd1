// Everything that can be done with a key or a button of the page's frame.

import { byId } from "./dom.js";
import { TOOLS } from "./tools.js";
import { toScreen } from "./view.js";

const ZOOM = 1.25;
const FAR = 10;
const TOOL_KEYS = ["c", "x", "b", "e", "v"];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The keys of the page: see `listen` in keys.js. Buttons that do the same are connected here, too. */
export function bindingsOf(page) {
  const actions = actionsOf(page);
  for (const [id, action] of Object.entries(actions)) byId(id).addEventListener("click", action);
  return [
    ...toolKeys(page),
    ...pointerKeys(page),
    ...objectKeys(page),
    ...changeKeys(actions),
    ...guessKeys(page),
    ...imageKeys(page, actions),
    ...viewKeys(page, actions),
  ];
}

function actionsOf(page) {
  const { editor, tools, stage, folder } = page;
  return {
    undo: () => editor.undo(),
    redo: () => editor.redo(),
    save: () => page.save(),
    previous: () => page.open(folder.neighbor(-1)),
    next: () => page.open(folder.neighbor(1)),
    "next-todo": () => page.openNext(),
    "zoom-in": () => stage.zoom(ZOOM, onScreen(tools, stage)),
    "zoom-out": () => stage.zoom(1 / ZOOM, onScreen(tools, stage)),
    fit: () => stage.fit(),
  };
}

function toolKeys({ tools }) {
  const group = "Tools";
  const named = (tool) => `${tool[0].toUpperCase()}${tool.slice(1)} tool`;
  const resize = ({ key }) => tools.resizeBrush(key === "]" ? ZOOM : 1 / ZOOM);
  return [
    ...TOOLS.map((tool, index) => [[TOOL_KEYS[index]], named(tool), () => tools.use(tool), group]),
    [["i"], "Include or exclude with a click", () => tools.setNegative(!tools.isNegative), group],
    [["]", "["], "Larger or smaller brush", resize, group],
  ];
}

function pointerKeys({ tools }) {
  const group = "In the image";
  const keys = Object.keys(ARROWS);
  const step = (size) => ({ key }) => tools.step(ARROWS[key][0] * size, ARROWS[key][1] * size);
  return [
    [keys, "Move the pointer", step(1), group],
    [keys.map((key) => `Shift+${key}`), "Move it far", step(FAR), group],
    [["Enter"], "Click at the pointer; start and end a box or a stroke", () => tools.act(false), group],
    [["Shift+Enter"], "Exclude what is at the pointer", () => tools.act(true), group],
  ];
}

function objectKeys({ editor, tools, categories, categoryPanel }) {
  const group = "Objects";
  const selected = (action) => () => editor.selected && action(editor.selected.id);
  const choose = ({ key }) => {
    const name = categories.names[Number(key) - 1];
    if (name !== undefined) categoryPanel.choose(name);
  };
  const fresh = () => tools.escape() || editor.select(null);
  const next = ({ key }) => editor.selectNext(key === "." ? 1 : -1);
  return [
    [["o", "Escape"], "New object: the next click starts it", fresh, group],
    [[".", ","], "Select the next or previous object", next, group],
    [["Delete", "Backspace"], "Delete the selected object", selected((id) => editor.remove(id)), group],
    [["n"], "Name the object: go to its category", () => byId("category").select(), group],
    [[..."123456789"], "Choose a category by its number", choose, group],
    [["h"], "Hide or show the selected object", selected((id) => editor.toggle(id)), group],
    [["Shift+h"], "Hide or show all objects", () => editor.toggleAll(), group],
  ];
}

function changeKeys({ undo, redo, save }) {
  return [
    [["Ctrl+z"], "Undo", undo, "Changes"],
    [["Ctrl+Shift+z", "Ctrl+y"], "Redo", redo, "Changes"],
    [["Ctrl+s"], "Save", save, "Changes"],
  ];
}

function guessKeys({ guess }) {
  const group = "Predictions";
  return [
    [["p"], "Predict, or hide the prediction", () => (guess.shown ? guess.clear() : guess.predict()), group],
    [["a"], "Accept the predicted objects", () => guess.acceptAll(), group],
    [["s"], "Swap with the model before", () => guess.swap(), group],
    [["t"], "Train", () => byId("open-training").click(), group],
  ];
}

function imageKeys(page, actions) {
  const step = ({ key }) => (key === "PageDown" ? actions.next() : actions.previous());
  return [
    [["PageDown", "PageUp"], "Next or previous image", step, "Images"],
    [["d"], "Next image that is to do", actions["next-todo"], "Images"],
    [["f"], "Filter the images", () => byId("filter").select(), "Images"],
  ];
}

function viewKeys({ stage }, actions) {
  const group = "View";
  // Shows what lies in the direction of the key.
  const pan = ({ key }) => stage.pan(-80 * ARROWS[key][0], -80 * ARROWS[key][1]);
  return [
    [["+", "="], "Zoom in", actions["zoom-in"], group],
    [["-"], "Zoom out", actions["zoom-out"], group],
    [["0"], "Fit the image to the window", actions.fit, group],
    [["Shift+Home"], "Actual size", () => stage.actualSize(), group],
    [Object.keys(ARROWS).map((key) => `Ctrl+${key}`), "Move the image", pan, group],
    [["?"], "These keys", () => byId("open-help").click(), group],
  ];
}

// Where the keyboard's pointer is on the stage, if it was moved: zooming keeps it there.
function onScreen({ isByKeys, pointer }, { view }) {
  return isByKeys && pointer ? toScreen(view, ...pointer) : null;
}
