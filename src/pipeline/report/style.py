"""What every page carries besides its content: the template, the style sheet and the script that sorts tables."""

from string import Template

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 1.5rem; background: #fff; color: #1f1f1f;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid #ccc; padding-bottom: .2rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .5rem; }
h4 { font-size: .9rem; margin: 0; }
h1, h3, h4, tbody th, p, li { overflow-wrap: anywhere; }
p, ul { margin: 0 0 .8rem; max-width: 58rem; }
li { margin-bottom: .35rem; }
.caution { border-left: 4px solid #d55e00; background: #fdf3ec; padding: .6rem 1rem; margin: 0 0 1rem; }
.caution ul { margin: 0; }
.plot { margin: 0 0 1.6rem; }
.plot svg { display: block; max-width: 100%; height: auto; }
.plot svg * { stroke-linejoin: round; stroke-linecap: butt; }
.plot figcaption { font-size: .9rem; max-width: 58rem; margin-top: .4rem; }
details { margin: 0 0 .6rem; }
summary { cursor: pointer; font-weight: 600; padding: .2rem 0; }
.scroll { overflow-x: auto; margin: .3rem 0 1.2rem; }
table { border-collapse: collapse; font-size: .72rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #555; padding: .2rem 0 .4rem; }
th, td { padding: .22rem .45rem .22rem 0; text-align: left; vertical-align: baseline; font-weight: normal; }
td { white-space: nowrap; }
tbody th { min-width: 7.5rem; }
thead th { white-space: nowrap; }
thead th { border-bottom: 2px solid #1f1f1f; vertical-align: bottom; }
thead button { all: unset; cursor: pointer; font-weight: 600; }
thead button:focus-visible { outline: 2px solid #0072b2; }
thead [aria-sort=ascending] button::after { content: " \\2191"; }
thead [aria-sort=descending] button::after { content: " \\2193"; }
tbody tr { border-bottom: 1px solid #e4e4e4; }
tr.group th { font-weight: 700; padding-top: .9rem; border-bottom: 1px solid #888; }
tr.control { background: #f6f6f4; }
small { color: #5f5f5f; }
.samples { display: grid; grid-template-columns: 8.5rem 1fr; gap: .8rem;
  border-top: 1px solid #e4e4e4; padding: .5rem 0; break-inside: avoid; }
.samples p { font-size: .78rem; color: #5f5f5f; margin: 0; }
.strips { display: flex; flex-wrap: wrap; gap: .5rem 1.4rem; }
.strip { display: grid; grid-template-columns: repeat(4, minmax(0, 6.3rem)); gap: .25rem; }
.strip figure { margin: 0; }
.strip img { display: block; width: 100%; height: auto; background: #eee; }
.strip img.blocks { image-rendering: pixelated; }
.strip figcaption { font-size: .7rem; color: #5f5f5f; line-height: 1.3; }
@media screen and (max-width: 40rem) {
  body { padding: .8rem; }
  .samples { grid-template-columns: 1fr; }
  .plot { overflow-x: auto; }
  .plot svg { max-width: none; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  .scroll { overflow: visible; }
  .samples { grid-template-columns: 7rem 1fr; }
  .strips { column-gap: .6rem; }
  .strip { grid-template-columns: repeat(4, minmax(0, 4.1rem)); }
  .strip figcaption { font-size: 5.5pt; }
  table { font-size: 6.6pt; }
  th, td { padding-right: .35rem; }
  .plot, tr, h2, h3 { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""

SCRIPT = """
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
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
"""

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
<script>$script</script>
</body>
</html>
""")
