// The data of the page, and elements made from text.
const data = JSON.parse(document.getElementById("data").textContent);
const tracks = data.tracks, total = tracks.track_id.length, details = data.details;
const $ = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
};
const makeButton = (className, text, action) => {
  const button = make("button", className, text);
  button.type = "button";
  button.addEventListener("click", action);
  return button;
};
const option = (value, text) => {
  const node = make("option", "", text);
  node.value = value;
  return node;
};
const clock = (seconds) => {
  const whole = Math.max(0, Math.round(seconds)), hours = Math.floor(whole / 3600);
  const rest = String(Math.floor(whole / 60) % 60), secs = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${rest.padStart(2, "0")}:${secs}` : `${rest}:${secs}`;
};
const whole = (number) => number.toLocaleString("en");
const fold = (text) => (text || "").normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
const title = (i) => tracks.title[i] || tracks.track_id[i];
const subtitle = (i) => [tracks.artist[i], tracks.title[i] ? tracks.track_id[i] : null].filter(Boolean).join(" · ");

// What the page keeps in the browser. Some browsers keep nothing for pages from disk: then `keep` returns false.
const keep = (key, value) => { try { localStorage.setItem(key, value); return true; } catch { return false; } };
const kept = (key) => { try { return localStorage.getItem(key); } catch { return null; } };

// A caption with its phrases marked by verdict and score, and the words of the filter highlighted.
const VERDICTS = ["unknown", "agrees", "differs", "conflict"];
const markedCaption = (node, text, spans, terms) => {
  let at = 0;
  for (const [start, end, score, verdict] of [...text].length === text.length ? spans || [] : []) {
    if (start < at || end > text.length) continue;
    highlighted(node, text.slice(at, start), terms);
    const phrase = make("span", `claim ${VERDICTS[verdict]}${score !== null && score < 50 ? " unsure" : ""}`);
    highlighted(phrase, text.slice(start, end), terms);
    node.append(phrase);
    at = end;
  }
  highlighted(node, text.slice(at), terms);
};
const highlighted = (node, text, terms) => {
  const lower = text.toLowerCase();
  let at = 0;
  while (terms.length && lower.length === text.length) {
    let next = -1, length = 0;
    for (const term of terms) {
      const found = lower.indexOf(term, at);
      if (found >= 0 && (next < 0 || found < next)) { next = found; length = term.length; }
    }
    if (next < 0) break;
    node.append(text.slice(at, next), make("mark", "", text.slice(next, next + length)));
    at = next + length;
  }
  node.append(text.slice(at));
};
