// What the grid and the camera page share: asking for cameras again and again, and saying so when that fails.

import { call } from "./api.js";
import { currentToken, mayManage, onToken, signIn, tokenIn } from "./account.js";
import * as text from "./text.js";
import { say } from "./text.js";

const EVERY_MS = 3000;
/** One lost answer is no news; the banner comes with the second. */
const PATIENCE = 2;

/** Who is signed in, as the server put it on the page; undefined when nobody is. */
export const { account, role } = document.body.dataset;

const find = (id) => document.getElementById(id);

/**
 * Asks for `path` every few seconds while the page is visible. show(answer) gets each answer; refused(problem) what
 * the server refused.
 */
export function follow(path, { show, refused }) {
  let failures = 0;
  let timer = 0;
  let round = 0;

  async function ask() {
    clearTimeout(timer);
    const mine = ++round;
    try {
      const answer = await (await call(path, { token: currentToken() })).json();
      if (mine !== round) return;
      failures = 0;
      find("empty").hidden = true;
      show(answer);
    } catch (error) {
      if (mine !== round) return;
      if (error.status === 401 || error.status === 404) {
        failures = 0;
        refused(error);
      } else {
        failures += 1;
      }
    }
    find("banner").hidden = failures < PATIENCE;
    if (!document.hidden) timer = setTimeout(ask, EVERY_MS);
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
  addEventListener("online", ask);
  find("again").addEventListener("click", ask);
  onToken(ask);
  ask();
}

/** Shows the page anew when whoever it was made for is signed out by now. */
export async function checkSignedIn() {
  if (!account) return;
  await call("/v1/me").catch(({ status }) => status === 401 && location.reload());
}

/** Says why there is nothing to see, and takes a link or a token. */
export function showEmpty(title, hint) {
  const section = find("empty");
  section.querySelector("h1").textContent = title;
  section.querySelector("p").textContent = hint;
  section.hidden = false;
  find("summary").textContent = "";
}

/** Writes state, viewers and rate of a camera into the line `meta`; brief where the moment stands elsewhere. */
export function showMeta(meta, camera, { isBrief = false } = {}) {
  const state = meta.querySelector(".state");
  state.dataset.state = camera.state;
  const isOffline = camera.state === "offline" && !isBrief;
  const name = { waiting_for_key_frame: "waiting" }[camera.state] ?? camera.state;
  put(state.querySelector("span"), isOffline
    ? say("state.offline_since", { time: text.clock(camera.since_us / 1000, camera.time_zone) }) : say(`state.${name}`));
  put(meta.querySelector(".watching"), camera.viewers ? say("tile.watching", { count: camera.viewers }) : "");
  put(meta.querySelector(".rate"), camera.bit_rate_bps ? text.bitRate(camera.bit_rate_bps) : "");
}

/** "1280 × 720, 25 per second", as far as it is known. */
export function pictureWords(camera) {
  if (!camera.width) return "";
  const size = say("camera.size", camera);
  return camera.frame_rate ? say("camera.frames", { size, rate: text.number(camera.frame_rate, 1) }) : size;
}

/** Writes only what changed. */
export function put(node, content) {
  if (node.textContent !== content) node.textContent = content;
}

/** What a token adds to what the server has put there for whoever is signed in. */
function showNavigation() {
  const isKnown = currentToken() !== null || Boolean(account);
  find("sign-out").hidden = !isKnown;
  const toSignIn = find("to-sign-in");
  if (toSignIn) toSignIn.hidden = isKnown;
  find("find").hidden = !mayManage() && !["operator", "owner"].includes(role);
}

onToken(showNavigation);
showNavigation();

find("sign-out").addEventListener("click", async () => {
  signIn(null);
  if (account) await call("/v1/logout", { method: "POST" }).catch(() => {});
  location.assign("/");
});

find("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = tokenIn(find("token").value);
  find("empty").querySelector(".fault").textContent = token ? "" : say("empty.malformed");
  if (!token) return;
  find("token").value = "";
  signIn(token);
});
