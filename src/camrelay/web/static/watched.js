// Who watched a camera: one day of the camera's own time zone after the other.

import { currentToken, onToken } from "./account.js";
import { call } from "./api.js";
import { showEmpty } from "./frame.js";
import { cell, save, sum } from "./table.js";
import * as text from "./text.js";
import { say, sayIfKnown } from "./text.js";

const DAY_MS = 86_400_000;
const LIMIT = 200;

const find = (id) => document.getElementById(id);
const page = find("watched");
const id = page.dataset.camera;
const rows = page.querySelector("tbody");
let zone = "UTC";
let shown = [];
let next = null;
let round = 0;

const dayIn = (ms) => new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" }).format(ms);

/** The moment (ms since 1970) a day ("2026-11-21") begins at the camera. */
function begin(day) {
  const midnight = Date.parse(`${day}T00:00Z`);
  let ms = midnight;
  // Twice: the offset at the first guess may be that of before a change of the clocks.
  for (let i = 0; i < 2; i += 1) {
    const local = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" }).format(ms);
    ms += midnight - Date.parse(`${local.replace(" ", "T")}Z`);
  }
  return ms;
}

const move = (day, days) => new Date(Date.parse(day) + days * DAY_MS).toISOString().slice(0, 10);

function query(more = {}) {
  const day = find("day").value;
  const span = { from: new Date(begin(day)).toISOString(), to: new Date(begin(move(day, 1))).toISOString() };
  return `/v1/cameras/${id}/viewings?${new URLSearchParams({ ...span, limit: LIMIT, ...more })}`;
}

/** Every page of the day, one after the other, in `format`. */
async function take(format) {
  const day = find("day").value;
  const name = `watched-${id}-${day}.${format}`;
  try {
    if (format === "csv") {
      save(await (await call(query({ format, limit: 1000 }), { token: currentToken() })).blob(), name);
    } else {
      const all = await (await call(query({ limit: 1000 }), { token: currentToken() })).json();
      save(new Blob([JSON.stringify(all.viewings, null, 1)], { type: "application/json" }), name);
    }
  } catch {
    page.querySelector(".said").textContent = say("watched.failed");
  }
}

const via = ({ protocol }) => sayIfKnown(`player.via_${protocol}`) ?? say("watched.picture");

function who(viewing) {
  if (viewing.name || viewing.subject) return viewing.name || viewing.subject;
  return say("watched.nobody");
}

function add(viewing) {
  const start = Date.parse(viewing.start);
  const row = document.createElement("tr");
  const isRunning = viewing.end === undefined;
  const end = isRunning ? null : Date.parse(viewing.end);
  row.append(
    cell("watched.who", who(viewing), { tag: "th" }),
    cell("watched.when", end === null ? say("watched.since", { start: text.time(start, zone) })
      : say("watched.span", { start: text.time(start, zone), end: text.time(end, zone) })),
    cell("watched.how_long", isRunning ? "" : text.duration(viewing.seconds * 1000)),
    cell("watched.end", isRunning ? say("watched.running") : sayIfKnown(`watched.reason.${viewing.reason}`) ?? viewing.reason,
      { isOn: isRunning }),
    cell("watched.from", [viewing.agent, via(viewing)].filter(Boolean).join(" · "), { small: viewing.network }),
  );
  rows.append(row);
}

async function ask({ isMore = false } = {}) {
  const mine = ++round;
  if (!isMore) {
    shown = [];
    next = null;
  }
  try {
    const answer = await (await call(query(next ? { after: next } : {}), { token: currentToken() })).json();
    if (mine !== round) return;
    if (!isMore) rows.replaceChildren();
    shown.push(...answer.viewings);
    answer.viewings.forEach(add);
    next = answer.next;
    page.hidden = false;
    find("empty").hidden = true;
    page.querySelector("table").hidden = shown.length === 0;
    page.querySelector(".nothing").hidden = shown.length > 0;
    find("more").hidden = next === null;
    find("after").disabled = find("day").value >= dayIn(Date.now());
    page.querySelector(".said").textContent = shown.length ? sum(shown) : "";
  } catch (error) {
    if (mine !== round) return;
    if ([401, 403, 404].includes(error.status)) return refuse(error);
    page.querySelector(".said").textContent = say("watched.failed");
  }
}

function refuse({ status }) {
  page.hidden = true;
  const kind = status === 401 ? "missing" : "refused";
  showEmpty(say(`watched.${kind}_title`), say(`watched.${kind}_hint`));
}

async function open() {
  let title = id;
  try {
    const camera = await (await call(`/v1/cameras/${id}`, { token: currentToken() })).json();
    title = camera.title;
    zone = camera.time_zone;
  } catch (error) {
    if (error.status === 401) return refuse(error);
    // A camera that is gone still has a record, for whoever runs the server.
  }
  page.querySelector("h1").textContent = say("watched.title", { title });
  document.title = `${say("watched.title", { title })} · ${say("site.name")}`;
  find("day").value ||= dayIn(Date.now());
  await ask();
}

find("day").addEventListener("change", () => find("day").value && ask());
find("choose").addEventListener("submit", (event) => event.preventDefault());
for (const [button, days] of [["before", -1], ["after", 1]]) {
  find(button).addEventListener("click", () => {
    find("day").value = move(find("day").value, days);
    ask();
  });
}
for (const format of ["csv", "json"]) find(format).addEventListener("click", () => take(format));
find("more").addEventListener("click", () => ask({ isMore: true }));
onToken(open);
open();
