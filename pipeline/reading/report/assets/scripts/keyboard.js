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
