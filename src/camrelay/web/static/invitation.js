// The answer to a letter: its token stands after # in the address, and goes to the API when a button is
// pressed, never before. Whoever has to sign in first finds it again in this tab.

import { ask, attempt, tell } from "./form.js";
import "./frame.js";
import { say } from "./text.js";

const KEY = "camrelay.invitation";
const section = document.getElementById("invitation");
const kept = location.hash.slice(1) || sessionStorage.getItem(KEY) || "";
const [, answer, token] = /^(accept|decline|erase)=([\w-]+)$/.exec(kept) ?? [];
history.replaceState(history.state, "", location.pathname);

const ACTS = {
  async accept() {
    const { camera } = await ask("POST", "/v1/invitations/accept", { token });
    sessionStorage.removeItem(KEY);
    location.replace(`/cameras/${camera}`);
  },
  async decline() {
    await ask("POST", "/v1/invitations/decline", { token });
    return say("invitation.declined");
  },
  async erase() {
    await ask("POST", "/v1/invitations/erase", { token });
    return say("invitation.erased");
  },
};

if (answer) {
  const form = section.querySelector(`[data-answer=${answer}]`);
  document.getElementById("missing").hidden = true;
  form.hidden = false;
  if (answer === "accept") sessionStorage.setItem(KEY, kept);
  document.getElementById("register")?.setAttribute("href", `/register#invitation=${token}`);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(section, "invitation", async () => {
      const said = await ACTS[answer]();
      if (!said) return;
      sessionStorage.removeItem(KEY);
      form.hidden = true;
      tell(section, "said", said);
    });
  });
}
