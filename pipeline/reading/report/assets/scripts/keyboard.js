// The filter's text, and the keys of the whole page.
const filterBox = $("filter");
let filterTimer = 0;
const applyFilter = () => {
  clearTimeout(filterTimer);
  readFilter(filterBox.value);
  document.querySelectorAll(".word").forEach((word) => word.setAttribute("aria-pressed", String(terms.length === 1 && terms[0] === word.dataset.word)));
  refreshAndFollow(!terms.length && !without.length);
};
filterBox.addEventListener("input", () => { clearTimeout(filterTimer); filterTimer = setTimeout(applyFilter, 60); });
document.querySelectorAll(".word").forEach((word) => word.addEventListener("click", () => {
  filterBox.value = filterBox.value === word.dataset.word ? "" : word.dataset.word;
  applyFilter();
  $("tracks").scrollIntoView();
}));

const isTyping = (node) => /^(SELECT|TEXTAREA)$/.test(node.tagName) || (node.tagName === "INPUT" && node.type !== "checkbox");
const keys = {
  "/": () => { filterBox.focus(); filterBox.select(); },
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  " ": togglePlay,
  a: accept, e: edit, r: reject, u: undo,
};
for (let n = 0; n < 9; n++) keys[n + 1] = () => useAlternative(n);
const keysInTable = {
  PageDown: () => move(rowsInView()),
  PageUp: () => move(-rowsInView()),
  Home: () => move(-order.length),
  End: () => move(order.length),
  Enter: () => { if (chosen < 0) choose(cursor); open(); detail.focus(); },
};
const rowsInView = () => Math.max(1, Math.floor(viewport.clientHeight / rowHeight()) - 1);
const ownsKey = (node, key) => key === " " && (/^(BUTTON|SUMMARY|AUDIO|INPUT|A)$/.test(node.tagName) || node.closest("#below"))
  || key.startsWith("Arrow") && (node.tagName === "AUDIO" || node.closest("#below"));
document.addEventListener("keydown", (event) => {
  const node = event.target, key = event.key;
  if (key === "Escape") {
    if (node === filterBox && filterBox.value) { filterBox.value = ""; applyFilter(); }
    else close();
  } else if (key === "Enter" && node === filterBox) {
    applyFilter();
    choose(0, true);
    viewport.focus();
  } else if (key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !isTyping(node)) {
    undo();
    event.preventDefault();
  } else if (!isTyping(node) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const action = node === viewport && keysInTable[key] || keys[key.length === 1 ? key.toLowerCase() : key];
    if (!action || ownsKey(node, key)) return;
    action();
    event.preventDefault();
  }
});
