// Signing in. The code of the second factor is asked for when the password was right and there is one.

import "./frame.js";
import { ask, onSend } from "./form.js";

const form = document.getElementById("credentials");
const second = document.getElementById("second");

/** Where somebody wanted to go: a page of ours, or the first one. */
function destination() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
  return wanted.origin === location.origin ? wanted.pathname + wanted.search : "/";
}

onSend(form, "sign_in", async ({ email, password, code, keep }) => {
  try {
    await ask("POST", "/v1/login", { email, password, code, keep: keep !== undefined });
    location.assign(destination());
  } catch (error) {
    if (error.code === "code_required" && second.hidden) {
      second.hidden = false;
      form.elements.code.required = true;
      form.elements.code.focus();
      return;
    }
    form.elements[error.code === "code_required" ? "code" : "password"].select();
    throw error;
  }
});

form.elements.email.focus();
