// The first view.

showProgress();
refresh();
const first = order.findIndex((i) => details[i] && details[i].attention && details[i].spectrogram);
if (total) choose(Math.max(0, first));
else chooseNone("No track has been captioned.");
applyMode();
document.documentElement.dataset.readyAfter = Math.round(performance.now());  // milliseconds since navigation
