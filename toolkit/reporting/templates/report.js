"use strict";

// Sorts a table by the column of a button; a second click turns the order around.
function sortBy(button) {
  const head = button.closest("th");
  const table = head.closest("table");
  const column = head.cellIndex;
  const falling = head.getAttribute("aria-sort") !== "descending" && column > 0
    || head.getAttribute("aria-sort") === "ascending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const body = table.tBodies[0];
  const key = (row) => {
    const cell = row.cells[column];
    if (cell.tagName === "TH") return cell.textContent;
    return cell.dataset.value === undefined || cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  const rows = Array.from(body.rows).map((row) => [key(row), row]);
  rows.sort(([a], [b]) => {
    // what is undefined stays at the end
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "string" ? a.localeCompare(b) : a - b;
    return falling ? -order : order;
  });
  body.append(...rows.map(([, row]) => row));
}

// Shows precision, recall and F1 of each class at the score of the slider, and where it is in the chart.
function startSlider(tool) {
  const values = JSON.parse(document.getElementById("score-values").textContent);
  const input = document.getElementById("score");
  const chart = tool.querySelector("svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const [left, right] = [Number(tool.dataset.left), Number(tool.dataset.right)];
  line.setAttribute("id", "score-line");
  line.setAttribute("y1", tool.dataset.top);
  line.setAttribute("y2", tool.dataset.bottom);
  line.setAttribute("stroke", "currentColor");
  line.setAttribute("stroke-width", "1.5");
  chart.append(line);
  const rows = Array.from(document.getElementById("at-score").tBodies[0].rows);
  const show = () => {
    const score = Number(input.value);
    const place = Math.round(score * (values.thresholds.length - 1));
    const x = left + score * (right - left);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    document.getElementById("score-shown").textContent = score.toFixed(2);
    rows.forEach((row, index) => {
      for (const cell of row.querySelectorAll("td[data-curve]")) {
        const value = values.lines[index][cell.dataset.curve][place];
        cell.textContent = value === null ? "–" : value.toFixed(4);
        cell.dataset.value = value === null ? "" : value;
      }
    });
  };
  input.addEventListener("input", show);
  show();
}

// Hides the cards of other kinds and classes.
function startGallery(gallery) {
  const choices = Array.from(gallery.querySelectorAll("select[data-filter]"));
  const cards = Array.from(gallery.querySelectorAll("li")).map((card) => ({
    card, kind: card.dataset.kind, classes: JSON.parse(card.dataset.classes),
  }));
  const show = () => {
    const wanted = Object.fromEntries(choices.map((choice) => [choice.dataset.filter, choice.value]));
    let visible = 0;
    for (const { card, kind, classes } of cards) {
      card.hidden = Boolean(wanted.kind && wanted.kind !== kind)
        || Boolean(wanted.class && !classes.includes(wanted.class));
      visible += card.hidden ? 0 : 1;
    }
    const count = gallery.querySelector(".visible");
    if (count) count.textContent = visible;
  };
  for (const choice of choices) choice.addEventListener("change", show);
}

for (const button of document.querySelectorAll("button.sort")) {
  button.addEventListener("click", () => sortBy(button));
}
for (const gallery of document.querySelectorAll(".gallery")) startGallery(gallery);
const tool = document.getElementById("by-score-tool");
if (tool) startSlider(tool);
