// The chosen track.
const detail = $("detail");
let figure = null, activeWord = -1;
const isNarrow = () => matchMedia("(max-width: 1000px)").matches;
const open = () => { detail.classList.add("open"); if (isNarrow()) detail.focus(); };
const close = () => { detail.classList.remove("open"); viewport.focus(); };
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

const playOnMove = $("play-on-move");
playOnMove.checked = kept("muscaps-play-on-move") === "yes";
playOnMove.addEventListener("change", () => keep("muscaps-play-on-move", playOnMove.checked ? "yes" : "no"));

const choose = (n, byPerson = false) => {
  if (!order.length) return;
  cursor = Math.max(0, Math.min(order.length - 1, n));
  const moved = chosen !== order[cursor];
  if (moved) { chosen = order[cursor]; activeWord = -1; show(); }
  const top = cursor * rowHeight();
  if (top < viewport.scrollTop) viewport.scrollTop = top;
  else if (top + rowHeight() > viewport.scrollTop + viewport.clientHeight) viewport.scrollTop = top + rowHeight() - viewport.clientHeight;
  draw(true);
  if (moved && byPerson && playOnMove.checked) play();
};
const chooseNone = (reason) => {
  chosen = -1;
  figure = null;
  detail.replaceChildren(make("p", "empty", reason));
};
// After a change of filters: the first track, if the chosen one is hidden, so that keys act on a track of the table.
const refreshAndFollow = (keepVisible = false) => {
  refresh(keepVisible);
  if (!order.length) chooseNone("No track matches.");
  else if (!order.includes(chosen)) choose(0);
};
const move = (steps) => choose(order[cursor] === chosen ? cursor + steps : cursor, true);

const show = () => {
  const i = chosen, more = detailOf(i), audio = playerOf(i);
  figure = buildFigure(more, tracks.duration_s[i], audio);
  detail.replaceChildren(...[
    headOf(i),
    audio,
    captionOf(i),
    controlsOf(i),
    ...comparedOf(more),
    ...(more.alternatives && more.alternatives.length ? alternativesOf(more) : []),
    ...tagControlsOf(i),
    ...catalogueOf(more),
    ...(figure ? [make("h3", "", figure.heading), figure.node] : []),
    ...(more.segments ? segmentsOf(more, audio) : []),
    ...factsOf(i),
  ].filter(Boolean));
  detail.scrollTop = 0;
  drawFigure();
};
const headOf = (i) => {
  const head = make("header"), heading = make("div"), moves = make("div", "moves");
  heading.append(make("h2", "", title(i)));
  const length = tracks.duration_s[i] === null ? null : clock(tracks.duration_s[i]);
  heading.append(make("p", "by", [tracks.artist[i], length].filter(Boolean).join(" · ")));
  const before = makeButton("ghost step", "↑", () => move(-1)), after = makeButton("ghost step", "↓", () => move(1));
  before.setAttribute("aria-label", "Previous track");
  after.setAttribute("aria-label", "Next track");
  moves.append(before, after, makeButton("ghost close", "Back", close));
  head.append(heading, moves);
  return head;
};
const playerOf = (i) => {
  if (!tracks.audio[i]) return null;
  const audio = make("audio");
  audio.controls = true;
  audio.preload = "metadata";  // the player shows the length
  audio.src = tracks.audio[i];
  audio.addEventListener("error", () => audio.replaceWith(make("p", "hint", "The audio cannot be played: the file was moved, or the browser does not support the format.")));
  return audio;
};
const VERDICT_TEXTS = ["", "agrees", "not in the catalogue", "contradicts the catalogue"];
// The catalogue's statements beside the caption's, and its description of the track.
const comparedOf = (more) => {
  const description = Object.entries(more.catalogue || {}).find(([name]) => name.toLowerCase() === "description");
  if (!more.compared && !description) return [];
  const table = make("table", "compared"), head = make("tr"), body = make("tbody");
  for (const name of ["", "Catalogue", verdictOf(chosen) === "edited" ? "Caption before" : "Caption"]) head.append(make("th", "", name));
  for (const [heading, value, phrases, verdict] of more.compared || []) {
    const row = make("tr", VERDICTS[verdict]), said = make("td", "", phrases.join(", ") || "–");
    if (VERDICT_TEXTS[verdict]) said.append(" ", make("span", "verdict", VERDICT_TEXTS[verdict]));
    const name = make("th", "", heading);
    name.scope = "row";
    row.append(name, make("td", "", value), said);
    body.append(row);
  }
  if (description) {
    const row = make("tr"), name = make("th", "", "Description"), text = make("td", "", description[1]);
    name.scope = "row";
    text.colSpan = 2;
    row.append(name, text);
    body.append(row);
  }
  const top = make("thead");
  top.append(head);
  table.append(top, body);
  return [table];
};
const segmentsOf = (more, audio) => {
  const list = make("ol", "segs");
  more.segments.forEach(([start, end, caption], n) => {
    const item = make("li"), button = makeButton("", null, () => seek(audio, start));
    button.dataset.segment = n;
    button.append(make("time", "", clock(start)), make("span", "", caption));
    button.title = `${clock(start)} to ${clock(end)}`;
    item.append(button);
    list.append(item);
  });
  return [make("h3", "", "Segments"), list];
};
const listOf = (heading, entries) => {
  const list = make("dl", "facts");
  for (const [name, value] of entries) {
    if (value !== null && value !== undefined && value !== "") list.append(make("dt", "", name), make("dd", "", String(value)));
  }
  return list.children.length ? [make("h3", "", heading), list] : [];
};
const catalogueOf = (more) => listOf("Catalogue", Object.entries(more.catalogue || {}));
const factsOf = (i) => listOf("Facts", [
  ["Track id", tracks.track_id[i]],
  ["Length", tracks.duration_s[i] === null ? null : clock(tracks.duration_s[i])],
  ["Coverage", tracks.coverage[i] === null ? null : `${Math.round(tracks.coverage[i] * 100)} %`],
  ["Log-probability", tracks.log_prob[i] === null ? null : tracks.log_prob[i].toFixed(3)],
  ...Object.entries(detailOf(i).facts || {}),
]);

const play = () => {
  const audio = detail.querySelector("audio");
  if (audio) audio.play().catch(() => {});  // a browser may refuse until the page was clicked
};
const togglePlay = () => {
  const audio = detail.querySelector("audio");
  if (audio && !audio.paused) audio.pause(); else play();
};
const seek = (audio, seconds) => {
  if (!audio || !audio.isConnected) return;
  const go = () => { audio.currentTime = seconds; };
  if (audio.readyState) go(); else audio.addEventListener("loadedmetadata", go, { once: true });
  audio.play().catch(() => {});
};
