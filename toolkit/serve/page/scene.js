// What is drawn over the image, from the state of the page.

const MAP_OPACITY = 0.55;
const HEAT_OPACITY = 0.8;

/** What Stage draws: layers as large as the image, shapes, boxes, points, a stroke, a cursor. */
export function sceneOf({ editor, guess, heat, tools, categories }) {
  const { state, selected } = editor;
  const colorOf = (category) => categories.colorOf(category);
  const guessed = ({ rle, category }) => ({ rle, color: guess.colorOf(category), dash: true });
  const shapes = guess.objects.map(guessed);
  for (const { id, rle, category } of state.objects) {
    const isStrong = id === state.selected;
    if (rle && !editor.hidden.has(id)) shapes.push({ rle, color: colorOf(category), isStrong });
  }
  if (editor.preview) {
    shapes.push({ rle: editor.preview.rle, color: colorOf(editor.preview.category), dash: true });
  }
  const layers = [];
  if (guess.picture) layers.push({ picture: guess.picture, opacity: MAP_OPACITY });
  if (heat.picture) layers.push({ picture: heat.picture, opacity: HEAT_OPACITY });
  const boxes = [selected && !editor.hidden.has(selected.id) ? selected.box : null, tools.dragged];
  return {
    layers,
    shapes,
    stroke: strokeOf(editor, tools, colorOf),
    boxes: boxes.filter(Boolean),
    points: selected ? selected.points : [],
    cursor: cursorOf(tools),
  };
}

function strokeOf({ strokeNow, selected, category }, tools, colorOf) {
  if (!strokeNow) return null;
  const color = strokeNow.value ? colorOf(selected?.category ?? category) : [30, 30, 30];
  return { points: strokeNow.points, radius: strokeNow.radius, color };
}

function cursorOf({ pointer, paints, diameter, isByKeys }) {
  if (!pointer || (!paints && !isByKeys)) return null;
  return { x: pointer[0], y: pointer[1], radius: paints ? diameter / 2 : 0 };
}
