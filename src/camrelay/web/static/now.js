// Who watches a camera now, for its owner: a list that follows, and a button to end each.

import { currentToken } from "./account.js";
import { call } from "./api.js";
import { attempt, button, row } from "./form.js";
import * as text from "./text.js";
import { say, sayIfKnown } from "./text.js";

const EVERY_MS = 3000;

/** Fills the table of `section` with those who watch `camera`, until the page goes; the function asks at once. */
export function followWatchers(section, camera) {
  const path = `/v1/cameras/${camera}/watchers`;
  const labels = ["who", "via", "since", "place"].map((name) => say(`share.${name}`));
  let timer = 0;

  function line(each) {
    const who = each.who || say("share.somebody");
    const end = button(say("share.end"), () => attempt(section, "share", async () => {
      await call(`${path}/${each.session}`, { method: "DELETE", token: currentToken() });
      await ask();
    }));
    end.setAttribute("aria-label", say("share.end_named", { who }));
    const via = each.protocols.map((name) => sayIfKnown(`player.via_${name}`) ?? name).join(", ");
    const place = [each.agent, each.network].filter(Boolean).join(" · ");
    return row(labels, [who, via, text.duration(Date.now() - each.since_us / 1000), place, end]);
  }

  async function ask() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(ask, EVERY_MS);
    try {
      const { watchers } = await (await call(path, { token: currentToken() })).json();
      section.querySelector("tbody").replaceChildren(...watchers.map(line));
      section.hidden = false;
    } catch (error) {
      if (!error.code) throw error;
      section.hidden = error.status !== 0; // not for whoever looks, or not reached for a moment
    }
  }

  document.addEventListener("visibilitychange", () => !document.hidden && ask());
  ask();
  return ask;
}
