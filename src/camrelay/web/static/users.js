// The accounts and tiers of a tenant. Operators change them, staff look.

import { role, showEmpty } from "./frame.js";
import { ask, attempt, button, onSend, row, tell } from "./form.js";
import { say } from "./text.js";

const find = (id) => document.getElementById(id);
const ROLES = ["viewer", "owner", "operator", "staff"];
const isOperator = role === "operator";
const part = find("people").closest("section");
let tiers = [];

async function show() {
  ({ tiers } = await ask("GET", "/v1/admin/tiers"));
  const { accounts } = await ask("GET", "/v1/admin/accounts");
  const labels = [say("register.name"), say("sign_in.email"), say("users.role"), say("users.tier"), say("users.state")];
  find("people").replaceChildren(...accounts.map((account) => row(labels, [
    account.name, account.email, roleOf(account), tierOf(account),
    say(account.is_active ? "users.active" : "users.suspended"), isOperator ? actsOn(account) : "",
  ])));
  const limits = [say("users.tier"), say("users.max_cameras"), say("users.max_viewers")];
  find("tiers").replaceChildren(...tiers.map((tier) => row(limits, [
    tier.name, String(tier.max_cameras), String(tier.max_viewers), isOperator ? removeTier(tier) : "",
  ])));
  find("users").hidden = false;
}

function change(account, changes, words) {
  return attempt(part, "users", async () => {
    await ask("PATCH", `/v1/admin/accounts/${account.id}`, changes);
    tell(part, "said", say(words, account));
  }).then(show);
}

function choice(label, options, chosen, act) {
  const select = document.createElement("select");
  select.setAttribute("aria-label", label);
  select.append(...options.map(([value, text]) => new Option(text, value, false, value === chosen)));
  select.addEventListener("change", () => act(select.value));
  return select;
}

function roleOf(account) {
  if (!isOperator) return say(`users.roles.${account.role}`);
  const options = ROLES.map((name) => [name, say(`users.roles.${name}`)]);
  return choice(say("users.role_of", account), options, account.role, (value) => change(account, { role: value }, "users.changed"));
}

function tierOf(account) {
  if (!isOperator) return account.tier || say("users.no_tier");
  const options = [["", say("users.no_tier")], ...tiers.map(({ name }) => [name, name])];
  return choice(say("users.tier_of", account), options, account.tier, (value) => change(account, { tier: value }, "users.changed"));
}

function actsOn(account) {
  const acts = document.createElement("span");
  acts.className = "row";
  const isActive = account.is_active;
  const pause = button(say(isActive ? "users.suspend" : "users.resume"),
    () => change(account, { is_active: !isActive }, isActive ? "users.is_suspended" : "users.is_resumed"));
  pause.setAttribute("aria-label", say(isActive ? "users.suspend_named" : "users.resume_named", account));
  const reset = button(say("users.reset"), () => attempt(part, "users", async () => {
    const { password } = await ask("POST", `/v1/admin/accounts/${account.id}/password`);
    showOnce(account, password);
  }));
  reset.setAttribute("aria-label", say("users.reset_named", account));
  acts.append(pause, reset);
  return acts;
}

function removeTier(tier) {
  return button(say("users.remove"), () => attempt(find("tiers").closest("section"), "tiers", async () => {
    await ask("DELETE", `/v1/admin/tiers/${tier.name}`);
  }).then(show));
}

/** A password that is shown this once. */
function showOnce(account, password) {
  find("once").textContent = `${say("users.once", account)}\n${password}`;
  find("once").hidden = false;
  find("once").focus();
}

onSend(find("new-user"), "users", async (fields) => {
  const { account, password } = await ask("POST", "/v1/admin/accounts", fields);
  find("new-user").reset();
  showOnce(account, password);
  await show();
});

find("invite").addEventListener("click", () => attempt(find("new-user"), "users", async () => {
  const { page } = await ask("POST", "/v1/admin/invitations", { role: find("role").value });
  find("once").textContent = `${say("users.invited")}\n${new URL(page, location.origin)}`;
  find("once").hidden = false;
  find("once").focus();
}));

find("mail-invite")?.addEventListener("click", () => attempt(find("new-user"), "users", async () => {
  if (!find("email").reportValidity()) return;
  const language = document.documentElement.lang;
  await ask("POST", "/v1/admin/invitations", { role: find("role").value, email: find("email").value, language });
  tell(find("new-user"), "said", say("users.mail_invited"));
}));

onSend(find("new-tier"), "tiers", async ({ tier, max_cameras, max_viewers }) => {
  const limits = { max_cameras: Number(max_cameras), max_viewers: Number(max_viewers) };
  await ask("PUT", `/v1/admin/tiers/${encodeURIComponent(tier)}`, limits);
  find("new-tier").reset();
  await show();
});

show().catch((error) => {
  if (error.status !== 401 && error.status !== 403) throw error;
  showEmpty(say("users.missing_title"), say("users.missing_hint"));
});
