// One camera: the player, and what is known about where it looks.

import { currentToken, onToken } from "./account.js";
import { checkSignedIn, follow, pictureWords, put, showEmpty, showMeta } from "./frame.js";
import "./player.js";
import * as text from "./text.js";
import { say } from "./text.js";

/** What is written about a camera lets its picture come first, but not for longer than this. */
const PICTURE_FIRST_MS = 300;

const page = document.getElementById("camera");
const player = page.querySelector("camera-player");
const id = page.dataset.camera;
const since = document.getElementById("since");
let camera = null;
let isFollowed = false;

function show(answer) {
  camera = answer;
  page.hidden = false;
  player.status = camera;
  document.title = `${camera.title} · ${say("site.name")}`;
  put(page.querySelector("h1"), camera.title);
  put(page.querySelector(".description"), camera.description);
  showMeta(page.querySelector(".meta"), camera, { isBrief: true });
  const label = { live: "live_for", offline: "offline_for" }[camera.state] ?? "state_for";
  put(document.getElementById("since-label"), say(`camera.${label}`));
  put(document.getElementById("picture"), pictureWords(camera) || "–");
  page.querySelector(".own").hidden = !camera.may_manage;
  if (camera.may_manage) followNow();
  put(document.getElementById("visibility"), say(`camera.${camera.visibility}`));
  showTimes();
}

async function followNow() {
  if (isFollowed) return;
  isFollowed = true;
  const { followWatchers } = await import("./now.js");
  followWatchers(document.getElementById("now"), id);
}

function showTimes() {
  if (!camera) return;
  const ms = camera.since_us / 1000;
  put(document.getElementById("local-time"), text.clock(Date.now(), camera.time_zone, { seconds: true }));
  const known = { time: text.clock(ms, camera.time_zone), duration: text.duration(Date.now() - ms) };
  put(since, ms ? say("camera.for_since", known) : "–");
}

function refused({ status }) {
  camera = null;
  page.hidden = true;
  const isGone = status === 401 && currentToken();
  checkSignedIn();
  showEmpty(say(isGone ? "empty.refused_title" : "camera.missing_title"), say(isGone ? "empty.refused_hint" : "empty.hint"));
}

player.token = currentToken();
player.setAttribute("camera", id);
onToken(() => (player.token = currentToken()));
setInterval(showTimes, 1000);
document.addEventListener("keydown", (event) => event.target === document.body && player.pressKey(event));

const begin = new AbortController();
const { signal } = begin;
signal.addEventListener("abort", () => follow(`/v1/cameras/${id}`, { show, refused }));
player.addEventListener("state", ({ detail }) => detail.state !== "connecting" && begin.abort(), { signal });
setTimeout(() => begin.abort(), PICTURE_FIRST_MS);
