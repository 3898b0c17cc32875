// The table: only visible rows are in the document.
const viewport = $("viewport"), windowNode = $("window"), spacer = $("spacer"), grid = $("grid");
grid.classList.toggle("compares", data.compares);
const columns = [
  { key: "name", label: "Track", value: (i) => fold(title(i)) },
  { key: "caption", label: "Caption", value: (i) => tracks.caption[i].toLowerCase() },
  { key: "catalogue", label: "Catalogue", value: (i) => verdictRank(i),
    tip: "What the catalogue states; sorted: contradictions first. Bold: the caption contradicts it; underlined: its list lacks what the caption names" },
  data.scored
    ? { key: "certainty", label: "Certainty", number: true, value: (i) => tracks.certainty[i],
      tip: "Mean score of what the caption claims, 0 to 1" }
    : { key: "certainty", label: "Log-prob.", number: true, value: (i) => tracks.log_prob[i],
      tip: "How likely the model finds this caption for this audio; longer captions have lower values" },
  { key: "duration", label: "Length", number: true, value: (i) => tracks.duration_s[i] },
].filter((column) => column.key !== "catalogue" || data.compares);
let sort = { key: data.review.sample === "least_certain" ? "certainty" : null, down: false }, order = [], cursor = 0, chosen = -1;
const verdictRank = (i) => {
  const compared = detailOf(i).compared || [];
  return compared.length ? -Math.max(...compared.map(([, , , verdict]) => verdict)) : null;
};

const showSort = () => [...$("header").children].forEach((cell, n) => cell.setAttribute("aria-sort",
  columns[n].key !== sort.key ? "none" : sort.down ? "descending" : "ascending"));
for (const column of columns) {
  const cell = make("div", column.number ? "num" : "");
  cell.setAttribute("role", "columnheader");
  const button = makeButton("", column.label, () => {
    if (sort.key !== column.key) sort = { key: column.key, down: false };
    else if (!sort.down) sort = { key: column.key, down: true };
    else sort = { key: null, down: false };
    showSort();
    refresh();
  });
  if (column.tip) button.title = column.tip;
  cell.append(button);
  $("header").append(cell);
}
showSort();

const refresh = (keepVisible = false) => {
  order = [];
  for (let i = 0; i < total; i++) if (isShown(i)) order.push(i);
  const column = columns.find((c) => c.key === sort.key);
  if (column) {
    const values = tracks.track_id.map((_, i) => column.value(i));
    const missing = (x) => x === null || x === undefined;
    order.sort((a, b) => {
      const x = values[a], y = values[b];
      if (missing(x) || missing(y)) return missing(x) - missing(y) || a - b;
      return ((x > y) - (x < y)) * (sort.down ? -1 : 1) || a - b;
    });
  }
  $("count").textContent = order.length === total ? `${whole(total)} tracks` : `${whole(order.length)} of ${whole(total)} tracks`;
  grid.setAttribute("aria-rowcount", order.length + 1);
  cursor = Math.max(0, order.indexOf(chosen));
  spacer.style.height = `${order.length * rowHeight()}px`;
  viewport.scrollTop = keepVisible && order[cursor] === chosen && cursor ? cursor * rowHeight() - 80 : 0;
  draw(true);
};
let height = 0;
const rowHeight = () => (height ||= parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) || 66);
let drawn = "";
const draw = (force) => {
  const first = Math.max(0, Math.floor(viewport.scrollTop / rowHeight()) - 6);
  const last = Math.min(order.length, Math.ceil((viewport.scrollTop + viewport.clientHeight) / rowHeight()) + 6);
  if (!force && drawn === `${first}-${last}`) return;
  drawn = `${first}-${last}`;
  const rows = [];
  for (let n = first; n < last; n++) rows.push(rowOf(n));
  if (!order.length) rows.push(make("p", "empty", "\u2003No track matches."));
  windowNode.style.transform = `translateY(${first * rowHeight()}px)`;
  windowNode.replaceChildren(...rows);
  $("header").style.marginRight = `${viewport.offsetWidth - viewport.clientWidth}px`;  // width of the scrollbar
  if (chosen >= 0 && document.getElementById(`row-${chosen}`)) viewport.setAttribute("aria-activedescendant", `row-${chosen}`);
  else viewport.removeAttribute("aria-activedescendant");
};
const rowOf = (n) => {
  const i = order[n], row = make("div", "row track");
  row.id = `row-${i}`;
  row.dataset.n = n;
  row.setAttribute("role", "row");
  row.setAttribute("aria-rowindex", n + 2);
  row.setAttribute("aria-selected", String(i === chosen));
  const name = make("div", "name"), text = make("div", "text"), cells = [name, text];
  const bold = make("b"); highlighted(bold, title(i), terms); name.append(bold);
  if (subtitle(i)) { const small = make("span"); highlighted(small, subtitle(i), terms); name.append(small); }
  const verdict = verdictOf(i);
  if (verdict) {
    row.classList.add(verdict);
    const sign = make("i", `sign ${verdict}`, { accepted: "✓", edited: "✎", rejected: "✕" }[verdict]);
    sign.setAttribute("role", "img");
    sign.setAttribute("aria-label", DONE[verdict]);
    bold.prepend(sign);
  }
  if (verdict === "edited") highlighted(text, reviewedCaption(i), terms);
  else markedCaption(text, tracks.caption[i], detailOf(i).spans, terms);
  text.title = reviewedCaption(i);
  if (data.compares) cells.push(besideCaption(i));
  const sure = data.scored ? tracks.certainty[i] : tracks.log_prob[i];
  cells.push(make("div", "num certainty", sure === null ? "–" : sure.toFixed(data.scored ? 2 : 1)));
  cells.push(make("div", "num", tracks.duration_s[i] === null ? "–" : clock(tracks.duration_s[i])));
  for (const cell of cells) { cell.setAttribute("role", "gridcell"); row.append(cell); }
  return row;
};
// The catalogue's tempo, instruments, genre and mood, marked where the caption claims something else.
const besideCaption = (i) => {
  const cell = make("div", "beside");
  for (const [, value, , verdict] of detailOf(i).compared || []) {
    const part = make("span", verdictOf(i) === "edited" ? "" : VERDICTS[verdict]);  // it is about the caption before
    highlighted(part, value, terms);
    cell.append(...(cell.children.length ? [" · "] : []), part);
  }
  cell.title = (detailOf(i).compared || []).map(([heading, value]) => `${heading}: ${value}`).join("\n");
  return cell;
};
viewport.addEventListener("scroll", () => draw(false), { passive: true });
addEventListener("resize", () => { height = 0; spacer.style.height = `${order.length * rowHeight()}px`; draw(true); if (chosen >= 0) drawFigure(); });
windowNode.addEventListener("click", (event) => {
  const row = event.target.closest(".row.track");
  if (row) { choose(Number(row.dataset.n), true); open(); }
});
