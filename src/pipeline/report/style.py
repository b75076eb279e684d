"""What every page carries besides its content: the template and the style sheet."""

from string import Template

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0 auto; max-width: 74rem; padding: 1.5rem; background: #fff; color: #1f1f1f;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid #ccc; padding-bottom: .2rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .5rem; }
h4 { font-size: .9rem; margin: 0; }
h1, h3, h4, p, li { overflow-wrap: anywhere; }
p, ul { margin: 0 0 .8rem; max-width: 58rem; }
ul { padding-left: 1.4rem; }
a { color: #00548c; }
.answer { font-size: 1.1rem; border-left: 4px solid #0072b2; background: #eef5fa; padding: .7rem 1rem; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .1rem 1.1rem;
  font-size: .85rem; max-width: none; }
nav li { margin: 0; }
#filter { position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: .2rem 1rem; align-items: baseline;
  background: #fff; border-bottom: 1px solid #ccc; padding: .35rem 0; font-size: .85rem; margin: 0 0 1rem; }
#unfold { font-size: .85rem; margin-bottom: .5rem; }
#filter strong { font-weight: 600; }
#filter label { white-space: nowrap; cursor: pointer; }
#filter input { margin: 0 .25rem 0 0; vertical-align: -.1em; }
#filter button, #unfold { font: inherit; padding: .05rem .5rem; border: 1px solid #767676; border-radius: 3px;
  background: #f6f6f4; color: inherit; cursor: pointer; }
#filter output { color: #555; }
section { scroll-margin-top: 3rem; }
:focus-visible { outline: 2px solid #0072b2; outline-offset: 1px; }
svg .dim { opacity: .12; }
svg .tip { pointer-events: bounding-box; }
svg .tip:hover { filter: brightness(.6); }
li { margin-bottom: .35rem; }
.caution { border-left: 4px solid #d55e00; background: #fdf3ec; padding: .6rem 1rem; margin: 0 0 1rem; }
.caution ul { margin: 0; max-width: none; }
.plot { margin: 0 0 1.6rem; }
.plot .scroll { margin: 0; }
.plot svg { display: block; max-width: 100%; height: auto; }
.plot svg * { stroke-linejoin: round; stroke-linecap: butt; }
.plot figcaption { font-size: .9rem; max-width: 58rem; margin-top: .4rem; }
details { margin: 0 0 .6rem; }
details details { margin-left: 1rem; }
details details summary { font-weight: normal; }
summary { cursor: pointer; font-weight: 600; padding: .2rem 0; }
.scroll { overflow-x: auto; margin: .3rem 0 1.2rem; }
@media screen {
  /* A shadow at the side to which there is more: what moves with the content covers what stays at the edges,
     and a little more, since edges may lie between the pixels of a screen. */
  .scroll { background: linear-gradient(to right, #fff 60%, #fff0) -2px / 1.3rem 100% no-repeat local,
    linear-gradient(to left, #fff 60%, #fff0) calc(100% + 2px) / 1.3rem 100% no-repeat local,
    linear-gradient(to right, #0004, #0000) 0 / .5rem 100% no-repeat scroll,
    linear-gradient(to left, #0004, #0000) 100% / .5rem 100% no-repeat scroll; }
  .plot svg { mix-blend-mode: multiply; }
}
table { border-collapse: collapse; font-size: .72rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #555; padding: .2rem 0 .4rem; }
th, td { padding: .22rem .55rem .22rem 0; text-align: left; vertical-align: baseline; font-weight: normal; }
td { white-space: nowrap; }
tbody th { min-width: 7.5rem; }
thead th { white-space: nowrap; }
thead th { border-bottom: 2px solid #1f1f1f; vertical-align: bottom; }
thead button { all: unset; cursor: pointer; font-weight: 600; }
thead button:focus-visible { outline: 2px solid #0072b2; outline-offset: 1px; }
thead [aria-sort=ascending] button::after { content: " \\2191"; }
thead [aria-sort=descending] button::after { content: " \\2193"; }
tbody tr { border-bottom: 1px solid #e4e4e4; }
tr.group th { font-weight: 700; padding-top: .9rem; border-bottom: 1px solid #888; }
tr.control { background: #f6f6f4; }
small { color: #5f5f5f; font-size: inherit; }
.gallery { line-height: 1.25; }
.gallery caption { font-size: .8rem; color: #1f1f1f; font-weight: 600; }
.gallery thead th, .gallery thead td { border-bottom: 0; vertical-align: bottom; white-space: normal; width: 7.6rem; }
.gallery tbody tr { border: 0; }
.gallery tbody th { min-width: 6rem; vertical-align: middle; }
.gallery td { padding: .1rem .5rem .1rem 0; vertical-align: middle; white-space: normal; }
.gallery img { display: block; width: 7rem; height: auto; background: #eee; }
.gallery img.blocks { image-rendering: pixelated; }
dt { font-weight: 600; margin-top: .5rem; }
dd { margin: 0 0 0 1.4rem; overflow-wrap: anywhere; }
pre { font-size: .75rem; line-height: 1.35; overflow-x: auto; background: #f6f6f4; padding: .6rem; }
code { overflow-wrap: anywhere; }
@media screen and (max-width: 40rem) {
  body { padding: .8rem; }
  /* Above a table that is wider than the screen it is read where it stands. */
  caption { position: sticky; left: 0; max-width: calc(100vw - 1.6rem); }
  .plot svg { max-width: none; }
}
@media print {
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; font-size: 1rem; }
  nav, #filter button, #unfold { display: none; }
  #filter { position: static; }
  .scroll { overflow: visible; }
  .gallery img { width: 4.6rem; }
  .gallery thead th { width: 5rem; }
  pre { white-space: pre-wrap; }
  table { font-size: 7pt; }
  td, thead th { white-space: normal; }
  thead small { white-space: nowrap; }
  tbody th { min-width: 4rem; }
  th, td { padding-right: .3rem; }
  .plot, tr, h2, h3 { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
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
