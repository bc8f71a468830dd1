// A small line chart as SVG.

const SPACE = "http://www.w3.org/2000/svg";
const WIDTH = 480;
const HEIGHT = 180;
const LEFT = 56;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 28;

/** A chart of `points`, `[[step, value], …]`; values that are null are left out. `label` says what it is. */
export function lineChart(points, label) {
  const known = points.filter(([, value]) => Number.isFinite(value));
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart" });
  const title = shape("title");
  title.textContent = described(known, label);
  svg.append(title);
  if (!known.length) return svg;
  const [low, high] = range(known.map(([, value]) => value));
  const [first, last] = [known[0][0], Math.max(known.at(-1)[0], known[0][0] + 1)];
  const x = (step) => LEFT + ((step - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  for (const value of ticks(low, high, 4)) {
    svg.append(shape("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid" }));
    svg.append(text(LEFT - 6, y(value) + 4, short(value), "end"));
  }
  for (const step of ticks(first, last, 5)) {
    if (Number.isInteger(step)) svg.append(text(x(step), HEIGHT - 8, String(step), "middle"));
  }
  const places = known.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  svg.append(shape("polyline", { points: places, class: "line" }));
  const [lastStep, lastValue] = known.at(-1);
  svg.append(shape("circle", { cx: x(lastStep), cy: y(lastValue), r: 3.5, class: "dot" }));
  return svg;
}

/** Round numbers in a range, about as many as wanted. */
export function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) found.push(i * step);
  return found;
}

/** A number in at most four digits. */
export function short(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(4)));
}

function range(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (high > low) return [low, high];
  const reach = Math.max(Math.abs(low), 1) / 2;
  return [low - reach, high + reach];
}

function described(known, label) {
  if (!known.length) return `${label}: no values yet`;
  const [[first, from], [last, to]] = [known[0], known.at(-1)];
  return `${label}: ${short(from)} at step ${first}, ${short(to)} at step ${last}`;
}

function shape(tag, attributes = {}) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function text(x, y, content, anchor) {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = content;
  return made;
}
