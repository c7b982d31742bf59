// What is on record of whoever looks: to see, to keep, to restrict and to erase.

import { currentToken, onToken, signIn } from "./account.js";
import { call } from "./api.js";
import { showEmpty } from "./frame.js";
import { cell, save } from "./table.js";
import * as text from "./text.js";
import { say, sayIfKnown } from "./text.js";

const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const OWN = "/v1/me/record";

const find = (id) => document.getElementById(id);
const page = find("record");
const rows = page.querySelector("tbody");
let next = null;
let count = 0;
let isRestricted = false;

function ask(path, options = {}) {
  const headers = options.body ? { "Content-Type": "application/json" } : {};
  return call(path, { token: currentToken(), headers, timeoutMs: 60_000, ...options });
}

function details(event) {
  if (event.type === "record.read") {
    return [say("record.read_by", { who: event.subject || say("watched.nobody"), count: event.count ?? 1 }), ""];
  }
  const place = [event.agent, event.network].filter(Boolean).join(" · ");
  if (event.type !== "stream.stop") return [place, ""];
  const reason = sayIfKnown(`watched.reason.${event.reason}`) ?? event.reason;
  return [text.duration(event.duration_ms ?? 0), reason];
}

function add(event) {
  const row = document.createElement("tr");
  const type = sayIfKnown(`record.type.${event.type.replace(".", "_")}`) ?? event.type;
  const [main, small] = details(event);
  row.append(
    cell("record.when", text.clock(Date.parse(event.time), ZONE)),
    cell("record.what", type, { tag: "th" }),
    cell("record.camera", event.camera),
    cell("record.details", main, { small }),
  );
  rows.append(row);
}

async function show({ isMore = false } = {}) {
  if (!isMore) {
    next = null;
    count = 0;
  }
  try {
    const answer = await (await ask(next ? `${OWN}?after=${next}` : OWN)).json();
    if (!isMore) rows.replaceChildren();
    answer.events.forEach(add);
    count += answer.events.length;
    next = answer.next;
    isRestricted = answer.restricted;
    page.hidden = false;
    find("empty").hidden = true;
    find("more").hidden = next === null;
    page.querySelector("table").hidden = count === 0;
    page.querySelector(".nothing").hidden = count > 0;
    find("restrict").setAttribute("aria-pressed", isRestricted);
    page.querySelector(".said").textContent = isRestricted ? say("record.restricted") : "";
  } catch (error) {
    fail(error);
  }
}

function fail(error) {
  if (error.status === 401) {
    page.hidden = true;
    return showEmpty(say("record.missing_title"), say("record.missing_hint"));
  }
  find("again-for").hidden = error.code !== "confirm_required";
  page.querySelector(".fault").textContent = sayIfKnown(`record.problem.${error.code}`) ?? say("watched.failed");
}

/** Does something with the record, and shows it anew. */
async function act(deed) {
  page.querySelector(".fault").textContent = "";
  try {
    await deed();
  } catch (error) {
    fail(error);
  }
}

find("export").addEventListener("click", () => act(async () => save(await (await ask(`${OWN}/export`)).blob(), "my-record.zip")));
find("restrict").addEventListener("click", () => act(async () => {
  await ask(`${OWN}/restriction`, { method: "PUT", body: JSON.stringify({ restricted: !isRestricted }) });
  await show();
}));
find("erase").addEventListener("click", () => find("sure").showModal());
find("sure").addEventListener("close", () => find("sure").returnValue === "yes" && act(async () => {
  const password = find("password").value;
  find("password").value = "";
  if (password) await ask("/v1/me/confirm", { method: "POST", body: JSON.stringify({ password }) });
  await ask(OWN, { method: "DELETE" });
  page.hidden = true;
  if (currentToken()) signIn(null);
  showEmpty(say("record.gone_title"), say("record.gone_hint"));
}));
find("more").addEventListener("click", () => show({ isMore: true }));
onToken(() => currentToken() && show());
show();
