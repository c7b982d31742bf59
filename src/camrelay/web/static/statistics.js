// How much cameras are watched: days that are over, rounded, where enough people watched.

import { currentToken, onToken } from "./account.js";
import { call } from "./api.js";
import { showEmpty } from "./frame.js";
import { cell, save } from "./table.js";
import * as text from "./text.js";
import { say } from "./text.js";

const DAYS = 60;
const DAY_MS = 86_400_000;

const find = (id) => document.getElementById(id);
const page = find("statistics");
const which = find("which");
const rows = page.querySelector("tbody");
const titles = new Map();

const wanted = new URLSearchParams(location.search).get("camera") ?? "";

function ask(more = {}) {
  const from = new Date(Date.now() - DAYS * DAY_MS).toISOString().slice(0, 10);
  const query = new URLSearchParams({ from, ...(which.value && { camera: which.value }), ...more });
  return call(`/v1/statistics?${query}`, { token: currentToken() });
}

function add(day) {
  const row = document.createElement("tr");
  const isTold = day.views !== undefined;
  row.append(
    cell("statistics.day", day.day, { tag: "th" }),
    cell("record.camera", day.camera ? titles.get(day.camera) ?? day.camera : say("site.all_cameras")),
    cell("statistics.views", isTold ? text.number(day.views) : say("statistics.few")),
    cell("statistics.time", isTold ? text.duration(day.watch_s * 1000) : ""),
    cell("statistics.peak", isTold ? text.number(day.peak) : ""),
  );
  rows.append(row);
}

async function show() {
  try {
    const { k, days } = await (await ask()).json();
    const picture = await (await ask({ format: "svg" })).text();
    rows.replaceChildren();
    [...days].reverse().forEach(add);
    page.querySelector(".plot").replaceChildren(new DOMParser().parseFromString(picture, "image/svg+xml").documentElement);
    page.querySelector(".hint").textContent = say("statistics.note", { k });
    page.querySelector(".said").textContent = "";
    for (const part of page.querySelectorAll("table, .plot")) part.hidden = days.length === 0;
    page.querySelector(".nothing").hidden = days.length > 0;
    page.hidden = false;
    find("empty").hidden = true;
  } catch (error) {
    if (![401, 403, 404].includes(error.status)) {
      page.querySelector(".said").textContent = say("watched.failed");
      return;
    }
    page.hidden = true;
    showEmpty(say("statistics.refused_title"), say("statistics.refused_hint"));
  }
}

async function open() {
  try {
    const { cameras } = await (await call("/v1/cameras", { token: currentToken() })).json();
    for (const { id, title } of cameras) {
      if (!titles.has(id)) which.add(new Option(title, id));
      titles.set(id, title);
    }
    if (titles.has(wanted)) which.value = wanted;
  } catch {
    // The answer to the next question says what is wrong.
  }
  await show();
}

for (const format of ["csv", "json"]) {
  find(format).addEventListener("click", async () => save(await (await ask({ format })).blob(), `statistics.${format}`));
}
which.addEventListener("change", show);
onToken(open);
open();
