// Making an account. The answer does not say whether the address had one: signing in shows it to its owner alone.

import "./frame.js";
import { ask, onSend } from "./form.js";

const form = document.getElementById("registration");
const done = document.getElementById("registered");

/** The invitation in the page's address; the part after # never reaches a server by itself. */
const invitation = /^#invitation=([\w-]+)$/.exec(location.hash)?.[1] ?? "";

// Whoever was offered a camera goes back to the offer.
if (sessionStorage.getItem("camrelay.invitation")) {
  for (const link of document.querySelectorAll("main a[href='/sign-in']")) link.href = "/sign-in?next=/invitation";
}

if (form) {
  if (invitation) {
    form.hidden = false;
    document.getElementById("uninvited").hidden = true;
  }
  onSend(form, "register", async (fields) => {
    await ask("POST", "/v1/accounts", { ...fields, invitation });
    form.hidden = true;
    done.hidden = false;
    done.querySelector("p").focus();
  });
}
