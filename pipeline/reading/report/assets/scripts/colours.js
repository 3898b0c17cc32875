// Colours: those of the system, unless another mode is set.
const modes = ["system", "light", "dark"];
let mode = modes.includes(data.colours) ? data.colours : modes.includes(kept("muscaps-colours")) ? kept("muscaps-colours") : "system";
const applyMode = () => {
  if (mode === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = mode;
  $("theme").textContent = `Colours: ${mode}`;
  if (chosen >= 0) drawFigure();
};
$("theme").addEventListener("click", () => { mode = modes[(modes.indexOf(mode) + 1) % 3]; keep("muscaps-colours", mode); applyMode(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chosen >= 0 && drawFigure());
