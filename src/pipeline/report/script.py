"""What the page does besides being read: sorting tables, showing a part of the data sets, opening everything.

Everything is there and readable without it; the controls that need it are hidden until it runs.
"""

SCRIPT = """
"use strict";
const key = (row, column) => row.cells[column].dataset.key;
const order = (a, b) => {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [a, b].map((text) => (text === "inf" ? Infinity : Number(text)));
  return isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y || 0;
};
document.querySelectorAll("thead button").forEach((button) => button.addEventListener("click", () => {
  const header = button.parentElement, column = header.cellIndex, table = header.closest("table");
  const up = header.getAttribute("aria-sort") !== "ascending";
  header.parentElement.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
    rows.sort((a, b) => {
      const [x, y] = [key(a, column), key(b, column)];
      return up || x === "" || y === "" ? order(x, y) : order(y, x);
    });
    body.append(...rows);
  }
}));
const filter = document.getElementById("filter");
if (filter) {
  const boxes = [...filter.querySelectorAll("input")], said = filter.querySelector("output");
  const apply = () => {
    const off = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
    document.querySelectorAll("[data-dataset]").forEach((part) => {
      const out = off.has(part.dataset.dataset);
      if (part instanceof SVGElement) part.classList.toggle("dim", out);
      else part.hidden = out;
    });
    said.textContent = off.size ? `${boxes.length - off.size} of ${boxes.length} shown` : "all shown";
  };
  filter.addEventListener("change", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  filter.addEventListener("reset", () => setTimeout(apply));
  filter.hidden = false;
  // A browser that goes back to the page may remember what was chosen.
  apply();
}
const unfold = document.getElementById("unfold");
unfold.hidden = false;
unfold.addEventListener("click", () => {
  const parts = [...document.querySelectorAll("details")], closed = parts.some((part) => !part.open);
  parts.forEach((part) => { part.open = closed; });
});
"""
