// What the table shows: words of the filter, marks of tracks, claimed tags, certainty.
const detailOf = (i) => details[i] || {};
const searchText = tracks.track_id.map((id, i) => fold([
  id, tracks.title[i], tracks.artist[i], tracks.caption[i], ...Object.values(detailOf(i).catalogue || {}),
  ...(detailOf(i).flags || []), (detailOf(i).facts || {}).Audio, (detailOf(i).facts || {}).Damage,
  (detailOf(i).facts || {}).Versions,
].filter(Boolean).join(" \n ")));

// Words of the filter: all must be there; none of those with a minus in front. "Two words" stay together.
let terms = [], without = [];
const readFilter = (text) => {
  terms = []; without = [];
  for (const part of fold(text).match(/-?"[^"]*"?|\S+/g) || []) {
    const minus = part.startsWith("-"), word = part.slice(minus ? 1 : 0).replaceAll('"', "").trim();
    if (word) (minus ? without : terms).push(word);
  }
};

// Without evidence, certainty is log-probability per word: undivided, the longest captions would be the least certain.
const perWord = tracks.log_prob.map((x, i) => x === null ? null : x / (tracks.caption[i].split(/\s+/).length + 1));
const certainty = data.scored ? tracks.certainty : perWord;
const sortedCertainty = certainty.filter((x) => x !== null).sort((a, b) => a - b);
const leastCertain = sortedCertainty.length ? sortedCertainty[Math.floor(sortedCertainty.length / 10)] : -Infinity;

const hasFlag = (flag) => (i) => (detailOf(i).flags || []).includes(flag);
const marks = [
  ["Least certain 10 %", (i) => certainty[i] !== null && certainty[i] <= leastCertain],
  ["Tempo conflict", hasFlag("tempo conflict")],
  ["Mood conflict", hasFlag("mood conflict")],
  ["Instruments differ", hasFlag("instruments differ")],
  ["Genre differs", hasFlag("genre differ")],
  ["Repeated words", hasFlag("repeated words")],
  ["<unk>", hasFlag("<unk>")],
  ["Damaged file", hasFlag("damaged file")],
  ["Not music", hasFlag("not music")],
  ["Processed in part", (i) => tracks.coverage[i] !== null && tracks.coverage[i] < 1],
  ["With attention", (i) => detailOf(i).attention],
  ["With segments", (i) => detailOf(i).segments],
  ["Can be played", (i) => tracks.audio[i]],
];
const activeMarks = new Set();
for (const [label, test] of marks) {
  const count = tracks.track_id.reduce((n, _, i) => n + (test(i) ? 1 : 0), 0);
  if (!count || count === total) continue;
  const chip = makeButton("chip", `${label} (${whole(count)})`, () => {
    if (!activeMarks.delete(test)) activeMarks.add(test);
    chip.setAttribute("aria-pressed", String(activeMarks.has(test)));
    refreshAndFollow();
  });
  chip.setAttribute("aria-pressed", "false");
  $("chips").append(chip);
}
if (!$("chips").children.length) $("chips").remove();

// Tags by facet: those that count, see muscaps.tags.
const tagsOf = (i) => {
  const flat = detailOf(i).tags || [], found = [];
  for (let k = 0; k < flat.length; k += 3) found.push({ tag: flat[k], score: flat[k + 1] / 100, counts: flat[k + 2] === 1 });
  return found;
};
const tagPick = $("tag-pick"), certaintyPick = $("certainty-pick");
const tagCounts = new Map();
for (let i = 0; i < total; i++) for (const { tag, counts } of tagsOf(i)) if (counts) tagCounts.set(tag, (tagCounts.get(tag) || 0) + 1);
const facetGroups = new Map();
for (const [tag, count] of [...tagCounts].sort((a, b) => b[1] - a[1])) {
  const [facet, , name] = data.tags[tag];
  if (!facetGroups.has(facet)) {
    const group = make("optgroup");
    group.label = facet;
    facetGroups.set(facet, group);
  }
  facetGroups.get(facet).append(option(tag, `${name} (${whole(count)})`));
}
tagPick.append(...facetGroups.values());
tagPick.hidden = !facetGroups.size;
const BANDS = [[0, 0.5], [0.5, 0.6], [0.6, 0.7], [0.7, 0.8], [0.8, 1.01]];
BANDS.forEach(([low, high], n) => {
  const count = certainty.filter((x) => x !== null && x >= low && x < high).length;
  if (count) certaintyPick.append(option(n, `${low ? `${low} to ` : "below "}${Math.min(1, high)} (${whole(count)})`));
});
certaintyPick.hidden = !data.scored;
const reviewPick = $("review-pick");
for (const pick of [tagPick, certaintyPick]) pick.addEventListener("change", () => refreshAndFollow());

const isShown = (i) => {
  for (const test of activeMarks) if (!test(i)) return false;
  if (tagPick.value !== "" && !tagsOf(i).some(({ tag, counts }) => counts && tag === Number(tagPick.value))) return false;
  if (certaintyPick.value !== "") {
    const [low, high] = BANDS[Number(certaintyPick.value)];
    if (certainty[i] === null || certainty[i] < low || certainty[i] >= high) return false;
  }
  if (reviewPick.value === "none" ? verdictOf(i) : reviewPick.value === "any" ? !verdictOf(i) : reviewPick.value && verdictOf(i) !== reviewPick.value) return false;
  return terms.every((term) => searchText[i].includes(term)) && !without.some((term) => searchText[i].includes(term));
};
