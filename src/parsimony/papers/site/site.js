"use strict";

// The list of papers: search by the index that is loaded beside this file (see search.py), filters,
// orders. The address keeps what was asked, so that it can be linked to and gone back to.
const form = document.querySelector(".finder");
const list = document.getElementById("list");
const query = document.getElementById("q");
const order = document.getElementById("order");
const more = document.querySelector(".more");
const STEP = 80; // rows shown at a time
const LEVELS = ["exact", "cpu", "gpu"];
const STATES = ["red", "stale", "not yet", "green"];
const SIGNS = { "green": "✓", "red": "✕", "stale": "↻", "not yet": "–" };
const WEIGHTS = [8, 4, 3, 1]; // title, summary, names, claims
const words = INDEX.words.split(" ");
const postings = INDEX.postings.split(" ");
const fromPage = list.children.length;
const rows = [...list.children].map((element) => ({ element, ...element.dataset }));
rows.push(...INDEX.rows.map(([slug, title, summary, date, arxiv, areas, state, run, ...levels]) => (
  { slug, title, summary, date: `${date} ${arxiv}`, areas, state, run, levels })));
let shown = STEP;

function make(tag, name, text) {
  const element = document.createElement(tag);
  element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

// A row that the page did not bring, like those of rows.html.j2; text goes in as text only.
function element(row) {
  if (row.element) return row.element;
  const item = make("li", "paper");
  const says = make("div", "says");
  const heading = document.createElement("h3");
  const link = make("a", "", row.title);
  link.href = `papers/${row.slug}.html`;
  heading.append(link);
  const summary = make("p", "summary", row.summary);
  for (const area of row.areas.split(" ")) {
    const tag = make("a", "tag", area);
    tag.href = `areas/${area}.html`;
    summary.append(" ", tag);
  }
  says.append(heading, summary);
  const stand = make("p", "stand");
  if (row.levels.every(([, , claims]) => !claims)) stand.append(make("span", "level not-yet", "– not yet"));
  else row.levels.forEach(([state, passed, claims], place) => {
    const badge = make("span", `level ${claims ? state.replace(" ", "-") : "without"}`);
    const part = (text, hidden) => {
      const piece = make("span", hidden ? "" : "said", text);
      if (hidden) piece.setAttribute("aria-hidden", "true");
      return piece;
    };
    badge.append(make("b", "", LEVELS[place]), " ", part(claims ? SIGNS[state] : "—", true), " ",
      part(!claims ? "" : passed === claims ? `${claims}` : `${passed}/${claims}`, true), " ",
      part(claims ? `${state}, ${passed} of ${claims} hold` : "no claims", false));
    stand.append(badge);
  });
  item.append(make("time", "date", row.date.split(" ")[0]), says, stand);
  return (row.element = item);
}

function first(prefix) { // of the sorted words, the first that is not before it
  let [low, high] = [0, words.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle] < prefix) low = middle + 1; else high = middle;
  }
  return low;
}

// Papers that have a word beginning with `typed`, with how well: rare words and whole ones count more.
function matches(typed) {
  const found = new Map();
  for (let at = first(typed); at < words.length && words[at].startsWith(typed); at += 1) {
    let place = -1;
    const entries = [...postings[at].matchAll(/([0-9a-z]*)([A-O])/g)];
    const rare = Math.log(1 + INDEX.count / entries.length) * (words[at] === typed ? 1 : 0.5);
    for (const [, distance, mask] of entries) {
      place += distance ? parseInt(distance, 36) : 1;
      const bits = mask.charCodeAt(0) - 64;
      const weight = WEIGHTS.reduce((sum, one, bit) => sum + (bits & (1 << bit) ? one : 0), 0);
      found.set(place, Math.max(found.get(place) ?? 0, rare * weight));
    }
  }
  return found;
}

function search(text) { // null: nothing was asked
  const typed = text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "").match(/[\p{L}\p{N}]+/gu);
  if (!typed) return null;
  const all = [...new Set(typed)].map(matches);
  const scores = new Map();
  for (const place of all[0].keys()) {
    if (all.every((found) => found.has(place))) {
      scores.set(place, all.reduce((sum, found) => sum + found.get(place), 0));
    }
  }
  return scores;
}

