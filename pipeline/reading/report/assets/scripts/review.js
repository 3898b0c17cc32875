// Decisions about captions: kept in the browser, undone, saved as reviews.jsonl.
// A decision: {track_id, verdict, caption, machine_caption, tags_on, tags_off, ...}; without a verdict, only tags changed.
const REVIEW_KEY = `muscaps-review-${data.review.key}`;
const ofOutput = new Map(data.review.known.map((review) => [review.track_id, review]));
const readReviews = () => { try { return Object.entries(JSON.parse(kept(REVIEW_KEY) || "{}")); } catch { return []; } };
const reviews = new Map(readReviews());
const undoable = [];
let isKept = true, unsaved = 0;

// A decision about an earlier caption of a track does not count for the present one.
const reviewOf = (i) => {
  for (const review of [reviews.get(tracks.track_id[i]), ofOutput.get(tracks.track_id[i])]) {
    if (review && review.machine_caption === tracks.caption[i]) return review;
  }
  return null;
};
const verdictOf = (i) => (reviewOf(i) || {}).verdict || null;
const reviewedCaption = (i) => verdictOf(i) === "edited" ? reviewOf(i).caption : tracks.caption[i];
const sameTag = (one, other) => one.facet === other.facet && one.tag === other.tag;

const put = (i, review) => {
  if (review) reviews.set(tracks.track_id[i], review); else reviews.delete(tracks.track_id[i]);
  unsaved += 1;
  isKept = keep(REVIEW_KEY, JSON.stringify(Object.fromEntries(reviews)));
  showProgress();
};
const change = (i, changes) => {
  undoable.push({ i, before: reviews.get(tracks.track_id[i]) || null });
  const now = reviewOf(i) || {};
  put(i, {
    track_id: tracks.track_id[i], verdict: now.verdict || null, caption: now.caption ?? null,
    machine_caption: tracks.caption[i], tags_on: now.tags_on || [], tags_off: now.tags_off || [], ...changes,
    certainty: tracks.certainty[i], sample: data.review.sample, etag: tracks.etag[i], model_id: tracks.model_id[i],
    created_at: new Date().toISOString(),
  });
};
const DONE = { accepted: "Accepted", edited: "Edited", rejected: "Rejected" };
const decide = (verdict, caption) => {
  if (chosen < 0) return;
  const i = chosen;
  change(i, { verdict, caption });
  announce(`${DONE[verdict]}: ${title(i)}. ${progressText()}`);
  toNextUnreviewed();
};
const accept = () => decide("accepted", tracks.caption[chosen]);
const reject = () => decide("rejected", null);
const useCaption = (text) => {
  const caption = text.split(/\s+/).filter(Boolean).join(" ");
  if (!caption) announce("An empty caption: reject it instead.");
  else decide(caption === tracks.caption[chosen] ? "accepted" : "edited", caption);
};
const useAlternative = (n) => {
  const alternative = (detailOf(chosen).alternatives || [])[n];
  if (alternative) useCaption(alternative[0]);
};
const isOn = (i, { tag: number, counts }) => {
  const [facet, tag] = data.tags[number], review = reviewOf(i) || {};
  const inList = (list) => (list || []).some((one) => sameTag(one, { facet, tag }));
  return inList(review.tags_on) || (counts && !inList(review.tags_off));
};
const switchTag = (i, scored) => {
  const [facet, tag, word] = data.tags[scored.tag], one = { facet, tag }, review = reviewOf(i) || {};
  const others = (list) => (list || []).filter((other) => !sameTag(one, other));
  const on = !isOn(i, scored), changed = on !== scored.counts;
  change(i, {
    tags_on: [...others(review.tags_on), ...(changed && on ? [one] : [])],
    tags_off: [...others(review.tags_off), ...(changed && !on ? [one] : [])],
  });
  announce(`${word} ${on ? "on" : "off"}`);
};
const undo = () => {
  const last = undoable.pop();
  if (!last) { announce("Nothing to undo."); return; }
  put(last.i, last.before);
  refresh(true);
  const n = order.indexOf(last.i);
  if (n >= 0) { chosen = -1; choose(n, true); }
  announce(`Undone: ${title(last.i)}. ${progressText()}`);
};

// The next track without a decision, after the chosen one, else the first one; filters hold.
const toNextUnreviewed = () => {
  const from = chosen, at = cursor;
  refresh(true);
  const start = order[cursor] === from ? cursor + 1 : Math.min(at, order.length);
  for (let step = 0; step < order.length; step++) {
    const n = (start + step) % order.length;
    if (!verdictOf(order[n])) { choose(n, true); return; }
  }
  if (order.includes(from)) show();
  else if (order.length) choose(at, true);
  else chooseNone("No track matches any more.");
};

const announce = (text) => { $("announced").textContent = text; };
const progressText = () => {
  const done = tracks.track_id.reduce((n, _, i) => n + (verdictOf(i) ? 1 : 0), 0);
  $("progress").value = done;
  return `${whole(done)} of ${whole(total)} reviewed`;
};
const toSave = () => [...reviews.values()].filter((review) => review.verdict);
const showProgress = () => {
  const save = $("save-reviews"), count = toSave().length;
  $("progress-text").textContent = progressText();
  save.textContent = `Save reviews.jsonl (${whole(count)})`;
  save.disabled = !count;
  $("not-kept").hidden = isKept;
};
const saveReviews = () => {
  const lines = toSave().map((review) => JSON.stringify(review) + "\n");
  const link = make("a");
  link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  link.download = "reviews.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  unsaved = 0;
  const tagsOnly = reviews.size - lines.length;
  announce(`${whole(lines.length)} reviews saved.${tagsOnly ? ` ${whole(tagsOnly)} tracks with changed tags and without a decision are not in the file.` : ""}`);
};
$("progress").max = total;
$("save-reviews").addEventListener("click", saveReviews);
$("review-pick").addEventListener("change", () => refreshAndFollow());
addEventListener("beforeunload", (event) => { if (unsaved && !isKept) event.preventDefault(); });
