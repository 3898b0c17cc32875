"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const tracks = data.tracks, total = tracks.track_id.length, details = data.details;
  const $ = (id) => document.getElementById(id);
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = text;
    return node;
  };
  const clock = (seconds) => {
    const whole = Math.max(0, Math.round(seconds)), hours = Math.floor(whole / 3600);
    const rest = String(Math.floor(whole / 60) % 60), secs = String(whole % 60).padStart(2, "0");
    return hours ? `${hours}:${rest.padStart(2, "0")}:${secs}` : `${rest}:${secs}`;
  };
  const fold = (text) => (text || "").normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  const title = (i) => tracks.title[i] || tracks.track_id[i];
  const subtitle = (i) => [tracks.artist[i], tracks.title[i] ? tracks.track_id[i] : null].filter(Boolean).join(" · ");

  // Colours: those of the system, unless another mode is set.
  const modes = ["system", "light", "dark"];
  const storeMode = (mode) => { try { localStorage.setItem("muscaps-colours", mode); } catch { /* not available on file: pages of some browsers */ } };
  const storedMode = () => { try { return localStorage.getItem("muscaps-colours"); } catch { return null; } };
  let mode = modes.includes(data.colours) ? data.colours : modes.includes(storedMode()) ? storedMode() : "system";
  const applyMode = () => {
    if (mode === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = mode;
    $("theme").textContent = `Colours: ${mode}`;
    if (chosen >= 0) drawFigure();
  };
  $("theme").addEventListener("click", () => { mode = modes[(modes.indexOf(mode) + 1) % 3]; storeMode(mode); applyMode(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chosen >= 0 && drawFigure());

  // Tooltips of bars.
  const tip = $("tip");
  document.addEventListener("pointerover", (event) => {
    const bar = event.target.closest && event.target.closest("[data-tip]");
    tip.hidden = !bar;
    if (!bar) return;
    tip.textContent = bar.dataset.tip;
    const box = bar.getBoundingClientRect(), width = tip.offsetWidth;
    tip.style.left = `${Math.max(6, Math.min(innerWidth - width - 6, box.left + box.width / 2 - width / 2))}px`;
    tip.style.top = `${Math.max(6, box.top - tip.offsetHeight - 7)}px`;
  });
  const pick = $("run-pick");
  if (pick) pick.addEventListener("change", () => document.querySelectorAll(".run-chart").forEach((chart) => {
    chart.hidden = chart.dataset.run !== pick.value;
  }));

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

  // Spectrogram, attention and segments over the same seconds.
  const buildFigure = (more, duration, audio) => {
    if (!duration || !(more.spectrogram || more.attention || more.segments)) return null;
    const node = make("div"), area = make("div", "figure"), hint = make("p", "hint");
    const result = { node, more, duration, hint, heads: [] };
    const withHead = (plot) => { const line = make("div", "head-line"); line.hidden = true; plot.append(line); result.heads.push(line); };
    const seekable = (plot) => plot.addEventListener("click", (event) => {
      const box = plot.getBoundingClientRect();
      seek(audio, (event.clientX - box.left) / box.width * duration);
    });
    if (more.spectrogram) {
      const stack = make("div", "stack");
      result.spectrogram = make("canvas");
      result.overlay = make("canvas");
      result.spectrogram.setAttribute("role", "img");
      result.spectrogram.setAttribute("aria-label", "Spectrogram: time from left to right, low frequencies at the bottom");
      stack.append(result.spectrogram, result.overlay);
      withHead(stack);
      seekable(stack);
      const scale = make("div", "lab hz");
      scale.append(make("span", "", "8 kHz"), make("span", "", "30 Hz"));
      area.append(scale, stack);
    }
    if (more.segments) {
      const lane = make("div", "lane");
      for (const [start, end, caption] of more.segments) {
        const part = make("i");
        part.style.left = `${start / duration * 100}%`;
        part.style.width = `calc(${Math.max(0.2, (Math.min(end, duration) - start) / duration * 100)}% - 2px)`;
        part.dataset.tip = `${clock(start)}  ${caption}`;
        lane.append(part);
      }
      result.lane = lane;
      area.append(make("div", "lab", "segments"), lane);
    }
    if (more.attention) {
      const words = more.attention.words, labels = make("div", "terms"), heat = make("div", "heat");
      result.weights = bytes(more.attention.data);
      result.heat = make("canvas");
      result.heat.setAttribute("role", "img");
      result.heat.setAttribute("aria-label", "Attention: one row per word, darker where the weight is higher");
      heat.style.height = `${words.length * 20}px`;
      heat.append(result.heat);
      withHead(heat);
      seekable(heat);
      words.forEach((word, w) => {
        const button = make("button", "", word);
        button.type = "button";
        button.addEventListener("mouseenter", () => showWord(w));
        button.addEventListener("focus", () => showWord(w));
        button.addEventListener("mouseleave", () => showWord(-1));
        button.addEventListener("blur", () => showWord(-1));
        button.addEventListener("click", () => seek(audio, peak(w) / more.attention.chunks * duration));
        labels.append(button);
      });
      heat.addEventListener("mousemove", (event) => showWord(Math.min(words.length - 1, Math.floor(event.offsetY / 20))));
      heat.addEventListener("mouseleave", () => showWord(-1));
      area.append(labels, heat);
    }
    const ticks = make("div", "ticks");
    for (let k = 0; k <= 4; k++) ticks.append(make("span", "", clock(duration * k / 4)));
    area.append(make("div"), ticks);
    node.append(area, hint);
    result.heading = more.attention ? "Attention: weight of each chunk per word" : "Spectrogram";
    if (!more.spectrogram && !more.attention) result.heading = "Segments";
    if (audio) audio.addEventListener("timeupdate", () => {
      const share = audio.currentTime / duration;
      for (const line of result.heads) { line.hidden = false; line.style.left = `${share * 100}%`; }
      const now = (more.segments || []).findIndex(([start, end]) => audio.currentTime >= start && audio.currentTime < end);
      if (result.lane) [...result.lane.children].forEach((part, n) => part.classList.toggle("now", n === now));
      detail.querySelectorAll("[data-segment]").forEach((button) => button.classList.toggle("now", Number(button.dataset.segment) === now));
    });
    return result;
  };
  const peak = (word) => {
    const { chunks } = figure.more.attention, row = figure.weights.subarray(word * chunks, (word + 1) * chunks);
    return row.indexOf(Math.max(...row));
  };
  const showWord = (word) => {
    if (!figure || !figure.more.attention || activeWord === word) return;
    activeWord = word;
    drawOverlay();
    const { words, chunks, peaks } = figure.more.attention;
    figure.hint.textContent = word < 0 ? defaultHint() :
      `“${words[word]}” has its highest weight at ${clock((peak(word) + 0.5) / chunks * figure.duration)} (${(peaks[word] * 100).toFixed(0)} % of its attention)`;
    detail.querySelectorAll(".terms button").forEach((button, n) => button.setAttribute("aria-pressed", String(n === word)));
  };
  const defaultHint = () => figure.more.attention
    ? "Each row is scaled to its own peak; an even row is pale. Point at a word to highlight its chunks."
    : figure.more.no_attention
      ? "No attention weights: this model uses the mean of all chunks. A model trained with --fusion attention has weights per word and chunk."
      : "No attention weights: the run did not save them (caption --attention, with an attention model).";
  const inferno = [[0, 0, 8], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 190]];
  const colour = (value) => {
    const at = value / 255 * (inferno.length - 1), low = Math.floor(at), part = at - low;
    const a = inferno[low], b = inferno[Math.min(low + 1, inferno.length - 1)];
    return [0, 1, 2].map((c) => a[c] + (b[c] - a[c]) * part);
  };
  const lut = Array.from({ length: 256 }, (_, v) => colour(v));
  const drawFigure = () => {
    if (!figure) return;
    const { more } = figure;
    if (figure.spectrogram) {
      const { bands, columns: wide, data: packed } = more.spectrogram, values = bytes(packed), canvas = figure.spectrogram;
      canvas.width = wide; canvas.height = bands;
      const context = canvas.getContext("2d"), image = context.createImageData(wide, bands);
      for (let b = 0; b < bands; b++) for (let c = 0; c < wide; c++) {
        const rgb = lut[values[b * wide + c]], at = ((bands - 1 - b) * wide + c) * 4;
        image.data[at] = rgb[0]; image.data[at + 1] = rgb[1]; image.data[at + 2] = rgb[2]; image.data[at + 3] = 255;
      }
      context.putImageData(image, 0, 0);
      drawOverlay();
    }
    if (figure.heat) {
      const { words, chunks } = more.attention, canvas = figure.heat;
      const heat = getComputedStyle(document.documentElement).getPropertyValue("--heat").split(",").map(Number);
      canvas.width = chunks; canvas.height = words.length;
      const context = canvas.getContext("2d"), image = context.createImageData(chunks, words.length);
      figure.weights.forEach((value, at) => {
        image.data.set([heat[0], heat[1], heat[2], value], at * 4);
      });
      context.putImageData(image, 0, 0);
    }
    figure.hint.textContent = defaultHint();
  };
  const drawOverlay = () => {
    if (!figure || !figure.overlay) return;
    const canvas = figure.overlay, context = canvas.getContext("2d");
    const chunks = figure.more.attention ? figure.more.attention.chunks : 1;
    canvas.width = chunks; canvas.height = 1;
    if (activeWord < 0 || !figure.more.attention) return;
    const image = context.createImageData(chunks, 1);
    for (let c = 0; c < chunks; c++) image.data[c * 4 + 3] = 215 - 215 * (figure.weights[activeWord * chunks + c] / 255);
    context.putImageData(image, 0, 0);
  };

  // Keyboard and filter.
  const filterBox = $("filter");
  let filterTimer = 0;
  const applyFilter = () => {
    terms = fold(filterBox.value).split(/\s+/).filter(Boolean);
    document.querySelectorAll(".word").forEach((word) => word.setAttribute("aria-pressed", String(terms.length === 1 && terms[0] === word.dataset.word)));
    refresh(!terms.length);
  };
  filterBox.addEventListener("input", () => { clearTimeout(filterTimer); filterTimer = setTimeout(applyFilter, 60); });
  document.querySelectorAll(".word").forEach((word) => word.addEventListener("click", () => {
    filterBox.value = filterBox.value === word.dataset.word ? "" : word.dataset.word;
    applyFilter();
    $("tracks").scrollIntoView();
  }));
  const togglePlay = () => {
    const audio = detail.querySelector("audio");
    if (audio) { if (audio.paused) audio.play().catch(() => {}); else audio.pause(); }
  };
  viewport.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(viewport.clientHeight / rowHeight()) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -order.length, End: order.length };
    if (event.key in moves) choose(order[cursor] === chosen ? cursor + moves[event.key] : cursor);
    else if (event.key === "Enter") { if (chosen < 0) choose(cursor); open(); detail.focus(); }
    else if (event.key === " ") togglePlay();
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) { event.preventDefault(); filterBox.focus(); filterBox.select(); }
    else if (event.key === "Escape") {
      if (event.target === filterBox && filterBox.value) { filterBox.value = ""; applyFilter(); }
      else close();
    } else if (event.key === "Enter" && event.target === filterBox) { clearTimeout(filterTimer); applyFilter(); choose(0); viewport.focus(); }
  });

  refresh();
  const first = order.findIndex((i) => details[i] && details[i].attention && details[i].spectrogram);
  if (total) choose(Math.max(0, first));
  else detail.replaceChildren(make("p", "empty", "No track has been captioned."));
  applyMode();
  document.documentElement.dataset.readyAfter = Math.round(performance.now());  // milliseconds since navigation
})();
