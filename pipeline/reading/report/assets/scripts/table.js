// The table: only visible rows are in the document.
const viewport = $("viewport"), windowNode = $("window"), spacer = $("spacer"), grid = $("grid");
const searchText = tracks.track_id.map((id, i) => fold([id, tracks.title[i], tracks.artist[i], tracks.caption[i]].join(" \n ")));
const columns = [
  { key: "name", label: "Track", value: (i) => fold(title(i)) },
  { key: "caption", label: "Caption", value: (i) => tracks.caption[i].toLowerCase() },
  { key: "duration", label: "Length", number: true, value: (i) => tracks.duration_s[i] },
  { key: "logp", label: "Log-prob.", number: true, value: (i) => tracks.log_prob[i],
    tip: "How likely the model finds this caption for this audio; longer captions have lower values" },
];
let sort = { key: null, down: false }, terms = [], activeFilter = null, order = [], cursor = 0, chosen = -1;

// Per word: without the division, the longest captions would be the least likely.
const perWord = tracks.log_prob.map((x, i) => x === null ? null : x / (tracks.caption[i].split(/\s+/).length + 1));
const sortedLogs = perWord.filter((x) => x !== null).sort((a, b) => a - b);
const lowLimit = sortedLogs.length ? sortedLogs[Math.floor(sortedLogs.length * 0.05)] : -Infinity;
const filters = [
  ["Least likely 5 %", (i) => perWord[i] !== null && perWord[i] <= lowLimit],
  ["Processed in part", (i) => tracks.coverage[i] !== null && tracks.coverage[i] < 1],
  ["With attention", (i) => details[i] && details[i].attention],
  ["With segments", (i) => details[i] && details[i].segments],
  ["Can be played", (i) => tracks.audio[i]],
].map(([label, test]) => ({ label, test, count: tracks.track_id.reduce((n, _, i) => n + (test(i) ? 1 : 0), 0) }));
for (const filter of filters) {
  if (!filter.count || filter.count === total) continue;
  const chip = make("button", "chip", `${filter.label} (${filter.count.toLocaleString("en")})`);
  chip.type = "button";
  chip.setAttribute("aria-pressed", "false");
  chip.addEventListener("click", () => {
    activeFilter = activeFilter === filter ? null : filter;
    document.querySelectorAll(".chip").forEach((c) => c.setAttribute("aria-pressed", String(c === chip && activeFilter === filter)));
    refresh();
  });
  $("chips").append(chip);
}
if (!$("chips").children.length) $("chips").remove();

for (const column of columns) {
  const cell = make("div", column.number ? "num" : "");
  cell.setAttribute("role", "columnheader");
  cell.setAttribute("aria-sort", "none");
  const button = make("button", "", column.label);
  button.type = "button";
  if (column.tip) button.title = column.tip;
  button.addEventListener("click", () => {
    if (sort.key !== column.key) sort = { key: column.key, down: false };
    else if (!sort.down) sort = { key: column.key, down: true };
    else sort = { key: null, down: false };
    [...$("header").children].forEach((other, n) => other.setAttribute("aria-sort",
      columns[n].key !== sort.key ? "none" : sort.down ? "descending" : "ascending"));
    refresh();
  });
  cell.append(button);
  $("header").append(cell);
}

const refresh = (keepVisible = false) => {
  order = [];
  for (let i = 0; i < total; i++) {
    if (activeFilter && !activeFilter.test(i)) continue;
    if (terms.every((term) => searchText[i].includes(term))) order.push(i);
  }
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
  $("count").textContent = order.length === total
    ? `${total.toLocaleString("en")} tracks`
    : `${order.length.toLocaleString("en")} of ${total.toLocaleString("en")} tracks`;
  grid.setAttribute("aria-rowcount", order.length + 1);
  cursor = Math.max(0, order.indexOf(chosen));
  spacer.style.height = `${order.length * rowHeight()}px`;
  viewport.scrollTop = keepVisible && order[cursor] === chosen && cursor ? cursor * rowHeight() - 80 : 0;
  draw(true);
};
let height = 0;
const rowHeight = () => (height ||= parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) || 46);
let drawn = "";
const highlighted = (node, text) => {
  if (!terms.length) { node.textContent = text; return; }
  const lower = text.toLowerCase();
  let at = 0;
  while (at < text.length) {
    let next = -1, length = 0;
    for (const term of terms) {
      const found = lower.indexOf(term, at);
      if (found >= 0 && (next < 0 || found < next)) { next = found; length = term.length; }
    }
    if (next < 0 || lower.length !== text.length) break;
    node.append(text.slice(at, next), make("mark", "", text.slice(next, next + length)));
    at = next + length;
  }
  node.append(text.slice(at));
};
const draw = (force) => {
  const first = Math.max(0, Math.floor(viewport.scrollTop / rowHeight()) - 6);
  const last = Math.min(order.length, Math.ceil((viewport.scrollTop + viewport.clientHeight) / rowHeight()) + 6);
  if (!force && drawn === `${first}-${last}`) return;
  drawn = `${first}-${last}`;
  const rows = [];
  for (let n = first; n < last; n++) {
    const i = order[n], row = make("div", "row track");
    row.id = `row-${i}`;
    row.dataset.n = n;
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", n + 2);
    row.setAttribute("aria-selected", String(i === chosen));
    const name = make("div", "name"), text = make("div", "text");
    const bold = make("b"); highlighted(bold, title(i)); name.append(bold);
    if (subtitle(i)) { const small = make("span"); highlighted(small, subtitle(i)); name.append(small); }
    highlighted(text, tracks.caption[i]);
    text.title = tracks.caption[i];
    const length = make("div", "num", tracks.duration_s[i] === null ? "–" : clock(tracks.duration_s[i]));
    const logp = make("div", "num logp", tracks.log_prob[i] === null ? "–" : tracks.log_prob[i].toFixed(1));
    for (const cell of [name, text, length, logp]) { cell.setAttribute("role", "gridcell"); row.append(cell); }
    rows.push(row);
  }
  if (!order.length) rows.push(make("p", "empty", "\u2003No track matches."));
  windowNode.style.transform = `translateY(${first * rowHeight()}px)`;
  windowNode.replaceChildren(...rows);
  $("header").style.marginRight = `${viewport.offsetWidth - viewport.clientWidth}px`;  // width of the scrollbar
  if (chosen >= 0 && document.getElementById(`row-${chosen}`)) viewport.setAttribute("aria-activedescendant", `row-${chosen}`);
  else viewport.removeAttribute("aria-activedescendant");
};
viewport.addEventListener("scroll", () => draw(false), { passive: true });
addEventListener("resize", () => { height = 0; spacer.style.height = `${order.length * rowHeight()}px`; draw(true); if (chosen >= 0) drawFigure(); });
windowNode.addEventListener("click", (event) => {
  const row = event.target.closest(".row.track");
  if (row) { choose(Number(row.dataset.n)); open(); }
});
