// The chosen track.
const detail = $("detail");
let figure = null, activeWord = -1;
const open = () => { detail.classList.add("open"); if (matchMedia("(max-width: 1000px)").matches) detail.focus(); };
const close = () => { detail.classList.remove("open"); viewport.focus(); };
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const fact = (list, name, value) => {
  if (value === null || value === undefined || value === "") return;
  list.append(make("dt", "", name), make("dd", "", String(value)));
};
const choose = (n) => {
  if (!order.length) return;
  cursor = Math.max(0, Math.min(order.length - 1, n));
  if (chosen !== order[cursor]) { chosen = order[cursor]; activeWord = -1; show(); }
  const top = cursor * rowHeight();
  if (top < viewport.scrollTop) viewport.scrollTop = top;
  else if (top + rowHeight() > viewport.scrollTop + viewport.clientHeight) viewport.scrollTop = top + rowHeight() - viewport.clientHeight;
  draw(true);
};
const show = () => {
  const i = chosen, more = details[i] || {};
  const head = make("header"), heading = make("div"), back = make("button", "ghost close", "Back");
  back.type = "button";
  back.addEventListener("click", close);
  heading.append(make("h2", "", title(i)));
  if (tracks.artist[i]) heading.append(make("p", "by", tracks.artist[i]));
  head.append(heading, back);
  const quote = make("blockquote", "", tracks.caption[i] || "(empty caption)");
  quote.append(make("span", "ai", "AI-written description; may be wrong"));
  const parts = [head, quote];
  let audio = null;
  if (tracks.audio[i]) {
    audio = make("audio");
    audio.controls = true;
    audio.preload = "none";
    audio.src = tracks.audio[i];
    audio.addEventListener("error", () => audio.replaceWith(make("p", "hint", "The audio cannot be played: the file was moved, or the browser does not support the format.")));
    parts.push(audio);
  }
  figure = buildFigure(more, tracks.duration_s[i], audio);
  if (figure) parts.push(make("h3", "", figure.heading), figure.node);
  if (more.segments) {
    const list = make("ol", "segs");
    more.segments.forEach(([start, end, caption], n) => {
      const item = make("li"), button = make("button");
      button.type = "button";
      button.dataset.segment = n;
      button.append(make("time", "", clock(start)), make("span", "", caption));
      button.title = `${clock(start)} to ${clock(end)}`;
      button.addEventListener("click", () => seek(audio, start));
      item.append(button);
      list.append(item);
    });
    parts.push(make("h3", "", "Segments"), list);
  }
  if (more.alternatives && more.alternatives.length) {
    const list = make("ol", "alts");
    for (const [caption, logProb] of more.alternatives) {
      const item = make("li");
      item.append(make("span", "", caption), make("em", "", logProb === null ? "" : logProb.toFixed(1)));
      list.append(item);
    }
    parts.push(make("h3", "", "Alternatives"), list);
  }
  const facts = make("dl", "facts");
  fact(facts, "Track id", tracks.track_id[i]);
  fact(facts, "Length", tracks.duration_s[i] === null ? null : clock(tracks.duration_s[i]));
  fact(facts, "Coverage", tracks.coverage[i] === null ? null : `${Math.round(tracks.coverage[i] * 100)} %`);
  fact(facts, "Log-probability", tracks.log_prob[i] === null ? null : tracks.log_prob[i].toFixed(3));
  for (const [name, value] of Object.entries(more.facts || {})) fact(facts, name, value);
  parts.push(make("h3", "", "Facts"), facts);
  detail.replaceChildren(...parts);
  detail.scrollTop = 0;
  drawFigure();
};
const seek = (audio, seconds) => {
  if (!audio || !audio.isConnected) return;
  const go = () => { audio.currentTime = seconds; };
  if (audio.readyState) go(); else audio.addEventListener("loadedmetadata", go, { once: true });
  audio.play().catch(() => {});
};
