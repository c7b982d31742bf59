// Forms that ask camrelay: one answer at a time, failures in words beside what caused them.

import { call } from "./api.js";
import "./more_words.js";
import { duration, say, sayIfKnown } from "./text.js";

/** Asks as whoever is signed in: the cookie goes along by itself. The decoded answer, null without one. */
export async function ask(method, path, body) {
  const rest = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const answer = await call(path, { method, ...rest });
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/** What went wrong, in words of the page; `topic` has words of its own for some codes. */
export function faultWords(error, topic) {
  const values = { time: duration((error.retryAfter ?? 1) * 1000) };
  return sayIfKnown(`${topic}.fault.${error.code}`, values) ?? sayIfKnown(`fault.${error.code}`, values) ?? say("fault.other");
}

/** Calls act(fields) when `form` is sent; what it throws is said in the form. */
export function onSend(form, topic, act) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(form));
    await attempt(form, topic, () => act(fields));
  });
}

/** Runs `act` with the buttons of `part` at rest; says in it what went wrong. Whether all went well. */
export async function attempt(part, topic, act) {
  const buttons = [...part.querySelectorAll("button")].filter(({ disabled }) => !disabled);
  tell(part, "fault", "");
  tell(part, "said", "");
  for (const button of buttons) button.disabled = true;
  try {
    await act();
    return true;
  } catch (error) {
    if (!error.code) throw error;
    tell(part, "fault", faultWords(error, topic));
    return false;
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

/** Writes into the line of `part` for a "fault" or what was "said". */
export function tell(part, kind, text) {
  const line = part.querySelector(`.${kind}`);
  if (line) line.textContent = text;
}

/** A table row; cells are texts or nodes, labels stand before them where the table is cards. */
export function row(labels, cells) {
  const line = document.createElement("tr");
  cells.forEach((cell, place) => {
    const part = document.createElement("td");
    if (labels[place]) part.dataset.label = labels[place];
    part.append(cell);
    line.append(part);
  });
  return line;
}

export function button(text, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  made.addEventListener("click", act);
  return made;
}
