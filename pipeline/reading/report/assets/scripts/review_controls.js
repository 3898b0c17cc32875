// The buttons with which a person reviews the chosen track.
const controlsOf = (i) => {
  const bar = make("div", "review-bar"), verdict = verdictOf(i);
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Review this caption");
  for (const [name, label, key, action] of [
    ["accepted", "Accept", "A", accept], ["edited", "Edit", "E", edit], ["rejected", "Reject", "R", reject], ["", "Undo", "U", undo],
  ]) {
    const button = makeButton(`review-button ${name}`, label, (event) => { action(); releaseFocus(event); });
    button.append(make("kbd", "", key));
    button.setAttribute("aria-keyshortcuts", key);
    if (name) button.setAttribute("aria-pressed", String(verdict === name));
    else button.disabled = !undoable.length;
    bar.append(button);
  }
  return bar;
};
// After a click with the mouse, keys go to the page again; a person at the keyboard stays where they are.
const releaseFocus = (event) => { if (event.detail) viewport.focus({ preventScroll: true }); };

const captionOf = (i) => {
  const quote = make("blockquote", verdictOf(i) || ""), text = make("p"), verdict = verdictOf(i), caption = reviewedCaption(i);
  if (verdict === "edited") text.textContent = caption;
  else if (caption) markedCaption(text, caption, detailOf(i).spans, []);
  else text.textContent = "(empty caption)";
  quote.append(text);
  if (verdict === "edited") quote.append(make("p", "was", `Before: ${tracks.caption[i]}`));
  quote.append(make("span", "ai", verdict ? `${DONE[verdict]} by a person` : "AI-written description; may be wrong"));
  return quote;
};

const edit = () => {
  const quote = detail.querySelector("blockquote");
  if (chosen < 0 || !quote || detail.querySelector(".edit")) return;
  if (isNarrow()) open();
  const form = make("div", "edit"), box = make("textarea"), row = make("div", "review-bar");
  box.value = reviewedCaption(chosen);
  box.rows = 4;
  box.setAttribute("aria-label", `Caption of ${title(chosen)}. Enter saves, Escape cancels`);
  const cancel = () => { show(); viewport.focus({ preventScroll: true }); };
  const store = () => { useCaption(box.value); viewport.focus({ preventScroll: true }); };
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) { event.preventDefault(); store(); }
    if (event.key === "Escape") { event.stopPropagation(); cancel(); }
  });
  row.append(makeButton("review-button edited", "Save", store), makeButton("review-button", "Cancel", cancel));
  form.append(box, row);
  detail.querySelector(".review-bar").remove();
  quote.replaceWith(form);
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
};

const alternativesOf = (more) => {
  const list = make("ol", "alts");
  more.alternatives.forEach(([caption, logProb], n) => {
    const item = make("li"), button = makeButton("", null, (event) => { useAlternative(n); releaseFocus(event); });
    if (n < 9) { button.append(make("kbd", "", n + 1)); button.setAttribute("aria-keyshortcuts", n + 1); }
    button.append(make("span", "", caption), make("em", "", logProb === null ? "" : logProb.toFixed(1)));
    button.title = "Use this caption";
    if (verdictOf(chosen) === "edited") button.setAttribute("aria-pressed", String(reviewedCaption(chosen) === caption));
    item.append(button);
    list.append(item);
  });
  return [make("h3", "", "Alternatives: a click uses one"), list];
};

const tagControlsOf = (i) => {
  const byFacet = new Map();
  for (const one of tagsOf(i)) {
    const [facet] = data.tags[one.tag];
    byFacet.set(facet, [...(byFacet.get(facet) || []), one]);
  }
  if (!byFacet.size) return [];
  const node = make("div", "tags");
  for (const [facet, found] of byFacet) {
    const group = make("div", "tag-group");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", `Tags: ${facet}`);
    group.append(make("span", "facet", facet));
    for (const scored of found) {
      const [, , name] = data.tags[scored.tag];
      const button = makeButton("tag", name, (event) => {
        switchTag(i, scored);
        button.setAttribute("aria-pressed", String(isOn(i, scored)));
        releaseFocus(event);
      });
      button.append(make("em", "", scored.score.toFixed(2)));
      button.setAttribute("aria-pressed", String(isOn(i, scored)));
      group.append(button);
    }
    node.append(group);
  }
  return [make("h3", "", "Tags: a click switches one on or off"), node];
};
