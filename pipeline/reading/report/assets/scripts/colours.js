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
