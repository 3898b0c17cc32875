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
