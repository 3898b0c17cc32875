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
    : "";
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