const ORDERS = {
  date: (a, b) => (a.date < b.date) - (a.date > b.date),
  state: (a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state) || ORDERS.date(a, b),
  run: (a, b) => (a.run < b.run) - (a.run > b.run) || ORDERS.date(a, b),
  heat: (a, b) => (b.heat ?? 0) - (a.heat ?? 0) || ORDERS.date(a, b),
};

const chosen = (name) => [...form.querySelectorAll(`[name=${name}]:checked`)].map((box) => box.value);

function show() {
  const [areas, states, scores] = [chosen("area"), chosen("state"), search(query.value)];
  const best = order.querySelector("[value=match]");
  best.hidden = best.disabled = scores === null;
  if (scores === null && order.value === "match") order.value = "date";
  const found = rows.map((row, place) => ({ row, score: scores?.get(place) })).filter(({ row, score }) =>
    (scores === null || score !== undefined)
    && (!areas.length || row.areas.split(" ").some((area) => areas.includes(area)))
    && (!states.length || states.includes(row.state)));
  found.sort(order.value === "match" ? (a, b) => b.score - a.score : (a, b) => ORDERS[order.value](a.row, b.row));
  list.replaceChildren(...found.slice(0, shown).map(({ row }) => element(row)));
  const all = found.length === rows.length;
  form.querySelector("output").textContent = all ? `${rows.length} papers` : `${found.length} of ${rows.length} papers`;
  form.querySelector("[type=reset]").hidden = !(query.value || areas.length || states.length);
  document.querySelector(".none").hidden = found.length > 0;
  more.hidden = found.length <= shown;
}

function write() { // what was asked, into the address
  const asked = new URLSearchParams();
  if (query.value) asked.set("q", query.value);
  for (const name of ["area", "state"]) if (chosen(name).length) asked.set(name, chosen(name).join(","));
  if (order.value !== "date" && order.value !== "match") asked.set("order", order.value);
  history.replaceState(null, "", `#${asked}`);
}

function read() { // and out of it
  const asked = new URLSearchParams(location.hash.slice(1));
  query.value = asked.get("q") ?? "";
  for (const name of ["area", "state"]) {
    const values = (asked.get(name) ?? "").split(",");
    for (const box of form.querySelectorAll(`[name=${name}]`)) box.checked = values.includes(box.value);
  }
  const wanted = asked.get("order") ?? "date";
  order.value = Object.hasOwn(ORDERS, wanted) && order.querySelector(`[value=${wanted}]`) ? wanted : "date";
  if (search(query.value) !== null && !asked.has("order")) order.value = "match";
  show();
}

function asked(event) {
  shown = STEP;
  if (event.target === query) {
    const typed = search(query.value) !== null;
    if (typed && order.value === "date") { order.querySelector("[value=match]").disabled = false; order.value = "match"; }
  }
  show();
  write();
}

form.hidden = false;
form.addEventListener("input", asked);
form.addEventListener("submit", (event) => { event.preventDefault(); list.querySelector("h3 a")?.focus(); });
form.addEventListener("reset", () => setTimeout(() => { show(); write(); query.focus(); }));
more.addEventListener("click", () => {
  const next = shown;
  shown += STEP;
  show();
  list.children[next]?.querySelector("h3 a").focus();
});
addEventListener("hashchange", read);
addEventListener("keydown", (event) => {
  const links = [...list.querySelectorAll("h3 a")];
  const at = links.indexOf(document.activeElement);
  if (event.key === "/" && !event.target.closest("input, select, textarea")) query.focus();
  else if (event.key === "Escape" && event.target === query && query.value) { query.value = ""; asked(event); }
  else if (event.key === "ArrowDown" && (event.target === query || at >= 0)) links[at + 1]?.focus();
  else if (event.key === "ArrowUp" && at >= 0) (links[at - 1] ?? query).focus();
  else return;
  event.preventDefault();
});
if (location.hash.length > 1 || rows.length > fromPage) read();
