// Making an account. The answer does not say whether the address had one: signing in shows it to its owner alone.

import "./frame.js";
import { ask, onSend } from "./form.js";

const form = document.getElementById("registration");
const done = document.getElementById("registered");

if (form) {
  onSend(form, "register", async (fields) => {
    await ask("POST", "/v1/accounts", fields);
    form.hidden = true;
    done.hidden = false;
    done.querySelector("p").focus();
  });
}
