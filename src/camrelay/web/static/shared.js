// The way in by a link: its secret stands after # in the address, and goes to the API in a body.

import { signIn } from "./account.js";
import { call } from "./api.js";
import { attempt, faultWords, tell } from "./form.js";
import "./frame.js";

const section = document.getElementById("shared");
const form = section.querySelector("form");
const secret = location.hash.slice(1);
history.replaceState(history.state, "", location.pathname);

/** Exchanges the link for a grant, which stays in this tab, and goes to the camera. */
async function open(password) {
  const answer = await call("/v1/links/open", {
    method: "POST", body: JSON.stringify({ secret, password }), headers: { "Content-Type": "application/json" },
  });
  const { token, camera } = await answer.json();
  signIn(token);
  location.replace(`/cameras/${camera}`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(section, "shared", () => open(form.elements.password.value));
});

try {
  await open("");
} catch (error) {
  if (!error.code) throw error;
  tell(section, "said", "");
  if (error.code === "link_password") {
    form.hidden = false;
    form.elements.password.focus();
  } else {
    tell(section, "fault", faultWords(error, "shared"));
  }
}
