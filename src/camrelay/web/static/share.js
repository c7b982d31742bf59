// Sharing a camera: with whom, what they may do, until when; links, sites, and who watches now.

import { currentToken, onToken } from "./account.js";
import { call } from "./api.js";
import { attempt, button, row, tell } from "./form.js";
import { showEmpty } from "./frame.js";
import { followWatchers } from "./now.js";
import * as text from "./text.js";
import { say } from "./text.js";

const find = (id) => document.getElementById(id);
const page = find("share");
const id = page.dataset.camera;
const root = `/v1/cameras/${id}`;
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
let showNow = null;

/** Asks as whoever looks: with the tab's token, or signed in. The decoded answer, null without one. */
async function ask(method, path, body) {
  const rest = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const answer = await (await call(path, { method, token: currentToken(), ...rest })).text();
  return answer ? JSON.parse(answer) : null;
}

/** The terms that a form's fields say. */
function terms(form) {
  const { until, snapshot, from, to } = form.elements;
  const minutes = ({ value }) => value.split(":").reduce((hours, rest) => Number(hours) * 60 + Number(rest));
  const days = [...form.querySelectorAll("[name=day]:checked")].map(({ value }) => Number(value));
  const end = minutes(to) || 1440;
  return {
    actions: snapshot.checked ? ["watch", "snapshot"] : ["watch"],
    expires: until.value ? Math.floor(new Date(until.value) / 1000) : null,
    schedule: days.map((day) => ({ day, start: minutes(from), end })),
  };
}

/** "until Sunday", "at certain hours", or that it is over; what it says of pictures too. */
function termsWords(given) {
  const moment = (s) => text.clock(s * 1000, here);
  const parts = [];
  if (given.expires !== null) parts.push(say(given.holds || given.changes_at ? "share.until_named" : "share.over", { time: moment(given.expires) }));
  else parts.push(say("share.without_end"));
  if (given.schedule.length) parts.push(say(given.holds ? "share.open_until" : "share.closed_until", { time: given.changes_at ? moment(given.changes_at) : "–" }));
  if (given.actions.includes("snapshot")) parts.push(say("share.with_snapshots"));
  const node = document.createElement("span");
  node.textContent = parts.join(" · ");
  node.classList.toggle("off", !given.holds);
  return node;
}

function named(main, small) {
  const node = document.createElement("span");
  node.textContent = main;
  if (small) node.append(Object.assign(document.createElement("small"), { textContent: small }));
  return node;
}

function stop(part, label, spoken, path) {
  const made = button(label, () => attempt(part, "share", async () => {
    await ask("DELETE", path);
    await show();
    await showNow();
  }));
  made.setAttribute("aria-label", spoken);
  return made;
}

async function show() {
  const given = await ask("GET", `${root}/sharing`);
  const title = say("share.title", { title: given.title });
  page.querySelector("h1").textContent = title;
  document.title = `${title} · ${say("site.name")}`;
  for (const line of page.querySelectorAll(".zone")) line.textContent = say("share.zone", { zone: given.time_zone });
  find("people").querySelector("tbody").replaceChildren(...given.shares.map((share) => row(["", ""], [
    named(share.name, share.email), termsWords(share),
    stop(find("people"), say("share.stop"), say("share.stop_named", share), `${root}/shares/${share.account}`),
  ])));
  find("links").querySelector("tbody").replaceChildren(...given.links.map((link) => {
    const name = link.name || say("share.unnamed");
    const uses = say("share.uses", { count: link.uses });
    const about = [link.max_uses ? say("share.uses_of", { uses, most: link.max_uses }) : uses];
    if (link.has_password) about.push(say("share.has_password"));
    return row(["", ""], [named(name, about.join(" · ")), termsWords(link),
      stop(find("links"), say("share.take_back"), say("share.take_back_named", { name }), `${root}/links/${link.id}`)]);
  }));
  if (find("invitations")) await showInvitations();
  page.querySelector(`[name=visibility][value=${given.visibility}]`).checked = true;
  if (document.activeElement !== find("sites")) find("sites").value = (given.allowed_origins ?? []).join("\n");
  const address = new URL(`/embed/${id}`, location.href).href;
  find("code").value = `<iframe src="${address}" width="640" height="360" style="border:0" allow="fullscreen"></iframe>`;
  const preview = page.querySelector("iframe");
  if (!preview.src) preview.src = `/embed/${id}`;
  page.hidden = false;
  find("empty").hidden = true;
}

