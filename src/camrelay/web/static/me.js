// One's own account: name, address, password, second factor, and where one is signed in.

import { showEmpty } from "./frame.js";
import { ask, attempt, button, faultWords, onSend, row, tell } from "./form.js";
import { clock, say } from "./text.js";

const find = (id) => document.getElementById(id);
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const moment = (us) => clock(us / 1000, zone);
let me = null;
let secret = null;

/** Asks; when the password has to be given once more, asks for it and then again. */
async function askConfirmed(method, path, body) {
  try {
    return await ask(method, path, body);
  } catch (error) {
    if (error.code !== "confirm_required") throw error;
    await confirm();
    return ask(method, path, body);
  }
}

/** Resolves when the password was given and is right; a Problem "cancelled" when somebody would rather not. */
function confirm() {
  const dialog = find("confirm");
  const form = dialog.querySelector("form");
  find("confirm-second").hidden = !me.has_totp;
  form.reset();
  tell(form, "fault", "");
  dialog.showModal();
  return new Promise((resolve, reject) => {
    const settle = new AbortController();
    const end = () => {
      settle.abort();
      dialog.close();
    };
    const listen = (node, name, act) => node.addEventListener(name, act, { signal: settle.signal });
    const cancel = () => {
      end();
      reject(Object.assign(new Error("cancelled"), { code: "cancelled" }));
    };
    listen(find("confirm-cancel"), "click", cancel);
    listen(dialog, "cancel", cancel);
    listen(form, "submit", async (event) => {
      event.preventDefault();
      const body = { password: find("confirm-password").value, code: find("confirm-code").value };
      try {
        await ask("POST", "/v1/me/confirm", body);
        end();
        resolve();
      } catch (error) {
        tell(form, "fault", faultWords(error, "confirm"));
      }
    });
  });
}

async function show() {
  me = await ask("GET", "/v1/me");
  const { elements } = find("profile");
  elements.name.value = me.account.name;
  elements.email.value = me.account.email;
  find("new-password").minLength = me.has_totp ? 8 : 15;
  find("second-state").textContent = say(me.has_totp ? "me.second_on" : "me.second_off");
  find("begin-second").hidden = me.has_totp;
  find("end-second").hidden = !me.has_totp;
  find("second").hidden = true;
  await showSessions();
  find("me").hidden = false;
}

async function showSessions() {
  const labels = ["browser", "network", "begun", "used"].map((name) => say(`me.${name}`));
  const { sessions } = await ask("GET", "/v1/me/sessions");
  find("sessions").replaceChildren(...sessions.map((session) => {
    const name = session.agent || say("me.unknown");
    const end = button(say("me.end"), () => attempt(find("sessions").closest("section"), "me", async () => {
      await ask("DELETE", `/v1/me/sessions/${session.id}`);
      await showSessions();
    }));
    end.setAttribute("aria-label", say("me.end_named", { name, time: moment(session.created_us) }));
    return row(labels, [name, session.network, moment(session.created_us), moment(session.used_us),
      session.is_this ? say("me.this") : end]);
  }));
  find("end-others").hidden = sessions.length < 2;
}

onSend(find("profile"), "me", async ({ name, email }) => {
  const changes = email === me.account.email ? { name } : { name, email };
  await askConfirmed("PATCH", "/v1/me", changes);
  await show();
  tell(find("profile"), "said", say("me.saved"));
});

onSend(find("password-form"), "me", async ({ password }) => {
  await askConfirmed("POST", "/v1/me/password", { password });
  find("password-form").reset();
  await show();
  tell(find("password-form"), "said", say("me.password_changed"));
});

find("begin-second").addEventListener("click", () => attempt(find("second").closest("section"), "me", async () => {
  const offer = await askConfirmed("POST", "/v1/me/totp");
  secret = offer.secret;
  find("second-link").href = offer.uri;
  find("second-secret").textContent = secret.replace(/(.{4})(?=.)/g, "$1 ");
  find("second").hidden = false;
  find("second-code").focus();
}));

find("second").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(find("second").closest("section"), "second", async () => {
    await askConfirmed("PUT", "/v1/me/totp", { secret, code: find("second-code").value });
    find("second").reset();
    await show();
  });
});

find("end-second").addEventListener("click", () => attempt(find("second").closest("section"), "me", async () => {
  await askConfirmed("DELETE", "/v1/me/totp");
  await show();
}));

find("end-others").addEventListener("click", () => attempt(find("sessions").closest("section"), "me", async () => {
  await ask("DELETE", "/v1/me/sessions");
  await showSessions();
}));

show().catch((error) => {
  if (error.status !== 401) throw error;
  showEmpty(say("me.missing_title"), say("me.missing_hint"));
});
