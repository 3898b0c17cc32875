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
const clock = (seconds) => {
  const whole = Math.max(0, Math.round(seconds)), hours = Math.floor(whole / 3600);
  const rest = String(Math.floor(whole / 60) % 60), secs = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${rest.padStart(2, "0")}:${secs}` : `${rest}:${secs}`;
};
const fold = (text) => (text || "").normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
const title = (i) => tracks.title[i] || tracks.track_id[i];
const subtitle = (i) => [tracks.artist[i], tracks.title[i] ? tracks.track_id[i] : null].filter(Boolean).join(" · ");