async function showInvitations() {
  const { invitations } = await ask("GET", `${root}/invitations`);
  find("invitations").querySelector("tbody").replaceChildren(...invitations.map((offer) => {
    const name = offer.name || say("share.invite_unnamed");
    const until = say("share.invite_until", { time: text.clock(offer.ends_at * 1000, here) });
    return row(["", ""], [named(name, until), termsWords(offer),
      stop(find("invitations"), say("share.withdraw"), say("share.withdraw_named", { name }), `${root}/invitations/${offer.id}`)]);
  }));
}

/** Sends a form of a section; what `act` returns is said below it. */
function onSend(section, act) {
  const form = section.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(form, "share", async () => {
      const said = await act(form, event.submitter);
      await show();
      tell(form, "said", said ?? "");
    });
  });
}

onSend(find("people"), async (form) => {
  const made = await ask("POST", `${root}/shares`, { email: form.elements.email.value, ...terms(form) });
  form.reset();
  return say("share.shared", made);
});

if (find("invitations")) {
  onSend(find("invitations"), async (form) => {
    const { email, name } = form.elements;
    await ask("POST", `${root}/invitations`, {
      email: email.value, name: name.value, language: document.documentElement.lang, ...terms(form),
    });
    form.reset();
    return say("share.invite_sent");
  });
}

onSend(find("links"), async (form) => {
  const { name, password, max_uses: most } = form.elements;
  const made = await ask("POST", `${root}/links`, {
    name: name.value, password: password.value, max_uses: most.value ? Number(most.value) : null, ...terms(form),
  });
  form.reset();
  find("new-link").querySelector(".once").textContent = new URL(`/shared#${made.secret}`, location.href).href;
  find("new-link").hidden = false;
});

find("new-link").querySelector("button").addEventListener("click", async ({ target }) => {
  await navigator.clipboard?.writeText(find("new-link").querySelector(".once").textContent);
  target.textContent = say("share.copied");
});

onSend(find("steps"), async (form) => {
  const { visibility } = Object.fromEntries(new FormData(form));
  try {
    await ask("PATCH", root, { visibility });
  } catch (error) {
    if (error.code !== "publish_unconfirmed") throw error;
    if (!(await confirmed())) return "";
    await ask("PATCH", root, { visibility, confirm_public: true });
  }
  await showNow();
  return say("share.is_set");
});

/** Names what everybody will see, and asks once more. */
async function confirmed() {
  const camera = await ask("GET", root);
  const dialog = find("publish");
  const known = { title: camera.title, description: camera.description || say("share.no_description"), zone: camera.time_zone };
  dialog.querySelector("p").textContent = say("share.publish_what", known);
  dialog.showModal();
  return new Promise((resolve) => {
    const settle = new AbortController();
    const end = (answer) => {
      settle.abort();
      dialog.close();
      resolve(answer);
    };
    find("publish-yes").addEventListener("click", () => end(true), { signal: settle.signal });
    find("publish-no").addEventListener("click", () => end(false), { signal: settle.signal });
    dialog.addEventListener("cancel", () => end(false), { signal: settle.signal });
  });
}

onSend(find("embed"), async (form, submitter) => {
  const sites = form.elements.sites.value.split(/\s+/).filter(Boolean);
  if (submitter?.value === "all") form.elements.sites.value = "";
  await ask("PUT", `${root}/embed`, { allowed_origins: submitter?.value === "all" ? null : sites });
  return say("share.is_set");
});

async function open() {
  try {
    await show();
    showNow ??= followWatchers(find("now"), id);
  } catch (error) {
    if (![401, 403, 404].includes(error.status)) throw error;
    page.hidden = true;
    const kind = error.status === 401 ? "missing" : "refused";
    showEmpty(say(`share.${kind}_title`), say(`share.${kind}_hint`));
  }
}

onToken(open);
open();
