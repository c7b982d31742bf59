// What the pages of the record share: cells that become cards on a phone, sums, and files to keep.

import "./more_words.js";
import * as text from "./text.js";
import { say } from "./text.js";

/** A cell of the column `label`, whose words stand before it on a phone. */
export function cell(label, content, { tag = "td", small = "", isOn = false } = {}) {
  const node = document.createElement(tag);
  if (!content && !small) return node;
  node.dataset.label = say(label);
  if (tag === "th") node.scope = "row";
  const main = document.createElement("span");
  main.textContent = content || "–";
  main.classList.toggle("running", isOn);
  node.append(main);
  if (small) {
    const more = document.createElement("small");
    more.textContent = small;
    node.append(more);
  }
  return node;
}

/** "12 viewings by 3 people, 2 hours in all". */
export function sum(viewings) {
  const people = new Set(viewings.map(({ subject }) => subject).filter(Boolean));
  const seconds = viewings.reduce((all, viewing) => all + (viewing.seconds ?? 0), 0);
  const count = say("watched.viewings", { count: viewings.length });
  const by = people.size ? say("watched.people", { count: people.size }) : "";
  return say("watched.sum", { count, by, time: text.duration(seconds * 1000) });
}

/** Lets the browser keep a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
